"""One table for a whole data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthseg_core.cli.dropin.dataset_table import Row, Table, results_table, volumes_of
from synthseg_core.cli.dropin.tables import single_scan_table
from synthseg_core.errors import InputError
from synthseg_core.system.tables import read_tsv


def table(*subjects: str) -> Table:
    rows = tuple(
        Row(n, Path(f"/{s}.nii"), False, {"path": f"{s}.nii", "note": f"a\tb {s}"}) for n, s in enumerate(subjects, 2)
    )
    return Table(Path("scans.csv"), ("path", "note"), rows, ())


def test_rows_keep_their_order_and_gaps(tmp_path):
    path = tmp_path / "results.tsv"
    path.write_text(results_table(table("x", "y", "z"), {4: {"csf": "1.5", "thalamus": "2.0"}, 2: {"csf": "nan"}}))
    rows = read_tsv(path)
    assert [row["path"] for row in rows] == ["x.nii", "y.nii", "z.nii"]
    assert [row["synthseg_status"] for row in rows] == ["done", "failed", "done"]
    assert [row["csf (mm3)"] for row in rows] == ["nan", "n/a", "1.5"]
    assert rows[1]["note"] == "a\tb y"


def test_volumes_are_read_back_as_written(tmp_path):
    path = tmp_path / "v.csv"
    path.write_text(single_scan_table("a", ["left, odd", "csf"], ["2237532.8", "0.0"]), newline="")
    assert volumes_of(path) == {"left, odd": "2237532.8", "csf": "0.0"}


@pytest.mark.parametrize("content", ["", ",csf\r\n", ",csf\r\na,1\r\nb,2\r\n", ",csf\r\na,1,2\r\n"])
def test_tables_of_another_kind_are_refused(tmp_path, content):
    (tmp_path / "v.csv").write_text(content)
    with pytest.raises(InputError, match="no table of one scan"):
        volumes_of(tmp_path / "v.csv")


def test_missing_table(tmp_path):
    with pytest.raises(InputError, match="no table of one scan"):
        volumes_of(tmp_path / "none.csv")
