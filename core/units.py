"""Numbers with their units, for plans, messages and model cards."""

from __future__ import annotations


def size(count: float) -> str:
    """Write a number of bytes in decimal megabytes or gigabytes."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
