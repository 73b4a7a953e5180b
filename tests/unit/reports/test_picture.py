import dataclasses
import sys

import numpy as np
import pytest

from synthseg_core.bids.names import derivative
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.bids.scan_table import write_table
from synthseg_core.cli.demo import __main__ as command
from synthseg_core.errors import InputError, UsageError
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.models.registry import load_card
from synthseg_core.reports import picture
from synthseg_core.reports.picture import expectation
from tests.workflow.runs import REPOSITORY, run

CARD = load_card("synthseg-2.0")
LEFT, RIGHT = 10, 49


def head(shape=(21, 25, 19), voxel=1.0):
    """A ball about the origin whose left half is labelled left thalamus."""
    affine = np.diag([1.0, 1.0, voxel, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    x, y, z = np.einsum("ab,bijk->aijk", affine[:3, :3], np.indices(shape)) + affine[:3, 3, None, None, None]
    inside = x**2 + y**2 + z**2 < 90
    labels = np.where(inside, np.where(x < 0, LEFT, RIGHT), 0)
    return Volume(np.where(inside, 100 + z, 0), affine), Volume(labels.astype(np.int32), affine)


@pytest.fixture
def derivatives(tmp_path):
    """What synthseg-bids leaves: a scan of 1 mm, one of thick slices, one that failed, one that was left out."""
    rows = []
    for number, (suffix, voxel) in enumerate((("T1w", 1.0), ("T2w", 3.0), ("PDw", None)), start=1):
        stem, path = f"sub-{number}/anat/sub-{number}_space-{suffix}", f"sub-{number}/anat/sub-{number}_{suffix}.nii"
        rows.append(ScanRow(stem, f"sub-{number}", "", suffix, path, str(tmp_path / "raw" / path)))
        if voxel:
            scan, labels = head((21, 25, int(19 / voxel)), voxel)
            write_volume(tmp_path / "raw" / path, scan)
            write_volume(tmp_path / derivative(stem, "dseg"), labels)
            write_volume(tmp_path / derivative(stem, "dseg_1mm"), head()[1])
    rows.append(ScanRow("", "", "", "", "x.nii", "/x.nii", "a link to a file that is not there"))
    write_table(tmp_path / ".work" / "scans.tsv", rows)
    return tmp_path


def test_rows_are_the_segmented_scans(derivatives):
    rows = list(picture._rows(derivatives))
    assert [row.title for row in rows] == [
        "sub-1_T1w.nii, voxels of 1 x 1 x 1 mm",
        "sub-2_T2w.nii, voxels of 1 x 1 x 3 mm",
        "sub-2_T2w.nii, voxels of 1 x 1 x 3 mm: its label map at 1 mm",
    ]
    assert rows[1].labels.shape == rows[1].scan.shape != rows[2].labels.shape


def test_left_is_on_the_right_and_lighter(derivatives):
    pytest.importorskip("matplotlib", reason="the extra 'pictures' is not installed")
    figure = picture._draw(tuple(picture._rows(derivatives))[:1], CARD, (-3.0, 0.0, 0.0))
    panel = figure.subfigs[0].axes[1]
    paint, (left, right, _, _) = panel.images[1].get_array(), panel.images[1].get_extent()
    assert left > right
    assert panel.get_xlim()[0] > panel.get_xlim()[1]  # the larger coordinate, right of the head, on the left
    row = paint[paint.shape[0] // 2]
    assert row[6, 1] == pytest.approx(0.55 * 118 / 255)
    assert row[-7, 1] == pytest.approx(118 / 255)
    assert [text.get_text() for text in panel.texts] == ["R", "L", "P", "A"]
    assert figure.subfigs[0].axes[4].get_title() == "sagittal, x = -3 mm (left)"
    assert [text.get_text() for text in figure.subfigs[-1].legends[0].get_texts()] == ["thalamus"]


def test_same_labels_same_bytes(derivatives):
    pytest.importorskip("matplotlib", reason="the extra 'pictures' is not installed")
    for name in ("a.png", "b.png"):
        assert command.main(["picture", str(derivatives), str(derivatives / name), "--model", "tiny-random"]) == 0
    content = (derivatives / "a.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert content == (derivatives / "b.png").read_bytes()


def test_nothing_segmented_is_one_line(derivatives, tmp_path, capsys):
    for path in derivatives.rglob("*_dseg.nii.gz"):
        path.unlink()
    with pytest.raises(InputError, match=r"no segmented scan; expected at least one"):
        picture.write_picture(derivatives, CARD, tmp_path / "x.png")
    assert command.main(["picture", str(derivatives), str(tmp_path / "x.png"), "--model", "tiny-random"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_without_matplotlib_the_extra_is_named(derivatives, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'synthseg-bids\[pictures\]'"):
        picture.write_picture(derivatives, CARD, derivatives / "x.png")


def test_the_words_come_from_the_card():
    title, measured = expectation(load_card("tiny-random"))
    assert title == "tiny-random: RANDOM weights, no anatomical meaning; for demonstrations and tests only"
    assert measured == "its card records no measured Dice"
    dice = {"synthetic": {"score": 0.5678, "scans": 40}, "labelled": {"score": 0.61}, "odd": {}}
    text = expectation(dataclasses.replace(CARD, training={"dice": dice}))
    assert [line.partition(" (")[0] for line in text[1:]] == [
        "mean Dice on synthetic scans of heads that it was not trained on: 0.57",
        "mean Dice on labelled real scans: 0.61",
    ]


def test_commands_of_the_makefile_exist(tmp_path):
    lines = run(
        ["make", "-n", "-W", "pyproject.toml", "demo", "DEMO_MODEL=tiny-random"], REPOSITORY
    ).stdout.splitlines()
    words = [line.split() for line in lines if "-m synthseg_core.cli.demo" in line]
    parsed = [command.build_parser().parse_args(line[line.index("synthseg_core.cli.demo") + 1 :]) for line in words]
    assert [options.action for options in parsed][-2:] == ["picture", "weights"]
    assert {options.model for options in parsed if hasattr(options, "model")} == {"tiny-random"}


def test_phantoms_and_template_are_written(tmp_path, capsys, monkeypatch):
    assert command.main(["phantoms", str(tmp_path / "p")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    monkeypatch.setattr("synthseg_core.cli.demo.template.find_spec", lambda _: None)
    assert command.main(["dataset", str(tmp_path / "t")]) == 2
    assert "no nilearn" in capsys.readouterr().err


def test_matplotlib_is_loaded_only_to_draw():
    done = run(
        [sys.executable, "-c", "import sys, synthseg_core.cli.demo.__main__ as m; print('matplotlib' in sys.modules)"],
        REPOSITORY,
    )
    assert done.stdout.strip() == "False"
