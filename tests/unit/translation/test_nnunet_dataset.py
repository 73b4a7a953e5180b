"""Labelled datasets of nnU-Net in another contrast: names, labels byte for byte, sizes, and every refusal."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from synthseg_core.errors import InputError, UsageError
from synthseg_core.translation.nnunet_dataset import (
    Names,
    labelled_cases,
    next_commands,
    read_labels,
    translated_picture,
    write_dataset,
)
from synthseg_core.translation.pictures import picture_shape, read_picture
from tests.phantoms.pictures import cells, nnunet_folder, save

NAMES = Names(7, "SEM", "TEM")


def _same(_):
    return (1.0, 1.0)


def _made(tmp_path, factors=(1.0, 1.0), ending=".png"):
    source = nnunet_folder(tmp_path / "Dataset001_SEM", ending=ending)
    cases = labelled_cases(source, lambda _: factors)
    seen = []

    def inverted(image):
        seen.append(image)
        return -image

    return source, write_dataset(tmp_path / "raw", NAMES, cases, read_labels(source, cases), inverted), seen


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_layout_names_and_labels(tmp_path, ending):
    source, out, seen = _made(tmp_path, ending=ending)
    assert out == tmp_path / "raw" / "Dataset007_SYNTH_TEM_from_SEM"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*")) == sorted(
        [
            *("dataset.json", "imagesTr", "imagesTs", "labelsTr", "originals.json"),
            *(f"imagesTr/SYNTH_TEM_00{n}_0000{ending}" for n in range(3)),
            *(f"labelsTr/SYNTH_TEM_00{n}{ending}" for n in range(3)),
        ]
    )
    for number in range(3):
        label = out / "labelsTr" / f"SYNTH_TEM_00{number}{ending}"
        assert label.read_bytes() == (source / "labelsTr" / f"case{number}{ending}").read_bytes()
        picture = read_picture(out / "imagesTr" / f"SYNTH_TEM_00{number}_0000{ending}")
        np.testing.assert_array_equal(picture, 255 - cells((40 + 3 * number, 52 + number), number)[0])
    assert all(image.dtype == np.float32 for image in seen)
    facts = json.loads((out / "dataset.json").read_text())
    assert facts["labels"] == {"background": 0, "myelin": 1, "axon": 2}
    assert (facts["channel_names"], facts["numTraining"]) == ({"0": "rescale_to_0_1"}, 3)
    assert facts["file_ending"] == ending
    assert json.loads((out / "originals.json").read_text())[f"imagesTr/SYNTH_TEM_001_0000{ending}"] == {
        "image": str(source / "imagesTr" / f"case1_0000{ending}"),
        "labels": str(source / "labelsTr" / f"case1{ending}"),
    }


def test_the_scale_is_undone(tmp_path):
    _, out, seen = _made(tmp_path, (0.5, 0.25))
    assert seen[0].shape == (20, 13)
    assert picture_shape(out / "imagesTr" / "SYNTH_TEM_000_0000.png") == (40, 52)


def test_pictures_of_more_bits_come_out_in_8():
    picture = cells()[0].astype(np.uint16) * 200
    out = translated_picture(picture, (1.0, 1.0), lambda image: image)
    assert out.dtype == np.uint8
    assert np.corrcoef(out.ravel(), picture.ravel())[0, 1] > 0.99


def test_what_to_type_next(tmp_path):
    lines = list(next_commands(tmp_path / "raw" / "Dataset007_SYNTH_TEM_from_SEM", 7))
    assert lines[0].startswith(f"export nnUNet_raw={tmp_path / 'raw'} ")
    assert "nnUNetv2_plan_and_preprocess -d 7 -c 2d --verify_dataset_integrity" in lines


def test_labels_of_a_list_of_ones_own_and_of_regions(tmp_path):
    source = nnunet_folder(tmp_path)
    cases = labelled_cases(source, _same)
    given = {"background": 0, "sheath": 1, "core": 2}
    assert read_labels(source, cases, given).labels == given
    facts = json.loads((source / "dataset.json").read_text())
    facts |= {"labels": {"background": 0, "fibre": [1, 2], "axon": 2}, "regions_class_order": [1, 2]}
    (source / "dataset.json").write_text(json.dumps(facts))
    labelled = read_labels(source, cases)
    assert labelled.labels["fibre"] == [1, 2]
    assert labelled.more == {"regions_class_order": [1, 2]}


@pytest.mark.parametrize("labels", [{"axon": 1}, {"background": 0, "axon": 2}, {"background": 0, "axon": "1"}, {}])
def test_lists_that_nnunet_would_refuse(tmp_path, labels):
    source = nnunet_folder(tmp_path)
    with pytest.raises(UsageError, match="expected background=0, and values that follow each other"):
        read_labels(source, labelled_cases(source, _same), labels)


def test_labels_that_do_not_fit(tmp_path):
    source = nnunet_folder(tmp_path)
    cases = labelled_cases(source, _same)
    with pytest.raises(InputError, match=r"case0\.png: found the values 2; expected only 0, 1, which the list"):
        read_labels(source, cases, {"background": 0, "x": 1})
    save(source / "labelsTr" / "case1.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(InputError, match=r"case1\.png: found 9 x 9 pixels; expected 53 x 43, as case1_0000\.png"):
        read_labels(source, cases)
    (source / "labelsTr" / "case2.png").unlink()
    with pytest.raises(InputError, match=r"no labels of case2_0000\.png"):
        labelled_cases(source, _same)
    save(source / "labelsTr" / "case2.tif", cells()[1])
    with pytest.raises(InputError, match=r"labels that end in \.png and \.tif"):
        read_labels(source, labelled_cases(source, _same))


def test_folders_that_are_no_dataset(tmp_path):
    (tmp_path / "imagesTr").mkdir()
    with pytest.raises(InputError, match="found no pictures; expected cases of one channel, such as case_0000.png"):
        labelled_cases(tmp_path, _same)
    save(tmp_path / "imagesTr" / "slide.png", cells()[0])
    with pytest.raises(InputError, match=r"found slide\.png"):
        labelled_cases(tmp_path, _same)


def test_impossible_numbers():
    with pytest.raises(UsageError, match="dataset number: found 1000; expected 1 to 999"):
        Names(1000, "a", "b")


@pytest.mark.skipif(importlib.util.find_spec("nnunetv2") is None, reason="nnunetv2 is not installed")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_nnunet_accepts_the_dataset(tmp_path, capsys, ending):
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

    _, out, _ = _made(tmp_path, (0.5, 0.5), ending)
    verify_dataset_integrity(str(out), 1)
    assert "Dataset integrity" not in capsys.readouterr().err
