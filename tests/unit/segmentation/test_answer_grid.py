"""Models that work at one voxel size and answer at another: 2 mm inside, 1 mm outside."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from scipy.ndimage import map_coordinates

from synthseg_core.cli.main import main
from synthseg_core.errors import InputError, ModelError
from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.models.card_file import read_card
from synthseg_core.models.loading import Models, load_models
from synthseg_core.models.registry import load_card
from synthseg_core.quirks import NATIVE, REFERENCE
from synthseg_core.segmentation import quality, record
from synthseg_core.segmentation.record import label_map_on
from synthseg_core.segmentation.segment import Segmentation, scan_at_answer, segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions
from synthseg_core.system.tables import read_tsv
from tests.phantoms.models import FINER, STRUCTURE_LABELS, TINY, TinyModel, write_family
from tests.phantoms.scans import phantom, reoriented, write_nifti

SIZES = [(1.0, 1.0, 1.0), (1.02, 0.97, 1.0), (1.1, 0.8, 2.4), (2.0, 2.0, 2.0), (0.7, 3.1, 1.4)]
QUIRKS = pytest.mark.parametrize("quirks", [NATIVE, REFERENCE], ids=["native", "reference"])


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Models]:
    folder = tmp_path_factory.mktemp("models")
    return {model.name: load_models(load_card(model.write(folder))) for model in (TINY, FINER)}


def _scan(voxel_size) -> Scan:
    volume = reoriented(phantom(voxel_size, (21, 26, 13)), (1, 2, 0), (True, False, False))
    return Scan(volume, volume.voxel_size, Path("phantom.nii.gz"))


def _segment(models: Models, scan: Scan, **options) -> Segmentation:
    return segment_scan(scan, models, SegmentOptions(**options))


@QUIRKS
@pytest.mark.parametrize("voxel_size", SIZES)
def test_the_answer_lies_where_a_1_mm_model_answers(models, voxel_size, quirks):
    scan = _scan(voxel_size)
    fine, coarse = (_segment(models[name], scan, quirks=quirks) for name in ("tiny", "finer"))
    assert coarse.label_map.shape == fine.label_map.shape
    np.testing.assert_allclose(coarse.label_map.affine, fine.label_map.affine, atol=1e-9)
    assert coarse.label_map.data.dtype == np.int32
    assert set(np.unique(coarse.label_map.data)) <= set(STRUCTURE_LABELS)
    assert max(coarse.record.grid_shape) <= (max(fine.record.grid_shape) + 2) / 2


@QUIRKS
@pytest.mark.parametrize("voxel_size", SIZES)
def test_the_scan_can_be_had_on_the_grid_of_the_answer(models, voxel_size, quirks):
    scan = _scan(voxel_size)
    fine, coarse = (_segment(models[name], scan, quirks=quirks) for name in ("tiny", "finer"))
    expected, found = (scan_at_answer(scan, result, quirks) for result in (fine, coarse))
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert found.data.shape == coarse.label_map.shape
    np.testing.assert_array_equal(found.data, expected.data)
    np.testing.assert_allclose(found.affine, coarse.label_map.affine, atol=1e-9)


@QUIRKS
@pytest.mark.parametrize("voxel_size", [(1.1, 0.8, 2.4), (0.7, 3.1, 1.4)])
def test_posteriors_are_interpolated_class_by_class_before_the_decision(models, voxel_size, quirks):
    """Against scipy, through world coordinates."""
    result = _segment(models["finer"], _scan(voxel_size), quirks=quirks)
    posteriors, answer = result.posteriors, result.label_map
    to_coarse = np.linalg.inv(posteriors.affine) @ answer.affine
    points = (
        np.einsum("ab,bijk->aijk", to_coarse[:3, :3], np.indices(answer.shape)) + to_coarse[:3, 3, None, None, None]
    )
    classes = [
        map_coordinates(channel, points, order=1, mode="nearest") for channel in np.moveaxis(posteriors.data, -1, 0)
    ]
    ordered = np.sort(classes, axis=0)
    clear = ordered[-1] - ordered[-2] > 1e-4
    expected = np.array(STRUCTURE_LABELS)[np.argmax(classes, axis=0)]
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(answer.data[clear], expected[clear])


def test_native_answer_has_the_grid_of_the_scan(models):
    scan = _scan((0.7, 3.1, 1.4))
    native = (result := _segment(models["finer"], scan)).label_map_on(result.record.source)
    assert native.shape == scan.volume.shape
    np.testing.assert_array_equal(native.affine, scan.volume.affine)


@pytest.mark.parametrize("voxel_size", SIZES)
@pytest.mark.parametrize("options", [{}, {"crop": (8, 8, 8)}], ids=["whole", "crop"])
@pytest.mark.parametrize("name", ["tiny", "finer"])
def test_an_answer_that_is_there_already_is_the_one_that_would_be_made(models, name, options, voxel_size):
    result = _segment(models[name], _scan(voxel_size), **options)
    for grid in (result.record.grid, result.answer, result.record.source, result.record.isotropic_grid(1.0)):
        found = result.label_map_on(grid)
        made = label_map_on(grid, result.channel_posteriors, result.record, result.labels.labels)
        np.testing.assert_array_equal(found.data, made.data)
        np.testing.assert_array_equal(found.affine, made.affine)
        assert found.data.dtype == made.data.dtype


def test_the_answer_is_not_interpolated_again(models, monkeypatch):
    """At 1 mm where the scan is resampled, on the scan's own grid where it has 1 mm already."""
    results = [_segment(models["finer"], _scan(voxel_size)) for voxel_size in ((1.1, 0.8, 2.4), (1.0, 1.0, 1.0))]
    monkeypatch.setattr(record, "argmax_classes", lambda *_: pytest.fail("interpolated again"))
    assert results[0].label_map_on(results[0].record.isotropic_grid(1.0)) is results[0].label_map
    assert results[1].label_map_on(results[1].record.source) is results[1].label_map


def _mm3(volume: Volume, label: int) -> float:
    return float((volume.data == label).sum() * np.prod(volume.voxel_size))


def test_volumes_are_cubic_millimetres(models):
    result = _segment(models["finer"], _scan((1.1, 0.8, 2.4)))
    native = result.label_map_on(result.record.source)
    for row in result.volumes.rows[1:]:
        channel = STRUCTURE_LABELS.index(row.label)
        assert row.soft_mm3 == pytest.approx(8 * result.channel_posteriors[channel].sum(dtype=float))
        assert row.hard_mm3 == pytest.approx(_mm3(result.label_map, row.label))
        assert row.hard_mm3 == pytest.approx(_mm3(native, row.label), rel=0.5)
    assert result.volumes.rows[0].hard_mm3 == pytest.approx(sum(row.hard_mm3 for row in result.volumes.rows[1:]))


def test_a_crop_leaves_background_around_it(models):
    scan = _scan((1.0, 1.0, 1.0))
    result = _segment(models["finer"], scan, crop=(8, 8, 8))
    assert result.label_map.shape == scan.volume.shape
    whole, inside = np.count_nonzero(result.label_map.data), result.label_map_on(result.record.source).data
    assert 0 < whole == np.count_nonzero(inside)
    occupied = np.argwhere(result.label_map.data)
    assert (occupied.max(axis=0) - occupied.min(axis=0) < 18).all()


def test_an_answer_that_would_not_fit_is_refused_before_the_network_runs(models):
    scan = _scan((2.0, 2.0, 2.0))
    with pytest.raises(InputError, match="voxels of 1 mm"):
        _segment(models["finer"], scan, memory_bytes=1_000_000)


def test_the_reference_command_answers_at_1_mm(tmp_path):
    cards = {model.name: model.write(tmp_path / "models") for model in (TINY, FINER)}
    scan = write_nifti(tmp_path / "scan.nii.gz", _scan((1.1, 0.8, 2.4)).volume)
    images = {}
    for name, card in cards.items():
        out = tmp_path / name
        words = [word for flag in ("o", "resample", "post") for word in (f"--{flag}", str(out / f"{flag}.nii.gz"))]
        assert main(["predict", "--i", str(scan), "--model", str(card), "--vol", str(out / "vol.csv"), *words]) == 0
        images[name] = {flag: nib.load(out / f"{flag}.nii.gz") for flag in ("o", "resample", "post")}
    for flag in ("o", "resample"):
        fine, coarse = images["tiny"][flag], images["finer"][flag]
        assert coarse.shape == fine.shape
        np.testing.assert_allclose(coarse.affine, fine.affine, atol=1e-5)
    np.testing.assert_allclose(images["finer"]["post"].header.get_zooms()[:3], 2, atol=1e-5)
    header, row = (tmp_path / "finer" / "vol.csv").read_text().splitlines()
    assert header.count(",") == row.count(",") == 4


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--robust"], "--robust: found --model "),
        (["--v1"], "--model: found --v1 as well"),
        (["--parc"], "found a request for parcellation"),
        (["--qc", "qc.csv"], "found a request for quality"),
    ],
)
def test_flags_that_do_not_go_with_a_named_model(tmp_path, capsys, flags, said):
    card = FINER.write(tmp_path)
    scan = write_nifti(tmp_path / "scan.nii.gz", phantom())
    words = ["predict", "--i", str(scan), "--o", str(tmp_path / "o.nii.gz"), "--model", str(card), *flags]
    assert main([word.replace("qc.csv", str(tmp_path / "qc.csv")) for word in words]) == 2
    assert said in capsys.readouterr().err


def test_parcels_need_one_grid(tmp_path):
    path = write_family(tmp_path)
    content = yaml.safe_load(path.read_text())
    content["grid"]["answer_voxel_size_mm"] = 2.0
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ModelError, match="parcels of a model that answers on another grid"):
        read_card(path)


def test_answers_of_impossible_size_are_refused(tmp_path):
    grid = {"voxel_size_mm": 2.0, "multiple_voxels": 8, "answer_voxel_size_mm": 0.0}
    with pytest.raises(ModelError, match="positive sizes"):
        read_card(TinyModel(grid=grid).write(tmp_path))


def test_scores_do_not_mind_the_grid_of_the_answer(tmp_path, monkeypatch):
    """They start from the class map on the network's grid: at once, from a stored decision, and by the drop-in."""
    monkeypatch.setattr(quality, "BOX_EDGE_MM", 32)
    path = write_family(tmp_path)
    content = yaml.safe_load(path.read_text())
    content["companions"].pop("parcellation")
    content["grid"]["answer_voxel_size_mm"] = 2.0
    path.write_text(yaml.safe_dump(content))
    scan = write_nifti(tmp_path / "scan.nii.gz", phantom((1.5, 1.0, 1.2), (30, 33, 27)))
    words = ["--model", str(path), "--threads", "1"]
    decision, dseg = tmp_path / "decision.npz", tmp_path / "dseg.nii.gz"
    assert main(["segment", str(scan), *words, "--dseg", str(dseg), "--decision", str(decision)]) == 0
    assert main(["qc", "--decision", str(decision), *words, "--scores", str(tmp_path / "qc.tsv")]) == 0
    stored = [float(row["score"]) for row in read_tsv(tmp_path / "qc.tsv")]
    models = load_models(load_card(path), quality=True)
    at_once = segment_scan(read_scan(scan), models)
    assert at_once.answer is not at_once.record.grid
    assert stored == [score.score for score in at_once.quality]
    out = ["--i", str(scan), "--o", str(tmp_path / "o.nii.gz"), "--qc", str(tmp_path / "qc.csv")]
    assert main(["predict", *words, *out]) == 0
    _, row = (tmp_path / "qc.csv").read_text().splitlines()
    assert len(row.split(",")) == 1 + len(stored)
