"""What a study tells people."""

from __future__ import annotations


def say(text: str = "") -> None:
    """Prints a line."""
    print(text, flush=True)
