"""Words of messages that depend on a number."""

from __future__ import annotations

from collections.abc import Iterable


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Return a number with its noun, ``1 scan`` or ``2 scans``; ``nouns`` is a plural that has no ``s`` at its end."""
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"


def listed(names: Iterable[str], most: int = 10) -> str:
    """Return names with commas between them, each once; of many the first, and how many more there are."""
    known = list(dict.fromkeys(names))
    more = [f"and {len(known) - most} more"] if len(known) > most else []
    return ", ".join([*known[:most], *more])
