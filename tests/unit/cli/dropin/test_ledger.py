"""Record of finished scans: what makes a scan be computed again, and what does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from synthseg_core.cli.dropin import ledger
from synthseg_core.cli.dropin.ledger import Entry, Identity
from synthseg_core.errors import InputError, OutputError

SETTINGS = {"model": "synthseg-2.0", "weights": {"synthseg_2.0.h5": "ab" * 32}, "crop": [64, 64, 32]}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "study/derived").mkdir(parents=True)
    for name in ("scan.nii.gz", "derived/seg.nii.gz", "derived/volumes.csv"):
        (tmp_path / "study" / name).write_text(f"content of {name}")
    return tmp_path / "study"


def record(study: Path) -> None:
    outputs = {p: p.stat().st_size for p in (study / "derived/seg.nii.gz", study / "derived/volumes.csv")}
    outputs[study / "derived/resampled.nii.gz"] = None
    with ledger.opened(study / "done.json") as book:
        entry = Entry(Identity.of(study / "scan.nii.gz"), SETTINGS, outputs, "1.2")
        book.add(study / "derived/seg.nii.gz", entry)


def why(study: Path, settings=SETTINGS, wanted=()) -> str | None:
    with ledger.opened(study / "done.json") as book:
        return book.why_not_done(study / "scan.nii.gz", study / "derived/seg.nii.gz", settings, wanted)


def test_a_scan_is_done_once_recorded(study):
    assert why(study) == "new"
    record(study)
    assert why(study) is None
    assert why(study, wanted=[study / "derived/volumes.csv", study / "derived/resampled.nii.gz"]) is None
    with ledger.opened(study / "done.json") as book:
        assert len(book) == 1
        assert book.version_of(study / "derived/seg.nii.gz") == "1.2"
        assert book.version_of(study / "derived/other.nii.gz") is None


def test_options_and_weights_count(study):
    record(study)
    assert why(study, SETTINGS | {"crop": None}) == "other options or weights"
    assert why(study, SETTINGS | {"weights": {"synthseg_2.0.h5": "cd" * 32}}) == "other options or weights"


def test_outputs_count(study):
    record(study)
    assert why(study, wanted=[study / "derived/qc.csv"]) == "more outputs wanted"
    (study / "derived/volumes.csv").write_text("half")
    assert why(study) == "output missing or changed"
    (study / "derived/volumes.csv").unlink()
    assert why(study) == "output missing or changed"


def test_the_content_of_the_scan_counts_and_its_time_alone_does_not(study):
    record(study)
    scan = study / "scan.nii.gz"
    os.utime(scan, ns=(1, 1))
    assert why(study) is None
    scan.write_text("CONTENT of scan.nii.gz")
    os.utime(scan, ns=(1, 1))
    assert why(study) == "scan changed"
    scan.write_text("longer content of the scan")
    assert why(study) == "scan changed"


def test_a_data_set_can_be_moved_as_a_whole(study, tmp_path):
    record(study)
    moved = tmp_path / "elsewhere/study"
    shutil.copytree(study, moved)
    assert why(moved) is None


def test_file_names_that_are_no_text(study):
    odd = study / os.fsdecode(b"caf\xe9.nii.gz")
    (study / "scan.nii.gz").rename(odd)
    with ledger.opened(study / "done.json") as book:
        book.add(odd, Entry(Identity.of(odd), SETTINGS, {odd: odd.stat().st_size}, "1"))
    with ledger.opened(study / "done.json") as book:
        assert book.why_not_done(odd, odd, SETTINGS, [odd]) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no readable record"),
        ("[]", "no entries with names"),
        ('{"format": "other"}', "the format 'other'"),
        ('{"processed_images": ["/a.nii.gz"]}', "a list of paths by the reference command"),
        (json.dumps({"format": ledger.FORMAT, "scans": {"a": {"outputs": {}}}}), "no readable record"),
        (json.dumps({"format": ledger.FORMAT, "scans": []}), "no readable record"),
    ],
)
def test_foreign_and_damaged_files_are_refused_and_kept(study, content, message):
    (study / "done.json").write_text(content)
    with pytest.raises(InputError, match=message), ledger.opened(study / "done.json"):
        pass
    assert (study / "done.json").read_text() == content


def test_a_second_process_is_refused(study):
    script = (
        "import sys, pathlib; from synthseg_core.cli.dropin import ledger\n"
        "with ledger.opened(pathlib.Path(sys.argv[1])): pass"
    )
    command = [sys.executable, "-c", script, str(study / "done.json")]
    with ledger.opened(study / "done.json"):
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert "another process that works on this data set" in second.stderr
    assert subprocess.run(command, check=False).returncode == 0
    assert not list(study.glob(".*"))


def test_the_lock_of_a_killed_process_counts_for_nothing(study):
    (study / ".done.json.lock").touch()
    assert why(study) == "new"


def test_unwritable_place(study):
    with pytest.raises(OutputError, match="--checkpoint"), ledger.opened(study / "scan.nii.gz/done.json"):
        pass
