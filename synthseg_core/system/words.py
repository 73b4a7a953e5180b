"""Words of messages that depend on a number."""

from __future__ import annotations


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Return a number with its noun, ``1 scan`` or ``2 scans``; ``nouns`` is a plural that has no ``s`` at its end."""
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"
