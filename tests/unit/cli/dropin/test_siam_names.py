"""Names of the command of SIAM: what is a scan, and where its label map goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthseg_core.cli.dropin.siam_names import scans_in, siam_plan
from synthseg_core.errors import InputError


def _folder(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("out", "version", "expected"),
    [
        (None, "0.3", "siamV03_sub-01_T1w.nii.gz"),
        ("first_", "0.2", "siamV02_first_sub-01_T1w.nii.gz"),
    ],
)
def test_one_scan(tmp_path, out, version, expected):
    scan = tmp_path / "sub-01_T1w.nii.gz"
    scan.touch()
    plan = siam_plan(scan, out, version)
    assert [(job.scan, job.output) for job in plan.jobs] == [(scan, tmp_path / expected)]
    assert plan.meaning.parent == tmp_path
    assert not plan.is_folder


def test_label_maps_are_compressed(tmp_path):
    """Also that of a plain .nii, in capitals or not."""
    for name in ("a.nii", "b.NII"):
        (job,) = siam_plan(_folder(tmp_path, name) / name, None, "0.1").jobs
        assert job.output.name == f"siamV01_{name[0]}.nii.gz"


def test_a_folder(tmp_path):
    """Mixed extensions; nothing that is no scan, and nothing of an earlier run."""
    scans = ("a.nii", "b.nii.gz")
    others = ("siamV03_a.nii.gz", "siamV02_b.nii.gz", "toCano_b.nii.gz", "b.nii.json", ".c.nii.gz", "d.mgz", "e.txt")
    folder = _folder(tmp_path / "in", *scans, *others)
    (folder / "f.nii").mkdir()
    assert [path.name for path in scans_in(folder)] == list(scans)
    beside = siam_plan(folder, None, "0.3")
    assert [job.output for job in beside.jobs] == [folder / "siamV03_a.nii.gz", folder / "siamV03_b.nii.gz"]
    inside = siam_plan(folder, "run1", "0.3")
    assert [job.output.parent for job in inside.jobs] == [folder / "siamV03_run1"] * 2
    away = siam_plan(folder, str(tmp_path / "out"), "0.3")
    assert [job.output for job in away.jobs] == [tmp_path / "out" / f"siamV03_{n}.nii.gz" for n in "ab"]
    assert away.meaning == tmp_path / "out" / "label_siamV03_.json"
    assert beside.is_folder


def test_two_scans_with_one_label_map(tmp_path):
    plan = siam_plan(_folder(tmp_path / "in", "a.nii", "a.nii.gz", "b.nii"), None, "0.3")
    assert [job.scan.name for job in plan.jobs] == ["a.nii", "b.nii"]
    (failure,) = plan.failures
    assert "a.nii.gz: found a.nii beside it; expected names whose label maps differ" in failure.line()


@pytest.mark.parametrize(
    ("names", "message"), [((), "no NIfTI file"), (("siamV03_a.nii.gz",), "1 NIfTI files, all of")]
)
def test_nothing_to_segment(tmp_path, names, message):
    with pytest.raises(InputError, match=message):
        siam_plan(_folder(tmp_path / "in", *names), None, "0.3")
