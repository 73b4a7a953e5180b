"""The stored decision: round trip, bytes, and files that are something else."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthseg_core.errors import InputError, ModelError, OutputError
from synthseg_core.images.reading import Scan
from synthseg_core.models.card import GridSpec
from synthseg_core.models.registry import load_card
from synthseg_core.segmentation.class_maps import (
    ClassMaps,
    MadeFrom,
    channels_of,
    read_class_maps,
    require_model,
    write_class_maps,
)
from synthseg_core.segmentation.conform import ConformConfig, plan
from tests.phantoms.models import STRUCTURE_LABELS, TINY
from tests.phantoms.scans import phantom, reoriented


def _decision(crop=None) -> ClassMaps:
    volume = reoriented(phantom((1.1, 0.8, 2.4)), (2, 0, 1), (True, False, True))
    scan = Scan(volume, volume.voxel_size, Path("phantom.nii.gz"))
    record = plan(scan, ConformConfig(grid=GridSpec(1.0, 8, 16), crop=crop))
    rng = np.random.default_rng(0)
    channels, structures = (rng.integers(0, 4, n).astype(np.uint8) for n in (record.padded_shape, record.core_shape))
    basis = MadeFrom("tiny", STRUCTURE_LABELS, "a" * 64, "b" * 64, volume=2, fast=True, ct=True)
    return ClassMaps(channels, structures, {"left": 0.1 + 0.2, "right": 7.0}, record, basis)


@pytest.mark.parametrize("crop", [None, (8, 16, 8)])
def test_round_trip(tmp_path, crop):
    before = _decision(crop)
    write_class_maps(tmp_path / "decision.npz", before)
    after = read_class_maps(tmp_path / "decision.npz")
    np.testing.assert_array_equal(after.channels, before.channels)
    assert after.channels.dtype == np.uint8
    np.testing.assert_array_equal(after.structures, before.structures)
    assert after.structures.dtype == np.uint8
    assert (after.basis, after.cortex_mm3) == (before.basis, before.cortex_mm3)
    assert after.record.to_json() == before.record.to_json()
    np.testing.assert_array_equal(after.record.source.affine, before.record.source.affine)


def test_same_decision_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_class_maps(tmp_path / name, _decision())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def _text(path):
    path.write_text("no decision\n")


def _empty(path):
    path.write_bytes(b"")


def _single_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def _other_archive(path):
    np.savez(path, vol_data=np.zeros(3))


def _truncated(path):
    write_class_maps(path, _decision())
    path.write_bytes(path.read_bytes()[:-200])


def _damaged(path):
    write_class_maps(path, _decision())
    content = bytearray(path.read_bytes())
    content[300:340] = bytes(40)
    path.write_bytes(content)


def _stored(path, **changes):
    write_class_maps(path, _decision())
    with np.load(path) as content:
        arrays = dict(content)
    np.savez(path, **(arrays | changes))


def _broken_text(path):
    _stored(path, about=np.array("{"))


def _text_about_something_else(path):
    _stored(path, about=np.array('{"source": 1}'))


def _about(path) -> dict:
    write_class_maps(path, _decision())
    with np.load(path) as content:
        return json.loads(str(content["about"]))


def _record_without_a_part(path):
    content = _about(path)
    del content["record"]["pad_start"]
    _stored(path, about=np.array(json.dumps(content)))


def _basis_with_more(path):
    content = _about(path)
    content["basis"]["clock"] = 1
    _stored(path, about=np.array(json.dumps(content)))


def _pickled(path):
    _stored(path, about=np.array([{"source": 1}], dtype=object))


def _other_shape(path):
    _stored(path, channels=np.zeros((8, 8, 8), np.uint8))


def _other_core(path):
    _stored(path, structures=np.zeros((8, 8, 8), np.uint8))


def _other_numbers(path):
    _stored(path, channels=np.zeros(_decision().record.padded_shape, np.float32))


def _channel_without_a_label(path):
    _stored(path, structures=np.full(_decision().record.core_shape, 4, np.uint8))


@pytest.mark.parametrize(
    "make",
    [
        *(_text, _empty, _single_array, _other_archive, _truncated, _damaged, _broken_text),
        *(_text_about_something_else, _record_without_a_part, _basis_with_more, _pickled),
        *(_other_shape, _other_core, _other_numbers, _channel_without_a_label),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path, make):
    path = tmp_path / "decision.npz"
    make(path)
    with pytest.raises(
        InputError, match=r"decision.npz: found no stored decision .*; expected .*--decision.*; segment the scan again$"
    ) as caught:
        read_class_maps(path)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no stored decision .*No such file"):
        read_class_maps(tmp_path / "nothing.npz")


def test_unwritable_place(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_class_maps(tmp_path / "file" / "decision.npz", _decision())


def test_channels_of_labels_and_back(tmp_path):
    card = load_card(TINY.write(tmp_path))
    decision = _decision()
    np.testing.assert_array_equal(channels_of(decision.labels(), card.labels), decision.structures)
    assert set(np.unique(decision.labels())) == set(STRUCTURE_LABELS)


def test_decision_of_another_model_is_refused(tmp_path):
    path, card = tmp_path / "decision.npz", load_card(TINY.write(tmp_path))
    require_model(path, _decision(), card)
    with pytest.raises(ModelError, match=r"decision.npz: found a decision by model tiny; expected one by model other "):
        require_model(path, _decision(), replace(card, name="other"))


def test_decision_with_another_label_table_is_refused(tmp_path):
    """A label table that was edited since: the stored indices would mean other structures."""
    path, card = tmp_path / "decision.npz", load_card(TINY.write(tmp_path))
    labels = replace(card.labels, labels=(0, 42, 3, 17), counterparts=(0, 3, 42, 17))
    with pytest.raises(ModelError, match="found a decision by another label table of model tiny"):
        require_model(path, _decision(), replace(card, labels=labels))
