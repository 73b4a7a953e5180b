"""``synthseg translate scans``: a folder of scans and labels becomes a derivative dataset."""

from __future__ import annotations

from synthseg_core.cli.main import main
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.translation import write_toy_translator


def _make(tmp_path):
    write_toy_translator(tmp_path / "toy")
    for number in (1, 2):
        for suffix in ("T1w", "T2w"):
            write_nifti(tmp_path / "in" / f"sub-0{number}_{suffix}.nii.gz", phantom((2.0,) * 3, seed=number), "int16")
        write_nifti(tmp_path / "labels" / f"sub-0{number}_dseg.nii.gz", phantom((2.0,) * 3), "uint8")


def _run(tmp_path, *words):
    fixed = ("--translator", tmp_path / "toy", "--to", "bright", "--device", "cpu", "--out", tmp_path / "out")
    return main(["translate", "scans", *map(str, (tmp_path / "in", *words, *fixed))])


def test_scans_of_one_contrast_with_their_labels(tmp_path, capsys):
    _make(tmp_path)
    words = ("--filter", "suffix=T1w", "--labels", tmp_path / "labels")
    assert _run(tmp_path, *words) == 0
    made = sorted(path.name for path in (tmp_path / "out").rglob("*.nii.gz"))
    assert made == [
        f"sub-0{number}_rec-bright_desc-translated_{suffix}.nii.gz" for number in (1, 2) for suffix in ("T1w", "dseg")
    ]
    assert "2 scans translated, 0 kept" in capsys.readouterr().out
    assert _run(tmp_path, *words) == 0
    assert "0 scans translated, 2 kept" in capsys.readouterr().out


def test_labels_that_do_not_belong_to_the_scans(tmp_path, capsys):
    _make(tmp_path)
    assert _run(tmp_path, "--labels", tmp_path / "labels") == 2
    assert "4 scans for 2 label maps" in capsys.readouterr().err
