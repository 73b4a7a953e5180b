"""Participants as tables of users write them: without ``sub-``, in capitals, as numbers that have lost their zeros."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence

BLANK = " \t\r\n\v\f\x1c\x1d\x1e\x1f\x85\xa0\u200b\u2028\u2029\ufeff"
"""Characters that mean nothing around a cell; a mark of the byte order gets into files that were put together."""
# Dashes that word processors put in place of a hyphen count as one.
_PREFIX = re.compile("sub[-_\u2010-\u2015\u2212 ]", re.IGNORECASE)
_WHOLE_NUMBER = re.compile(r"0*(\d+)(?:\.0)?")


class People:
    """Participants that cells of a table may mean.

    Parameters
    ----------
    participants
        With ``sub-``.
    """

    def __init__(self, participants: Iterable[str]) -> None:
        self._known = {*participants}
        self._alike: defaultdict[str, set[str]] = defaultdict(set)
        for participant in self._known:
            self._alike[_alike(participant.removeprefix("sub-"))].add(participant)

    def exactly(self, cell: str) -> str | None:
        """Return the participant whose label a cell has, as it is."""
        name = f"sub-{_PREFIX.sub('', cell.strip(BLANK), count=1)}"
        return name if name in self._known else None

    def of(self, cells: Sequence[str]) -> list[tuple[list[str], bool]]:
        """Return for each cell of a column whose it is or could be, and whether that is certain."""
        labels = [_PREFIX.sub("", cell.strip(BLANK), count=1) for cell in cells]
        exact = [self.exactly(cell) for cell in cells]
        written: defaultdict[str, set[str]] = defaultdict(set)
        for label, person in zip(labels, exact, strict=True):
            if person is None:
                written[_alike(label)].add(label)
        taken = {*exact}
        return [
            ([person], True) if person else self._similar(label, taken, len(written[_alike(label)]) == 1)
            for label, person in zip(labels, exact, strict=True)
        ]

    def _similar(self, label: str, taken: Container[str | None], alone: bool) -> tuple[list[str], bool]:
        """Return whose label this is but for zeros and capitals: nobody's who has a row of the very label."""
        alike = [person for person in sorted(self._alike.get(_alike(label), ())) if person not in taken]
        return alike, alone and len(alike) == 1

    def named_in(self, cells: Iterable[str]) -> list[str]:
        """Return who is named in full somewhere in a line, perhaps behind a ``#`` that takes it out."""
        words = (cell.lstrip(f"#{BLANK}").partition(" ")[0] for cell in cells)
        return [person for word in words if _PREFIX.match(word) and (person := self.exactly(word))]


def _alike(label: str) -> str:
    """Return what labels have in common that differ by capitals and by the zeros that spreadsheets drop."""
    number = _WHOLE_NUMBER.fullmatch(label)
    return number[1] if number else label.casefold()
