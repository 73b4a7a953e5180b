"""``synthseg predict``: modes, tables, failures, exit status; networks replaced by a stand-in."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from nibabel.freesurfer.mghformat import MGHHeader

from synthseg_core.cli.dropin import one_scan
from synthseg_core.cli.dropin.flags import ModelFlags
from synthseg_core.cli.main import main
from synthseg_core.errors import UsageError
from synthseg_core.images.volume import Volume
from synthseg_core.system.tables import read_tsv
from tests.phantoms.models import TINY
from tests.phantoms.scans import nested_ellipsoids, oblique_affine, phantom, reoriented, write_nifti
from tests.privileges import ordinary_user
from tests.unit.cli.fake_segmenter import FakeSegmenter

HEADER = "subject,total intracranial,left cerebral white matter"


@pytest.fixture
def segmenter(monkeypatch) -> FakeSegmenter:
    return FakeSegmenter(monkeypatch)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Folder with three scans, the second one broken."""
    folder = tmp_path / "in"
    write_nifti(folder / "a.nii.gz", phantom(seed=1))
    (folder / "b_broken.nii.gz").write_bytes(b"")
    write_nifti(folder / "c_coarse.nii", phantom(seed=2))
    return folder


def predict(*arguments: object) -> int:
    return main(["predict", *map(str, arguments)])


def rows(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_bytes().decode().split("\r\n")[:-1]]


def test_folder_keeps_going_after_a_broken_scan(segmenter, study, tmp_path, capsys):
    status = predict(
        *("--i", study, "--o", tmp_path / "seg", "--vol", tmp_path / "vol", "--qc", tmp_path / "qc.csv"),
        *("--post", tmp_path / "post", "--resample", tmp_path / "res"),
    )
    assert status == 1
    made = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*") if p.parent != study)
    assert made == [
        "post/a_posteriors.nii.gz",
        "post/c_coarse_posteriors.nii",
        "qc.csv",
        "res/c_coarse_resampled.nii",
        "seg/a_synthseg.nii.gz",
        "seg/c_coarse_synthseg.nii",
        "seg/synthseg_failures.tsv",
        "vol.csv",
    ]
    assert (tmp_path / "vol.csv").read_text().startswith(HEADER)
    assert [row[0] for row in rows(tmp_path / "vol.csv")] == ["subject", "a", "c_coarse.nii"]
    assert rows(tmp_path / "qc.csv")[1] == ["a", "0.5000"]
    (failure,) = read_tsv(tmp_path / "seg/synthseg_failures.tsv")
    assert (failure["scan"], failure["error"]) == (str(study / "b_broken.nii.gz"), "InputError")
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert err.count("b_broken.nii.gz: found an empty file (0 bytes)") == 2
    assert f"1 of 3 scans failed, also listed in {tmp_path}/seg/synthseg_failures.tsv:" in err
    assert "2 of 3 scans segmented" in out
    assert "please cite" in out


def test_images_are_written_like_the_reference_does(segmenter, study, tmp_path):
    scan = study / "a.nii.gz"
    assert predict("--i", scan, "--o", tmp_path / "s.nii.gz", "--post", tmp_path / "p.nii.gz") == 0
    labels, posteriors = nib.load(tmp_path / "s.nii.gz"), nib.load(tmp_path / "p.nii.gz")
    assert labels.get_data_dtype() == np.int32
    assert posteriors.get_data_dtype() == np.float32
    assert posteriors.shape == (*labels.shape, 2)
    np.testing.assert_array_equal(labels.affine, nib.load(scan).affine)


def test_models_without_papers_ask_for_no_citation(segmenter, tmp_path, capsys):
    scan = write_nifti(tmp_path / "a.nii", phantom())
    assert predict("--i", scan, "--o", tmp_path / "s.nii", "--model", "tiny-random") == 0
    assert capsys.readouterr().out == f"segmentation saved in {tmp_path}/s.nii\n"


def test_only_several_scans_overlap_in_memory(segmenter, study, tmp_path):
    predict("--i", study / "a.nii.gz", "--o", tmp_path / "s.nii.gz")
    predict("--i", study, "--o", tmp_path / "seg")
    assert segmenter.overlapped == [False, True, True]


def test_a_new_run_forgets_the_failures_of_the_last(segmenter, study, tmp_path):
    assert predict("--i", study, "--o", tmp_path / "seg") == 1
    (study / "b_broken.nii.gz").unlink()
    assert predict("--i", study, "--o", tmp_path / "seg") == 0
    assert not (tmp_path / "seg/synthseg_failures.tsv").exists()


def test_failures_go_where_the_user_says(segmenter, study, tmp_path):
    assert predict("--i", study, "--o", tmp_path / "seg", "--failures", tmp_path / "f.tsv") == 1
    assert len(read_tsv(tmp_path / "f.tsv")) == 1
    assert not (tmp_path / "seg/synthseg_failures.tsv").exists()


def test_list_writes_one_table_a_scan(segmenter, study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text(f"{study}/a.nii.gz\n{study}/missing.nii\nin/c_coarse.nii\n")
    Path("out.txt").write_text("seg/1.nii.gz\nseg/2.nii.gz\nseg/3.mgz\n")
    Path("vol.txt").write_text("tables/1.csv\ntables/2.csv\n\ntables/3.csv\n")
    assert predict("--i", "in.txt", "--o", "out.txt", "--vol", "vol.txt") == 1
    assert sorted(p.name for p in Path("seg").iterdir()) == ["1.nii.gz", "3.mgz"]
    assert sorted(p.name for p in Path("tables").iterdir()) == ["1.csv", "3.csv"]
    first = rows(Path("tables/1.csv"))
    assert [row[0] for row in first] == ["", "a"]
    assert first[0][1:] == ["total intracranial", "csf"]
    assert float(first[1][1]) == 2 * float(first[1][2]) > 0
    assert len(read_tsv(Path("out_failures.tsv"))) == 1


def test_unknown_error_of_one_scan_keeps_its_traceback_and_the_others(segmenter, study, tmp_path, capsys):
    segmenter.faults["a.nii.gz"] = RuntimeError("odd")
    assert predict("--i", study, "--o", tmp_path / "seg") == 1
    assert "RuntimeError: odd" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "seg").glob("*.nii*")] == ["c_coarse_synthseg.nii"]


def test_single_scan_fails_with_status_2_and_one_line(segmenter, study, tmp_path, capsys):
    assert predict("--i", study / "b_broken.nii.gz", "--o", tmp_path / "s.nii", "--vol", tmp_path / "v.csv") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "an empty file (0 bytes)" in err
    assert [row[0] for row in rows(tmp_path / "v.csv")] == ["subject"]
    assert not (tmp_path / "s.nii").exists()


def test_single_scan_with_an_unknown_error_shows_it(segmenter, study, tmp_path):
    segmenter.faults["a.nii.gz"] = RuntimeError("odd")
    with pytest.raises(RuntimeError, match="odd"):
        predict("--i", study / "a.nii.gz", "--o", tmp_path / "seg")


def test_warnings_are_said(segmenter, study, tmp_path, capsys):
    segmenter.warnings = ("3 of 7429 voxels are NaN",)
    assert predict("--i", study / "a.nii.gz", "--o", tmp_path / "seg") == 0
    assert f"warning: {study}/a.nii.gz: 3 of 7429 voxels are NaN" in capsys.readouterr().err
    assert predict("--i", study, "--o", tmp_path / "seg") == 1
    assert capsys.readouterr().err.count("are NaN") == 2


def test_interruption_leaves_whole_rows_and_status_130(segmenter, study, tmp_path, capsys):
    segmenter.faults["c_coarse.nii"] = KeyboardInterrupt()
    assert predict("--i", study, "--o", tmp_path / "seg", "--vol", tmp_path / "v.csv") == 130
    assert [row[0] for row in rows(tmp_path / "v.csv")] == ["subject", "a"]
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--o", "seg", "--robust", "--v1"], "--robust: found --v1 as well"),
        (["--o", "seg", "--crop", "64", "64"], "--crop: found 64 64; expected 1 or 3"),
        (["--o", "seg", "--crop", "0"], "--crop: found 0"),
        (["--o", "seg", "--threads", "0"], "--threads: found 0"),
        (["--o", "seg", "--cpu", "--device", "cuda"], "--cpu: found --device cuda as well"),
        (["--o", "seg", "--autocrop", "--crop", "96"], "--autocrop: found --crop as well"),
        (["--o", "seg", "--addctab", "--noaddctab"], "--addctab: found --noaddctab as well"),
        (["--o", "seg", "--gpu_id", "-1"], "--gpu_id: found -1"),
        (["--o", "seg.nii.gz"], "--o: found seg.nii.gz, which looks like a file"),
    ],
)
def test_usage_errors_come_before_the_model(segmenter, study, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(study.parent)
    assert predict("--i", study, *arguments) == 2
    assert message in capsys.readouterr().err
    assert segmenter.loaded == []
    assert [p.name for p in study.parent.iterdir()] == ["in"]


def test_a_file_in_place_of_the_output_folder(segmenter, study, tmp_path, capsys):
    (tmp_path / "seg").touch()
    assert predict("--i", study, "--o", tmp_path / "seg") == 2
    said = capsys.readouterr().err
    assert f"{tmp_path}/seg/" in said
    assert "found not a directory; expected a writable file; choose an output folder whose path holds no file" in said
    assert segmenter.loaded == []


def test_an_output_folder_without_permission(segmenter, study, capsys):
    with ordinary_user() as folder:
        (folder / "seg").mkdir(mode=0o555)
        assert predict("--i", write_nifti(folder / "a.nii", phantom()), "--o", folder / "seg") == 2
        said = capsys.readouterr().err
        assert "seg/a_synthseg.nii: found permission denied; " in said
        assert predict("--i", folder, "--o", folder / "seg") == 2
        assert capsys.readouterr().err == said
    assert segmenter.loaded == []


@pytest.mark.parametrize("option", ["--vol", "--qc", "--failures"])
def test_a_table_that_cannot_be_written_is_found_before_the_models_are_loaded(segmenter, study, tmp_path, option):
    (tmp_path / "taken.csv").mkdir()
    assert predict("--i", study, "--o", tmp_path / "seg", option, tmp_path / "taken.csv") == 2
    assert segmenter.loaded == []
    assert not (tmp_path / "seg").exists()


@pytest.mark.parametrize("arguments", [[], ["--i", "a.nii"], ["--i", "a.nii", "--o", "b.nii", "--crop", "x"]])
def test_missing_arguments_are_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        predict(*arguments)
    said = capsys.readouterr().err
    assert said.startswith("synthseg predict: error: ")
    assert said.endswith("; see 'synthseg predict --help'\n")
    assert said.count("\n") == 1


def test_flags_reach_the_model(segmenter, study, tmp_path):
    scan, seg = study / "a.nii.gz", tmp_path / "seg"
    predict("--i", scan, "--o", seg, "--qc", tmp_path / "q", "--robust", "--parc", "--ct", "--crop", "96", "64", "32")
    flags, quality = segmenter.loaded[-1]
    assert quality
    assert (flags.model, flags.parcellation, flags.fast, flags.ct) == ("synthseg-robust-2.0", True, True, True)
    assert (flags.crop, flags.threads, flags.device, flags.gpu) == ((96, 64, 32), 1, "auto", None)
    assert segmenter.computed[-1][2] is False
    predict("--i", scan, "--o", seg, "--post", seg, "--v1", "--cpu", "--crop", 64, "--threads", 3, "--gpu_id", 1)
    flags, quality = segmenter.loaded[-1]
    assert not quality
    assert (flags.model, flags.fast, flags.crop) == ("synthseg-1.0", False, (64, 64, 64))
    assert (flags.threads, flags.device, flags.gpu) == (3, "cpu", 1)
    assert (flags.autocrop, flags.keep_geometry, flags.colour_table) == (False, False, True)
    assert segmenter.computed[-1][2] is True
    predict("-i", scan, "--output", seg, "--autocrop", "--keepgeom", "--noaddctab", "--gpu-id", 2, "--device", "gpu")
    flags, _ = segmenter.loaded[-1]
    assert (flags.autocrop, flags.keep_geometry, flags.colour_table) == (True, True, False)
    assert (flags.cropped, flags.device, flags.gpu) == (True, "gpu", 2)


def test_help_names_every_flag_and_loads_no_torch():
    script = """if True:
        import sys
        from synthseg_core.cli.main import main
        try:
            main(["predict", "--help"])
        finally:
            assert "torch" not in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    flags = "--i --o --parc --robust --fast --ct --vol --qc --post --resample --crop --threads --cpu --v1 --gpu_id"
    flags += " --autocrop --keepgeom --addctab --noaddctab"
    for flag in [*flags.split(), "--weights", "--device", "--failures"]:
        assert f" {flag} " in done.stdout or f"{flag}]" in done.stdout


def test_failure_of_the_only_scan_is_listed_where_asked_for(segmenter, study, tmp_path):
    table = tmp_path / "failures.tsv"
    words = ("--i", study / "b_broken.nii.gz", "--o", tmp_path / "s.nii.gz", "--failures", table)
    assert predict(*words) == 2
    assert [row["error"] for row in read_tsv(table)] == ["InputError"]
    assert predict("--i", study / "a.nii.gz", *words[2:]) == 0
    assert not table.exists()


def test_table_of_failures_that_is_a_folder(segmenter, study, tmp_path, capsys):
    assert predict("--i", study, "--o", tmp_path / "seg", "--failures", tmp_path) == 2
    assert f"{tmp_path}: found a folder of that name" in capsys.readouterr().err


def test_impossible_number_of_threads():
    flags = ModelFlags("synthseg-2.0", False, False, False, None, 100_000, "cpu", None, None)
    with pytest.raises(UsageError, match="--threads: found 100000; expected 1 to 1024"):
        one_scan.load(flags, quality=False)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--photo", "left"], "--photo: found an option of FreeSurfer; photographs need networks that this program"),
        (["--keepgeo"], "--keepgeo: found no such option; did you mean --keepgeom?"),
        (["--thread", "2"], "--thread: found no such option; did you mean --threads?"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(segmenter, study, words, line, capsys):
    with pytest.raises(SystemExit, match="2"):
        predict("--i", study, "--o", "seg", *words)
    said = capsys.readouterr().err
    assert said.startswith(f"synthseg predict: error: {line}")
    assert said.count("\n") == 1
    assert segmenter.loaded == []


def colour_table(path: Path) -> bytes:
    """What an MGH file holds behind its voxels and scan parameters."""
    content = gzip.decompress(path.read_bytes())
    return content[MGHHeader(content).get_footer_offset() + MGHHeader._ftrdtype.itemsize :]


def test_colour_tables_of_mgz(segmenter, study, tmp_path, capsys):
    """By default, as in FreeSurfer 8: every label of the model by number, name and colour."""
    scan = study / "a.nii.gz"
    predict("--i", scan, "--o", tmp_path / "on.mgz")
    predict("--i", scan, "--o", tmp_path / "parcels.mgz", "--parc", "--addctab")
    predict("--i", scan, "--o", tmp_path / "off.mgz", "--noaddctab", "--post", tmp_path / "post.mgz")
    table = colour_table(tmp_path / "on.mgz")
    assert table.startswith(b"\0\0\0\x01\xff\xff\xff\xfe")
    assert b"\0\0\0\x11\0\0\0\x11left-hippocampus\0\0\0\0\xdc\0\0\0\xd8\0\0\0\x14\0\0\0\0" in table
    assert b"ctx-rh-insula" not in table
    assert b"ctx-rh-insula\0" in colour_table(tmp_path / "parcels.mgz")
    assert colour_table(tmp_path / "off.mgz") == colour_table(tmp_path / "post.mgz") == b""
    assert "warning" not in capsys.readouterr().err
    predict("--i", scan, "--o", tmp_path / "s.nii.gz", "--addctab")
    assert "warning: --addctab: only label maps in .mgz have a place" in capsys.readouterr().err


@pytest.mark.parametrize("size", [(0.7, 1.3, 5.0), (2.2, 0.9, 1.0), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz"])
def test_label_maps_on_the_grid_of_the_scan(tmp_path, size, suffix):
    """Oblique, anisotropic, stored in an unusual order of axes: shape and affine of the scan, labels of the answer."""
    volume = reoriented(phantom(size, (21, 18, 12)), (2, 0, 1), (True, False, True))
    scan, card = write_nifti(tmp_path / "scan.nii.gz", volume), TINY.write(tmp_path)
    words = ("--i", scan, "--model", card, "--cpu")
    assert predict(*words, "--o", tmp_path / f"kept{suffix}", "--keepgeom", "--vol", tmp_path / "kept.csv") == 0
    assert predict(*words, "--o", tmp_path / f"fine{suffix}", "--vol", tmp_path / "fine.csv") == 0
    kept, fine, source = (nib.load(tmp_path / name) for name in (f"kept{suffix}", f"fine{suffix}", scan.name))
    assert kept.shape == source.shape
    np.testing.assert_allclose(kept.affine, source.affine, atol=1e-4)
    voxels = np.indices(kept.shape).reshape(3, -1).T
    places = apply_affine(np.linalg.inv(fine.affine) @ kept.affine, voxels)
    i, j, k = np.clip(np.rint(places), 0, np.array(fine.shape) - 1).astype(int).T
    expected = np.asanyarray(fine.dataobj)[i, j, k]
    assert np.mean(np.asanyarray(kept.dataobj).ravel() == expected) > 0.99
    assert len(np.unique(expected)) > 2
    assert (tmp_path / "kept.csv").read_bytes() == (tmp_path / "fine.csv").read_bytes()


def test_box_of_the_head_alone_is_segmented(tmp_path):
    head = nested_ellipsoids((21, 18, 24)) + 10
    wide = np.zeros((80, 60, 70))
    wide[40:61, 30:48, 10:34] = head
    scan = write_nifti(tmp_path / "scan.nii.gz", Volume(wide, oblique_affine()))
    words = ("--model", TINY.write(tmp_path), "--cpu", "--autocrop")
    assert predict("--i", scan, "--o", tmp_path / "s.nii.gz", *words) == 0
    labels = np.asanyarray(nib.load(tmp_path / "s.nii.gz").dataobj)
    assert labels.shape == wide.shape
    inside = np.zeros(wide.shape, bool)
    inside[39:63, 28:52, 7:39] = True
    assert labels[~inside].max() == 0
    assert len(np.unique(labels)) > 2
