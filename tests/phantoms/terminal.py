"""A stream that takes itself for a terminal, and tells what stands on its screen."""

from __future__ import annotations

import io


class Terminal(io.StringIO):
    """Text that is written to a terminal."""

    def isatty(self) -> bool:
        return True

    def shown(self) -> list[str]:
        """Every text that stood on a line at some time, without the ones that a later text continued."""
        return [text.rstrip() for text in self.getvalue().replace("\n", "\r").split("\r") if text.strip()]

    def screen(self) -> list[str]:
        """What stands there in the end."""
        return [_overwritten(line) for line in self.getvalue().split("\n")]


def _overwritten(line: str) -> str:
    seen = ""
    for text in line.split("\r"):
        seen = text + seen[len(text) :]
    return seen.rstrip()
