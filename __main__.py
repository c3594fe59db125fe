"""`python -m edgeconv`."""

from .cli.main import main

main()
