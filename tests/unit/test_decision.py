"""The stored decision: round trip, bytes, and files that are something else."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from synthseg_core.conform import ConformConfig, plan
from synthseg_core.decision import Decision, read_decision, write_decision
from synthseg_core.errors import InputError, OutputError
from synthseg_core.io import Scan
from synthseg_core.models import GridSpec
from tests.phantoms import phantom, reoriented


def _decision(crop=None) -> Decision:
    volume = reoriented(phantom((1.1, 0.8, 2.4)), (2, 0, 1), (True, False, True))
    scan = Scan(volume, volume.voxel_size, Path("phantom.nii.gz"))
    record = plan(scan, ConformConfig(grid=GridSpec(1.0, 8, 16), crop=crop))
    channels = np.random.default_rng(0).integers(0, 4, record.padded_shape).astype(np.uint8)
    return Decision(channels, record, "tiny")


@pytest.mark.parametrize("crop", [None, (8, 16, 8)])
def test_round_trip(tmp_path, crop):
    before = _decision(crop)
    write_decision(tmp_path / "decision.npz", before)
    after = read_decision(tmp_path / "decision.npz")
    np.testing.assert_array_equal(after.channels, before.channels)
    assert after.channels.dtype == np.uint8
    assert after.model == "tiny"
    assert after.record.to_json() == before.record.to_json()
    np.testing.assert_array_equal(after.record.source.affine, before.record.source.affine)


def test_same_decision_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_decision(tmp_path / name, _decision())
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
    write_decision(path, _decision())
    path.write_bytes(path.read_bytes()[:-200])


def _damaged(path):
    write_decision(path, _decision())
    content = bytearray(path.read_bytes())
    content[300:340] = bytes(40)
    path.write_bytes(content)


def _stored(path, **changes):
    decision = _decision()
    record = json.dumps(decision.record.to_json())
    arrays = {"channels": decision.channels, "record": np.array(record), "model": np.array("tiny")}
    np.savez(path, **(arrays | changes))


def _broken_record(path):
    _stored(path, record=np.array("{"))


def _record_of_something_else(path):
    _stored(path, record=np.array('{"source": 1}'))


def _record_without_a_part(path):
    content = _decision().record.to_json()
    del content["pad_start"]
    _stored(path, record=np.array(json.dumps(content)))


def _pickled(path):
    _stored(path, record=np.array([{"source": 1}], dtype=object))


def _other_shape(path):
    _stored(path, channels=np.zeros((8, 8, 8), np.uint8))


def _other_numbers(path):
    _stored(path, channels=np.zeros(_decision().record.padded_shape, np.float32))


@pytest.mark.parametrize(
    "make",
    [
        *(_text, _empty, _single_array, _other_archive, _truncated, _damaged, _broken_record),
        *(_record_of_something_else, _record_without_a_part, _pickled, _other_shape, _other_numbers),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path, make):
    path = tmp_path / "decision.npz"
    make(path)
    with pytest.raises(
        InputError, match=r"decision.npz: found no stored decision .*; expected .*--decision.*; segment the scan again$"
    ) as caught:
        read_decision(path)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no stored decision .*No such file"):
        read_decision(tmp_path / "nothing.npz")


def test_unwritable_place(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_decision(tmp_path / "file" / "decision.npz", _decision())
