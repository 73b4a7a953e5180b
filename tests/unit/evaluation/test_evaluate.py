"""Reading pairs: orders of axes, other grids, masks; processes side by side; a broken pair costs no other."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.errors import GeometryError, UsageError
from synthseg_core.evaluation.comparison import Options, Structure
from synthseg_core.evaluation.evaluate import Evaluation, compare_pair, evaluate, read_pair, require_labels
from synthseg_core.evaluation.pairing import Pair
from synthseg_core.evaluation.results import MEAN, MEASURES
from synthseg_core.images.volume import Volume
from tests.phantoms.label_maps import halves
from tests.phantoms.scans import oblique_affine, write_nifti

AFFINE = oblique_affine((1.0, 1.2, 0.9))


@pytest.fixture
def pair(tmp_path):
    """Write a pair: the segmentation is the reference with its halves a voxel further along the second axis."""

    def write(reference=None, segmentation=None, affine=AFFINE, other_affine=AFFINE, number=0, model="m"):
        first = halves() if reference is None else reference
        second = np.roll(halves(), 1, axis=1) if segmentation is None else segmentation
        paths = [tmp_path / f"{model}{number}_{side}.nii.gz" for side in ("true", "found")]
        write_nifti(paths[0], Volume(first, affine), "int16")
        write_nifti(paths[1], Volume(second, other_affine), "int16")
        return Pair(f"scan{number}", model, *paths)

    return write


def dice(compared) -> dict[str, float]:
    return {agreement.structure.name: agreement.dice for agreement in compared.agreements}


def test_every_label_is_compared_under_its_name(pair):
    found = dice(compare_pair(pair(), Evaluation(names={24: "fluid"})))
    assert set(found) == {"fluid", "label 2", "label 13", "label 41", "label 52"}
    assert 0 < found["fluid"] < 1


def test_files_with_their_axes_in_another_order_are_on_one_grid(pair):
    turned = np.roll(halves(), 1, axis=1).transpose(2, 0, 1)[::-1]
    affine = AFFINE.copy()
    affine[:3, :3] = AFFINE[:3, [2, 0, 1]] * [-1, 1, 1]
    affine[:3, 3] = AFFINE[:3, 3] + AFFINE[:3, 2] * (halves().shape[2] - 1)
    other = pair(segmentation=turned, other_affine=affine, number=1)
    assert dice(compare_pair(other, Evaluation())) == dice(compare_pair(pair(), Evaluation()))


def test_other_grids_need_a_choice(pair):
    """The segmentation has a voxel less at one side; brought to the reference's grid, it is what it was."""
    cut = pair(segmentation=halves()[1:], other_affine=_moved(AFFINE, (1, 0, 0)))
    with pytest.raises(GeometryError, match=r"another grid than that of .*--resample segmentation, or reference"):
        read_pair(cut)
    brought = read_pair(cut, "segmentation")
    assert np.array_equal(brought.segmentation, brought.reference)
    assert read_pair(cut, "reference").reference.shape == (11, 17, 9)


def test_a_mask_must_lie_on_the_grid(pair, tmp_path):
    plain = pair()
    write_nifti(tmp_path / "mask.nii", Volume(np.ones(halves().shape), AFFINE))
    everything = Pair(plain.scan, plain.model, plain.reference, plain.segmentation, tmp_path / "mask.nii")
    assert read_pair(everything).labels == ()
    write_nifti(tmp_path / "mask.nii", Volume(np.ones((3, 4, 5)), AFFINE))
    with pytest.raises(GeometryError, match="give a mask on the same grid"):
        read_pair(everything)


def test_a_broken_pair_costs_no_other(pair):
    good, broken = pair(), pair(number=1)
    broken.segmentation.write_bytes(b"no image")
    told = []
    results = evaluate([broken, good], Evaluation(), progress=lambda *counts: told.append(counts))
    assert [one.pair.scan for one in results.compared] == ["scan0"]
    assert [failure.scan for failure in results.failures] == ["scan1 (m)"]
    assert told == [(1, 2), (2, 2)]


def test_processes_give_the_same_in_the_same_order(pair):
    pairs = [pair(number=number, segmentation=np.roll(halves(), number, axis=0)) for number in range(3)]
    assert evaluate(pairs, Evaluation(), jobs=2) == evaluate(pairs, Evaluation())


def test_each_pair_has_a_row_for_every_structure(pair):
    without = np.where(halves() == 52, 0, halves())
    pairs = [pair(), pair(without, without, number=1)]
    group = Structure("nuclei", (13, 52))
    results = evaluate(pairs, Evaluation(groups=(group,)))
    assert results.structures == ("label 2", "label 13", "label 24", "label 41", "label 52", "nuclei")
    assert [len(one.agreements) for one in results.compared] == [6, 6]
    assert results.compared[1].agreements[4].remark == "absent in both"
    values = results.values("m", MEASURES[0])
    single = [values[name][0] for name in results.structures if name != "nuclei"]
    assert values[MEAN][0] == pytest.approx(np.mean(single))


def test_what_was_asked_for_must_be_somewhere(pair):
    require_labels([pair()], (13, 52), "never")
    with pytest.raises(UsageError, match="7, 99, in no reference and no segmentation"):
        require_labels([pair()], (13, 99, 7), "never")
    require_labels([pair()], (13, 99, 7), "never", every=False)
    with pytest.raises(UsageError, match="7, 99, in no reference"):
        require_labels([pair()], (99, 7), "never", every=False)


def test_without_surfaces_their_measures_are_left_out(pair):
    results = evaluate([pair()], Evaluation(options=Options(surfaces=False)))
    assert [measure.column for measure in results.measures][:2] == ["dice", "volume_similarity"]


def _moved(affine: np.ndarray, voxels) -> np.ndarray:
    result = affine.copy()
    result[:3, 3] += affine[:3, :3] @ np.array(voxels)
    return result


def test_grids_may_differ_by_rounding(pair):
    close = pair(other_affine=_moved(AFFINE, (1e-4, 0, 0)))
    assert read_pair(close).reference.shape == halves().shape
