"""One table for a whole data set: the user's own columns, a status, and the volumes of every scan."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from synthseg_core.cli.dropin.dataset_table import Table
from synthseg_core.errors import InputError
from synthseg_core.system.tables import format_tsv

STATUS = "synthseg_status"
DONE, FAILED = "done", "failed"


def volumes_of(path: Path) -> dict[str, str]:
    """Read the volumes of one scan back from its CSV, mm³ as text by structure name.

    Raises
    ------
    InputError
        If the file is not the table of one scan.
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            header, row = csv.reader(file)
        return dict(zip(header[1:], row[1:], strict=True))
    except (OSError, ValueError) as error:
        raise InputError(
            path,
            found=f"no table of one scan ({error})",
            expected="a header and a row",
            remedy="remove the file and run again",
        ) from error


def results_table(table: Table, volumes: Mapping[int, Mapping[str, str]]) -> str:
    """Return the results as TSV, one row for each scan of the data set, in its order.

    Parameters
    ----------
    volumes
        Volumes by line of the data set's table, mm³; scans that are not in it failed.

    Returns
    -------
    str
        The user's columns, ``synthseg_status``, and one column a structure, ``(mm3)`` in its name.
    """
    names = list(dict.fromkeys(name for line in volumes.values() for name in line))
    rows = [
        {
            **row.cells,
            STATUS: DONE if row.line in volumes else FAILED,
            **{f"{name} (mm3)": volume for name, volume in volumes.get(row.line, {}).items()},
        }
        for row in table.rows
    ]
    return format_tsv(rows, [*table.columns, STATUS, *(f"{name} (mm3)" for name in names)])
