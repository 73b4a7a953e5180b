"""From command-line paths to jobs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from synthseg_core.cli.dropin.names import InputMode
from synthseg_core.cli.dropin.plan import Request, make_plan
from synthseg_core.errors import InputError, UsageError
from tests.privileges import ordinary_user


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("sub-01.nii.gz", "sub-02.mgz", "x.nii.extra.nii.gz"):
        (folder / name).touch()
    return folder


def lines(path: Path, *entries: object) -> str:
    path.write_text("".join(f"{entry}\n" for entry in entries))
    return str(path)


def test_folder(study, tmp_path):
    plan = make_plan(Request(str(study), f"{tmp_path}/seg", posteriors=f"{tmp_path}/post", volumes=f"{tmp_path}/v"))
    assert plan.mode is InputMode.FOLDER
    assert [job.scan.name for job in plan.jobs] == ["sub-01.nii.gz", "sub-02.mgz", "x.nii.extra.nii.gz"]
    first, _, last = (job.outputs for job in plan.jobs)
    assert first.segmentation == tmp_path / "seg/sub-01_synthseg.nii.gz"
    assert last.posteriors == tmp_path / "post/x_posteriors.nii.extra_posteriors.nii.gz"
    assert first.resampled is None
    assert first.volumes is None
    assert (plan.volumes, plan.quality) == (tmp_path / "v.csv", None)
    assert plan.failures == tmp_path / "seg/synthseg_failures.tsv"


def test_a_folder_is_a_folder_whatever_its_name(study, tmp_path):
    odd = study.rename(tmp_path / "in.nii.d")
    assert make_plan(Request(str(odd), f"{tmp_path}/seg")).mode is InputMode.FOLDER


def test_single_image_with_file_and_folder_outputs(study, tmp_path):
    request = Request(
        str(study / "sub-02.mgz"),
        f"{tmp_path}/out/seg.nii.gz",
        resampled=f"{tmp_path}/res",
        quality=f"{tmp_path}/q.csv",
    )
    plan = make_plan(request)
    assert plan.mode is InputMode.IMAGE
    assert plan.failures is None
    assert plan.jobs[0].outputs.segmentation == tmp_path / "out/seg.nii.gz"
    assert plan.jobs[0].outputs.resampled == tmp_path / "res/sub-02_resampled.mgz"
    assert plan.quality == tmp_path / "q.csv"


def test_single_image_into_an_existing_folder_with_an_odd_name(study, tmp_path):
    folder = tmp_path / "out.nii.d"
    folder.mkdir()
    plan = make_plan(Request(str(study / "sub-02.mgz"), str(folder)))
    assert plan.jobs[0].outputs.segmentation == folder / "sub-02_synthseg.mgz"


def test_list(study, tmp_path):
    scans = lines(tmp_path / "in.txt", study / "sub-01.nii.gz", "", study / "sub-02.mgz")
    outputs = lines(tmp_path / "out.txt", "a.nii.gz", "b.nii.gz")
    tables = lines(tmp_path / "vol.txt", "a.csv", "b.csv")
    plan = make_plan(Request(scans, outputs, volumes=tables))
    assert plan.mode is InputMode.LIST
    assert [job.outputs.segmentation for job in plan.jobs] == [Path("a.nii.gz"), Path("b.nii.gz")]
    assert [job.outputs.volumes for job in plan.jobs] == [Path("a.csv"), Path("b.csv")]
    assert plan.volumes is None
    assert plan.failures == tmp_path / "out_failures.tsv"


def test_list_lengths_are_checked_before_the_run(study, tmp_path):
    scans = lines(tmp_path / "in.txt", study / "sub-01.nii.gz", study / "sub-02.mgz")
    outputs = lines(tmp_path / "out.txt", "a.nii.gz", "b.nii.gz")
    short = lines(tmp_path / "short.txt", "a.nii.gz")
    with pytest.raises(UsageError, match=r"--o: found 1 line in .*expected 2"):
        make_plan(Request(scans, short))
    with pytest.raises(UsageError, match=r"--qc: found 1 line in .*expected 2"):
        make_plan(Request(scans, outputs, quality=short))


@pytest.mark.parametrize("option", ["segmentations", "posteriors", "resampled", "volumes", "quality"])
def test_list_input_needs_list_outputs(study, tmp_path, option):
    scans = lines(tmp_path / "in.txt", study / "sub-01.nii.gz")
    request = replace(Request(scans, lines(tmp_path / "out.txt", "a.nii.gz")), **{option: str(tmp_path / "folder")})
    with pytest.raises(UsageError, match="because --i is one"):
        make_plan(request)


def test_list_outputs_need_a_format(study, tmp_path):
    scans = lines(tmp_path / "in.txt", study / "sub-01.nii.gz")
    with pytest.raises(UsageError, match=r"found a\.nii\.old; expected a name that ends"):
        make_plan(Request(scans, lines(tmp_path / "out.txt", "a.nii.old")))


def test_empty_list(tmp_path):
    with pytest.raises(InputError, match="no line"):
        make_plan(Request(lines(tmp_path / "in.txt", "", ""), "out.txt"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.nii.gz", "no such file; expected a scan"),
        ("none", "no such file or folder"),
        ("notes.md", "a file without a scan extension"),
        ("empty", "no scan in this folder"),
        ("none.txt", "no readable list"),
    ],
)
def test_unusable_input(tmp_path, name, message):
    (tmp_path / "notes.md").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        make_plan(Request(str(tmp_path / name), str(tmp_path / "out.txt")))


@pytest.mark.parametrize("option", ["segmentations", "posteriors", "resampled"])
def test_folder_input_refuses_file_outputs(study, tmp_path, option):
    request = replace(Request(str(study), f"{tmp_path}/seg"), **{option: f"{tmp_path}/seg.nii.gz"})
    with pytest.raises(UsageError, match="looks like a file; expected a folder"):
        make_plan(request)


def test_single_image_output_needs_a_format(study, tmp_path):
    with pytest.raises(UsageError, match=r"--post: found .*p\.nii\.x"):
        make_plan(Request(str(study / "sub-02.mgz"), f"{tmp_path}/s.mgz", posteriors=f"{tmp_path}/p.nii.x"))


def test_outputs_never_replace_an_input_or_each_other(study, tmp_path):
    scan = str(study / "sub-02.mgz")
    with pytest.raises(UsageError, match="an input"):
        make_plan(Request(scan, scan))
    with pytest.raises(UsageError, match="one output file for"):
        make_plan(Request(scan, f"{tmp_path}/s.mgz", posteriors=f"{tmp_path}/d/../s.mgz"))
    with pytest.raises(UsageError, match="one output file for the run and the run"):
        make_plan(Request(scan, f"{tmp_path}/s.mgz", volumes=f"{tmp_path}/t", quality=f"{tmp_path}/t.csv"))
    scans = lines(tmp_path / "in.txt", study / "sub-01.nii.gz", study / "sub-02.mgz")
    with pytest.raises(UsageError, match=r"one output file for .*sub-01.* and .*sub-02"):
        make_plan(Request(scans, lines(tmp_path / "out.txt", "a.nii", "./a.nii")))


def test_failures_never_replace_an_input_or_an_output(study, tmp_path):
    for name in ("sub-01.nii.gz", "sub-02.mgz"):
        with pytest.raises(UsageError, match="an output of the run that is an input"):
            make_plan(Request(str(study), f"{tmp_path}/seg", failures=study / name))
    with pytest.raises(UsageError, match="one output file for"):
        make_plan(Request(str(study), f"{tmp_path}/seg", volumes=f"{tmp_path}/v.csv", failures=tmp_path / "v.csv"))


@pytest.mark.parametrize("victim", ["in.txt", "out.txt", "vol.txt"])
def test_outputs_never_replace_a_list(study, tmp_path, victim):
    scans = lines(tmp_path / "in.txt", study / "sub-01.nii.gz")
    request = Request(scans, lines(tmp_path / "out.txt", tmp_path / "a.nii"))
    with pytest.raises(UsageError, match=rf"{victim}: found an output of .* that is an input"):
        make_plan(replace(request, volumes=lines(tmp_path / "vol.txt", tmp_path / victim)))


def test_failures_go_where_they_are_asked_for(study, tmp_path):
    wanted = tmp_path / "f.tsv"
    for scans, segmentation in ((study, tmp_path / "seg"), (study / "sub-02.mgz", tmp_path / "s.mgz")):
        assert make_plan(Request(str(scans), str(segmentation), failures=wanted)).failures == wanted


def test_links_in_a_circle(study, tmp_path):
    loop = tmp_path / "loop.nii.gz"
    loop.symlink_to(loop)
    assert make_plan(Request(str(study / "sub-02.mgz"), str(loop))).jobs[0].outputs.segmentation == loop
    with pytest.raises(InputError, match="no such file"):
        make_plan(Request(str(loop), f"{tmp_path}/s.nii"))


def test_paths_that_may_not_be_looked_at(tmp_path):
    with ordinary_user() as folder:
        folder.chmod(0)
        with pytest.raises(InputError, match=r"found no access \(Permission denied\); .*correct the permissions"):
            make_plan(Request(str(folder), f"{tmp_path}/seg"))
        # An image is a job like any other: reading it says what is wrong.
        assert make_plan(Request(f"{folder}/a.nii.gz", f"{tmp_path}/s.nii.gz")).mode is InputMode.IMAGE


@pytest.mark.parametrize("name", ["x" * 300, f"{'x' * 300}.nii.gz", "a\0.nii.gz", "a\0"])
def test_names_that_no_file_can_have(tmp_path, name):
    with pytest.raises(InputError, match="no such file"):
        make_plan(Request(f"{tmp_path}/{name}", f"{tmp_path}/seg"))
