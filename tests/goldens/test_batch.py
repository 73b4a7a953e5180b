"""Folder and list runs of ``synthseg predict`` against stored runs: names, tables, order, exit status."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from synthseg_core.cli.main import main
from synthseg_core.system.tables import read_tsv
from tests.goldens.command_agreement import PLAIN, assert_volumes_agree

pytestmark = [pytest.mark.golden, pytest.mark.weights]

SCANS = {
    "sub-01.nii.gz": "aniso_1x1x5.nii.gz",
    "sub-02.mgz": "mgz_lia.mgz",
    "sub-03.npz": "npz_identity.npz",
    "sub-04_bad.nii.gz": "thin_8_slices.nii.gz",
    "sub-05.nii": "tol_1p04.nii.gz",
    "x.nii.extra.nii.gz": "las_1mm.nii.gz",
}


@pytest.fixture(scope="module")
def study(goldens: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the reference was run on."""
    folder = tmp_path_factory.mktemp("batch") / "in"
    folder.mkdir()
    for name, source in SCANS.items():
        if name.endswith(".nii"):
            (folder / name).write_bytes(gzip.decompress((goldens / "inputs" / source).read_bytes()))
        else:
            shutil.copy(goldens / "inputs" / source, folder / name)
    return folder


@pytest.fixture
def index(goldens: Path) -> dict:
    return json.loads((goldens / "batch/index.json").read_text())


def predict(weights: Path, *arguments: object) -> int:
    return main(["predict", "--cpu", "--threads", "2", "--weights", str(weights), *map(str, arguments)])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_folder(study, index, goldens, reference_weights, tmp_path, capsys):
    arguments = ["--i", study, "--crop", 32, "--vol", tmp_path / "volumes"]
    for option, name in (("--o", "seg"), ("--post", "post"), ("--resample", "res")):
        arguments += [option, tmp_path / name]
    assert predict(reference_weights, *arguments) == index["folder"]["rc"] == 1
    failures = tmp_path / "seg/synthseg_failures.tsv"
    assert [Path(row["scan"]).name for row in read_tsv(failures)] == ["sub-04_bad.nii.gz"]
    assert "sub-04_bad.nii.gz: found" in capsys.readouterr().err
    failures.unlink()
    for name in ("seg", "post", "res"):
        assert names(tmp_path / name) == index["folder"][name]
    assert_volumes_agree(tmp_path / "volumes.csv", goldens / "batch/folder_volumes.csv", PLAIN)

    assert predict(reference_weights, *arguments[:-4]) == index["folder_again"]["rc"]
    assert len((tmp_path / "volumes.csv").read_text().splitlines()) == index["folder_again"]["csv_rows"]


def test_list(study, index, goldens, reference_weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text(f"{study}/sub-01.nii.gz\n\n{study}/sub-05.nii\n")
    Path("out.txt").write_text("out/a.nii.gz\nout/b.nii.gz\n")
    Path("vol.txt").write_text("out/a_v1.csv\nout/b_v2.csv\n")
    status = predict(reference_weights, "--i", "in.txt", "--o", "out.txt", "--vol", "vol.txt", "--crop", 32)
    assert status == index["text"]["rc"] == 0
    for name in ("a_v1.csv", "b_v2.csv"):
        assert_volumes_agree(Path("out") / name, goldens / f"batch/text_{name}", PLAIN)
    assert names(Path("out")) == ["a.nii.gz", "a_v1.csv", "b.nii.gz", "b_v2.csv"]


def test_single_image_into_a_folder(study, index, reference_weights, tmp_path):
    status = predict(reference_weights, "--i", study / "sub-02.mgz", "--o", tmp_path / "seg", "--crop", 32)
    assert status == index["single_to_dir"]["rc"] == 0
    assert names(tmp_path / "seg") == ["sub-02_synthseg.mgz"]


def test_failed_single_image_leaves_the_header(study, index, reference_weights, tmp_path):
    arguments = ["--i", study / "sub-04_bad.nii.gz", "--o", tmp_path / "seg", "--vol", tmp_path / "v.csv"]
    assert index["single_csv_header_only_on_failure"]["rc"] == 1
    assert predict(reference_weights, *arguments) == 2  # ours: the known error of the only scan
    assert (tmp_path / "v.csv").read_text().splitlines()[0].startswith("subject,total intracranial,")
    assert len((tmp_path / "v.csv").read_text().splitlines()) == 1


def test_dataset_gives_the_same_numbers(study, goldens, reference_weights, tmp_path):
    table = "\n".join(["path", *(f"in/{name}" for name in SCANS)])
    (study.parent / "scans.csv").write_text(table + "\n")
    arguments = ["--csv", study.parent / "scans.csv", "--out", tmp_path, "--crop", 32, "--weights", reference_weights]
    assert main(["dataset", "--cpu", "--threads", "2", *map(str, arguments)]) == 1
    tables = sorted(tmp_path.glob("in/*_volumes.csv"))
    header = "subject" + tables[0].read_bytes().decode().split("\r\n")[0]
    rows = [path.read_bytes().decode().split("\r\n")[1] for path in tables]
    joined = tmp_path / "joined.csv"
    joined.write_bytes("".join(f"{line}\r\n" for line in [header, *rows]).encode())
    assert_volumes_agree(joined, goldens / "batch/folder_volumes.csv", PLAIN)


@pytest.mark.parametrize(
    ("case", "arguments"),
    [
        ("missing_file", ["--i", "none.nii.gz", "--o", "seg"]),
        ("bad_ext_file", ["--i", "notes.md", "--o", "seg"]),
        ("robust_v1", ["--i", "in", "--o", "seg", "--robust", "--v1"]),
        ("dir_to_file", ["--i", "in", "--o", "seg.nii.gz"]),
        ("txt_to_dir", ["--i", "in.txt", "--o", "seg"]),
        ("crop_two_values", ["--i", "in", "--o", "seg", "--crop", "32", "32"]),
        ("empty_dir", ["--i", "empty", "--o", "seg"]),
        ("no_output", ["--i", "in"]),
        ("no_args", []),
    ],
)
def test_usage_errors_of_the_reference_have_status_2_here(case, arguments, study, index, tmp_path, monkeypatch):
    """The reference ends with a traceback and status 1; here 1 is kept for runs that finished with failed scans."""
    assert index[case]["rc"] == 1
    monkeypatch.chdir(tmp_path)
    Path("in").symlink_to(study)
    Path("empty").mkdir()
    Path("notes.md").touch()
    Path("in.txt").write_text("in/sub-01.nii.gz\n")
    try:
        status = main(["predict", *arguments])
    except SystemExit as end:  # argparse
        status = end.code
    assert status == 2
    assert not Path("seg").exists()
