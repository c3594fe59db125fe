"""The report as one HTML file that needs no network: see page.py."""

from .page import render

__all__ = ["render"]
