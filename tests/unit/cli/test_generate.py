"""``synthseg generate``: files, their place in the world, continuation, replay, contact sheet, refusals."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.images.volume import Volume
from synthseg_core.synth import GenerationLabels
from synthseg_core.synth.sample_files import SampleRecord
from tests.phantoms.heads import head
from tests.phantoms.scans import oblique_affine, reoriented, write_nifti

SMALL = ["--set", "crop.shape=[32,40,36]", "--set", "crop.multiple=4"]


@pytest.fixture(scope="module")
def maps(tmp_path_factory) -> Path:
    """Two label maps, stored in two axis orders as (near) LIA and RAS."""
    folder = tmp_path_factory.mktemp("maps")
    labels = GenerationLabels.builtin()
    values = np.array(labels.values)
    for seed, (axes, flips) in enumerate([((0, 2, 1), (True, True, False)), ((0, 1, 2), (False,) * 3)]):
        volume = Volume(values[head(labels, seed=seed)], oblique_affine((1.0, 1.2, 0.9)))
        write_nifti(folder / f"head_{seed}.nii.gz", reoriented(volume, axes, flips), "int16")
    return folder


def generate(maps, out, *words, count=2, seed=5) -> int:
    numbers = ["--count", str(count), "--seed", str(seed)]
    return main(["generate", "--maps", str(maps), "--out", str(out), *numbers, *SMALL, *map(str, words)])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_finished_samples_are_kept(maps, tmp_path, capsys):
    out = tmp_path / "out"
    generate(maps, out, "--no-picture")
    before = contents(out)
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    generate(maps, out, "--no-picture", count=3)
    assert "1 sample made, 2 kept" in capsys.readouterr().out
    assert {name: (out / name).stat().st_mtime_ns for name in times} == times
    (out / "sample-0002_draw.json").unlink()  # as if the program had been killed
    (out / "sample-0001_draw.json").write_text("{")
    generate(maps, out, "--no-picture", count=3)
    assert "2 samples made, 1 kept" in capsys.readouterr().out
    assert before.items() <= contents(out).items()


def test_samples_of_another_seed_or_recipe_are_replaced(maps, tmp_path, capsys):
    generate(maps, tmp_path, "--no-picture")
    before = contents(tmp_path)
    generate(maps, tmp_path, "--no-picture", seed=6)
    assert "2 samples made, 0 kept" in capsys.readouterr().out
    assert not contents(tmp_path).items() & before.items()
    generate(maps, tmp_path, "--no-picture", "--set", "channels=2", seed=6)
    assert "2 samples made, 0 kept" in capsys.readouterr().out
    assert nib.load(tmp_path / "sample-0001_image.nii.gz").shape == (32, 40, 36, 2)


def test_crops_around_the_brain_are_kept_too(maps, tmp_path, capsys):
    words = ("--no-picture", "--set", "crop.centre=brain", "--set", "crop.jitter_voxels=3")
    generate(maps, tmp_path, *words)
    assert json.loads((tmp_path / "sample-0001_draw.json").read_text())["draw"]["corner"]
    generate(maps, tmp_path, *words)
    assert "0 samples made, 2 kept" in capsys.readouterr().out


@pytest.mark.parametrize("preset", ["official", "pv"])
def test_replay_gives_the_same_bytes(maps, tmp_path, preset):
    first, again = tmp_path / "first", tmp_path / "again"
    generate(maps, first, "--recipe", preset, "--no-picture", count=3)
    words = ["--maps", str(maps), "--replay", str(first / "sample-0003_draw.json"), "--out", str(again)]
    assert main(["generate", *words]) == 0
    found = contents(again)
    assert found.pop("contact_sheet.png")
    assert len(found) == 3
    assert found.items() <= contents(first).items()


def test_replay_with_other_maps_is_refused(maps, tmp_path, capsys):
    generate(maps, tmp_path / "out", "--no-picture", count=1)
    record = tmp_path / "out" / "sample-0001_draw.json"
    name = SampleRecord.read(record).map_name
    other = tmp_path / "maps" / f"{name}.nii.gz"
    other.parent.mkdir()
    image = nib.load(maps / f"{name}.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[::-1], image.affine), other)
    words = ["--replay", str(record), "--out", str(tmp_path / "again"), "--no-picture"]
    assert main(["generate", "--maps", str(other.parent), *words]) == 2
    assert "another label map" in capsys.readouterr().err
    other.rename(other.with_name("other.nii.gz"))
    assert main(["generate", "--maps", str(other.parent), *words]) == 2
    assert f"no label maps called {name}" in capsys.readouterr().err


def test_replay_warns_of_other_versions(maps, tmp_path, capsys):
    generate(maps, tmp_path / "out", "--no-picture", count=1)
    record = tmp_path / "out" / "sample-0001_draw.json"
    record.write_text(record.read_text().replace('"version": "', '"version": "0.0.0-'))
    main(["generate", "--maps", str(maps), "--replay", str(record), "--out", str(tmp_path / "again"), "--no-picture"])
    assert "was made by version 0.0.0-" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--count", "0"], "--count: found 0"),
        (["--seed", "-1"], "--seed: found -1"),
        (["--recipe", "officious"], "found preset 'officious'"),
        (["--recipe", "absent.yaml"], "absent.yaml: found no readable recipe"),
        (["--set", "crop"], "--set: found 'crop'"),
        (["--set", "crop.shap=3"], "unknown entries shap"),
        (["--labels", "absent.tsv"], "absent.tsv"),
        (["--maps", "absent"], "absent"),
        (["--replay", "absent.json"], "absent.json: found no readable record of a sample"),
        (["--set", "output_column=outputs"], "also outputs"),
        (["--device", "abacus"], "--device"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(maps, tmp_path, capsys, words, message):
    assert generate(maps, tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_bad_maps_are_found_before_anything_is_made(maps, tmp_path, capsys):
    folder = tmp_path / "maps"
    folder.mkdir()
    for path in maps.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    write_nifti(folder / "z.nii.gz", Volume(np.full((44, 56, 50), 999), oblique_affine((1.0, 1.2, 0.9))), "int16")
    assert generate(folder, tmp_path / "out") == 2
    assert "z.nii.gz: found a value that the label list lacks (999)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_pictures_need_matplotlib_and_say_so_first(maps, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert generate(maps, tmp_path / "out") == 2
    assert "pip install 'synthseg-bids[pictures]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert generate(maps, tmp_path / "out", "--no-picture", count=1) == 0


def test_sheet_of_several_contrasts(maps, tmp_path):
    assert generate(maps, tmp_path, "--set", "channels=2", "--set", "sampling_map=distance") == 0
    from matplotlib.image import imread

    height = imread(tmp_path / "contact_sheet.png").shape[0]
    assert height == pytest.approx(4 * 192 + 22, abs=4)
