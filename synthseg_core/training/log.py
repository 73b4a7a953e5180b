"""The log of a training: a table that grows by a row, and survives an interrupted run without double rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from synthseg_core.system.atomic import output_error, write_text
from synthseg_core.system.tables import format_tsv

LOG = "log.tsv"
VALIDATION = "validation.tsv"
LOG_COLUMNS = ("step", "stage", "loss", "learning_rate", "gradient_norm", "samples_per_s", "seconds")


class Table:
    """A TSV file with a ``step`` column.

    Parameters
    ----------
    path
        The file; made with a header if there is none.
    columns
        In order.
    after
        Rows beyond this step are dropped: they belong to a run that was cut short, and come again.
    """

    def __init__(self, path: Path, columns: Sequence[str], after: int = 0) -> None:
        self.path = path
        self.columns = tuple(columns)
        write_text(path, format_tsv((row for row in read_rows(path) if int(row["step"]) <= after), self.columns))

    def add(self, row: Mapping[str, object]) -> None:
        """Append one row; at worst a kill leaves it incomplete, and the next start mends that."""
        text = format_tsv([row], self.columns).splitlines()[-1] + "\n"
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise output_error(self.path, error) from error


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the complete rows of a log, without a last one that was cut short; none if there is no file."""
    if not path.is_file():
        return []
    lines = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    header, *rows = [line.rstrip("\n").split("\t") for line in lines] or [[]]
    return [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]


def digits(value: float, count: int = 6) -> str:
    """Return a number with so many significant digits."""
    return f"{value:.{count}g}"
