import numpy as np
import pytest

from synthseg_core.images.mosaic import RasVolume
from synthseg_core.reports.plausibility import explained_variance, judge
from tests.phantoms.reports import FAULTS, TABLE, VOXEL_SIZE, head_labels, scan_of, spoilt

NAMES = dict(zip(TABLE.labels, TABLE.names, strict=True))
SIDES = dict(zip(TABLE.labels, TABLE.sides, strict=True))


def judged(fault="", *, scan=True):
    good = head_labels()
    image = RasVolume.of(scan_of(good)) if scan else None
    return judge(RasVolume.of(spoilt(good, fault)), image, NAMES, SIDES)


def test_nothing_speaks_against_a_good_segmentation():
    found = judged()
    assert found.agreement > 0.9
    assert (found.empty, found.swapped, found.absent, found.cut, found.better) == (False, False, (), (), "")


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_shows_and_alone(fault):
    found = judged(fault)
    assert {"shifted": bool(found.better), "flipped": found.swapped, "lacking": found.absent == (NAMES[17],),
            "empty": found.empty} == {one: one == fault for one in FAULTS}  # fmt: skip
    if fault == "shifted":
        assert found.better == "20 mm to the back"
        assert found.agreement < 0.7 * judged().agreement


def test_without_the_scan_what_the_labels_alone_tell_is_told():
    found = judged("flipped", scan=False)
    assert found.agreement is None
    assert found.swapped


def test_labels_that_explain_hardly_anything_are_told_and_no_others():
    good = head_labels()
    labels, scan = RasVolume.of(good), scan_of(good)
    rng = np.random.default_rng(3)
    something_else = RasVolume(rng.normal(100, 30, scan.data.shape).astype(np.float32), scan.affine)
    found = judge(labels, something_else, NAMES, SIDES)
    assert found.loose.startswith("the labels explain only 0% of the intensities in and around them, less than 15%")
    for judgement in (judged(), judged("shifted"), judged("empty"), judged(scan=False)):
        assert judgement.loose == ""


def test_explained_variance_of_a_case_done_by_hand():
    labels = np.zeros((4, 4, 4), np.int32)
    labels[2:] = 1
    scan = np.where(labels == 1, 3.0, 1.0)
    volume = RasVolume(labels, np.eye(4))
    assert explained_variance(volume, scan) == pytest.approx(1)
    scan[:, ::2] += 1.0  # a variance of 1/4 inside labels, beside 1 between them
    assert explained_variance(volume, scan) == pytest.approx(0.8)
    assert explained_variance(volume, np.zeros_like(scan)) == 0


def test_a_brain_that_is_cut_off_names_the_face():
    good = head_labels()
    cut = RasVolume(good.data[:, :, 14:], good.affine)
    assert judge(cut, None, NAMES, SIDES).cut == ("bottom",)
    assert VOXEL_SIZE[2] * 14 > 60
