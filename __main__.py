"""`python -m edgeconv`."""

import sys

# `python -m` puts the folder one stands in first: a click.py there would be run in place of the library
if sys.path and not sys.flags.safe_path:
    del sys.path[0]

from .cli.main import main

main()
