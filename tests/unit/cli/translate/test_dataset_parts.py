"""What both kinds of datasets share on the command line."""

from __future__ import annotations

import argparse

from synthseg_core.cli.translate.dataset_parts import split_facts, splits_of, sum_up, tell, tell_faults
from synthseg_core.errors import Failure
from tests.unit.translation.test_dataset import made_stack


def _options(**values):
    options = {"splits": None, "split_by": "subject", "ratios": None, "seed": 0, "domain": [], "site_column": "site"}
    return argparse.Namespace(**options | values)


def test_splits_are_drawn_or_read(tmp_path):
    subjects = {"a": {"sub-1"}, "b": {"sub-2"}}
    assert splits_of(_options(), subjects) == {"sub-1": "train", "sub-2": "train"}
    assert split_facts(_options(ratios=[0.5, 0.5, 0])) == {"by": "subject", "ratios": [0.5, 0.5, 0]}
    table = tmp_path / "splits.tsv"
    table.write_text("subject\tsplit\n1\ttrain\n2\ttrain\n")
    assert splits_of(_options(splits=table), subjects) == {"sub-1": "train", "sub-2": "train"}
    assert split_facts(_options(splits=table)) == {"table": str(table)}


def test_lines(capsys, tmp_path):
    tell(["one", "two"])
    assert not tell_faults([])
    assert tell_faults([Failure(scan="x.nii", error="InputError", found="nothing", expected="a scan", remedy="go")])
    sum_up(tmp_path, [made_stack(slices=2), made_stack(slices=3, subject="sub-02"), made_stack("b", "val", 1)])
    out, error = capsys.readouterr()
    assert error.splitlines() == [
        "synthseg translate dataset: note: one",
        "synthseg translate dataset: note: two",
        "synthseg translate dataset: FAILED x.nii: found nothing; expected a scan; go",
        "synthseg translate dataset: nothing written: 1 unusable file",
    ]
    assert "a, train: 5 images of 2 subjects" in out
    assert "b, test: 0 images of 0 subjects" in out
