"""Which pictures belong to a domain, whose they are, and the size that their pixels get."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthseg_core.errors import InputError, UsageError
from synthseg_core.translation.microscopy import Picture, Place, find_pictures, scaled, with_places
from synthseg_core.translation.sources import Source
from tests.phantoms.trees import make_tree


def _found(folder, **options):
    return [
        (one.source.path.relative_to(folder).as_posix(), one.source.subject)
        for one in find_pictures("x", [Place(folder)], **options)
    ]


def test_folders_are_searched_without_those_that_are_excluded(tmp_path):
    make_tree(
        tmp_path,
        ["b.tif", "deep/er/a.PNG", "derivatives/labels/b.png", ".git/x.png", "old/c.tiff", "notes.txt", ".hidden.png"],
    )
    assert _found(tmp_path) == [("b.tif", "sub-b"), ("deep/er/a.PNG", "sub-a"), ("old/c.tiff", "sub-c")]
    assert _found(tmp_path, exclude=("old", "deep", ".git")) == [
        ("b.tif", "sub-b"),
        ("derivatives/labels/b.png", "sub-b"),
    ]


def test_subjects_of_bids_and_of_a_pattern(tmp_path):
    make_tree(tmp_path, ["sub-01/micr/sub-01_sample-1_SEM.png", "sub-01/micr/sub-01_sample-2_SEM.png", "rat7_a.png"])
    assert [subject for _, subject in _found(tmp_path)] == ["sub-rat7a", "sub-01", "sub-01"]
    assert [subject for _, subject in _found(tmp_path, pattern=r"(rat\d|sample-\d)")] == [
        *("sub-rat7", "sub-sample1", "sub-sample2"),
    ]
    for pattern, message in (("(", "expected a regular expression"), ("x", "a group"), ("(rat)", "that fits")):
        with pytest.raises(UsageError, match=message):
            _found(tmp_path, pattern=pattern)


def test_images_of_nnunet_and_their_sidecars(tmp_path):
    make_tree(tmp_path, ["imagesTr/c1_0000.png", "labelsTr/c1.png", "imagesTs/c2_0000.png"])
    assert _found(tmp_path) == [("imagesTr/c1_0000.png", "sub-c1")]
    (tmp_path / "imagesTr" / "c1_0000.json").write_text(json.dumps({"PixelSize": [0.1, 0.1]}))
    (picture,) = find_pictures("x", [Place(tmp_path)])
    assert picture.pixel_um == pytest.approx((0.1, 0.1))
    make_tree(tmp_path, ["imagesTr/c1_0001.png"])
    with pytest.raises(InputError, match="a second channel of a case"):
        find_pictures("x", [Place(tmp_path)])


def test_empty_and_missing_folders(tmp_path):
    with pytest.raises(InputError, match="SEM: found no picture in"):
        find_pictures("SEM", [Place(tmp_path)])
    with pytest.raises(InputError, match="no such file or folder"):
        find_pictures("SEM", [Place(tmp_path / "nothing")])


def test_numbers_for_one_or_all_folders():
    folders = [Path("a"), Path("b")]
    assert [one.scale for one in with_places(folders, [0.5], [])] == [0.5, 0.5]
    assert [one.pixel_um for one in with_places(folders, [], [1.0, 2.0])] == [1, 2]
    with pytest.raises(UsageError, match="--pixel-size: found 3 numbers; expected one, or one for each of 2 folders"):
        with_places(folders, [], [1.0, 2.0, 3.0])
    with pytest.raises(UsageError, match="scale: found 0; expected more than 0"):
        with_places(folders, [0.0], [])


def _picture(domain, size=None, scale=None):
    return Picture(Source(domain, "sub-1", "", Path(f"/{domain}.png")), scale, size and (size, size))


@pytest.mark.parametrize(
    ("first", "second", "spacing", "factors", "result"),
    [
        ({}, {}, None, (1, 1), None),
        ({"scale": 0.5}, {}, None, (0.5, 1), None),
        ({"size": 0.1}, {"size": 0.1}, None, (1, 1), 0.1),
        ({"size": 0.1}, {"size": 0.05, "scale": 0.5}, None, (1, 0.5), 0.1),
        ({"size": 0.1}, {"size": 0.2}, 0.2, (0.5, 1), 0.2),
        ({"size": 0.1}, {"scale": 2.0}, 0.2, (0.5, 2), 0.2),
    ],
)
def test_pixels_of_one_size(first, second, spacing, factors, result):
    made = scaled([_picture("a", **first), _picture("b", **second)], spacing)
    assert [rows for rows, _ in made.factors] == pytest.approx(list(factors))
    assert made.spacing_um == result


@pytest.mark.parametrize(
    ("first", "second", "spacing", "message"),
    [
        (
            {"size": 0.1},
            {"size": 0.2},
            None,
            "found pixels of several sizes, µm: a 0.1, b 0.2; expected one size",
        ),
        ({"size": 0.1}, {}, None, r"/b\.png: found no size of its pixels"),
        ({"size": 0.1}, {}, 0.1, r"/b\.png: found no size of its pixels"),
        ({"size": 0.1}, {"scale": 0.5}, None, "several sizes, µm: a 0.1, b unknown"),
    ],
)
def test_unequal_pixels_need_a_choice(first, second, spacing, message):
    with pytest.raises(UsageError, match=message):
        scaled([_picture("a", **first), _picture("b", **second)], spacing)


def test_pixels_that_are_not_square_need_a_choice():
    picture = Picture(Source("a", "sub-1", "", Path("/a.png")), None, (0.1, 0.2))
    with pytest.raises(UsageError, match=r"a 0\.1 x 0\.2"):
        scaled([picture, picture], None)
    assert scaled([picture], 0.1).factors == ((1.0, 2.0),)
