"""Many label maps in one file: the same maps as their folder, and one line for files that are something else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthseg_core.cli.main import main
from synthseg_core.errors import InputError
from synthseg_core.images.packed import pack, packed_path, read_packed, write_packed
from synthseg_core.images.volume import Volume
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.maps import read_label_maps
from tests.phantoms.label_maps import LIST, halves, label_volume, write_list
from tests.phantoms.scans import oblique_affine, reoriented, write_nifti


@pytest.fixture
def labels(tmp_path) -> GenerationLabels:
    return GenerationLabels.read(write_list(tmp_path / "list.tsv"))


@pytest.fixture
def folder(tmp_path):
    """Maps in different orientations and places; the second brings labels that the first lacks."""
    few = label_volume()
    write_nifti(tmp_path / "maps/a.nii", Volume(np.where(few.data == few.data.max(), 0, few.data), few.affine), "int16")
    moved = Volume(halves(seed=2), oblique_affine((1.0, 1.2, 0.9), 5.0, (30.0, 0.0, -9.0)))
    write_nifti(tmp_path / "maps/b.nii.gz", reoriented(moved, (2, 0, 1), (True, False, True)), "int16")
    return tmp_path / "maps"


@pytest.mark.parametrize("step", [1, 2])
def test_a_packed_file_is_its_folder(folder, labels, tmp_path, step, capsys):
    assert main(["labels", "pack", str(folder), "--out", str(tmp_path / "maps.npz")]) == 0
    assert "2 label maps" in capsys.readouterr().out
    wanted, found = (read_label_maps(source, labels, step=step) for source in (folder, tmp_path / "maps.npz"))
    assert torch.equal(wanted.indices, found.indices)
    assert found.indices.dtype == torch.uint8
    assert found.names == wanted.names == ("a", "b")
    assert found.voxel_size == wanted.voxel_size
    for one, other in zip(wanted.affine, found.affine, strict=True):
        np.testing.assert_array_equal(one, other)


def test_labels_are_kept_whatever_the_list(folder):
    packed = pack(folder)
    np.testing.assert_array_equal(packed.values[packed.positions[1]], halves(seed=2))


def test_the_same_maps_give_the_same_bytes(folder, tmp_path):
    for name in ("one.npz", "two.npz"):
        write_packed(tmp_path / name, pack(folder))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_a_fault_of_one_map_names_it(folder, tmp_path):
    write_packed(tmp_path / "maps.npz", pack(folder))
    without_nuclei = "".join(line for line in LIST.splitlines(keepends=True) if "nucleus" not in line)
    short = GenerationLabels.read(write_list(tmp_path / "short.tsv", without_nuclei))
    with pytest.raises(InputError, match=r"maps\.npz\[a\].*found .* the label list lacks"):
        read_label_maps(tmp_path / "maps.npz", short)


def test_a_volume_in_an_archive_is_no_packed_file(tmp_path):
    np.savez(tmp_path / "volume.npz", np.zeros((3, 4, 5)))
    assert packed_path(tmp_path / "volume.npz") is None
    assert packed_path(tmp_path / "missing.npz") is None


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"positions": np.zeros((2, 3, 3, 3), np.int16)}, "positions int16"),
        ({"positions": np.full((2, 3, 3, 3), 7, np.uint8)}, "do not fit"),
        ({"names": np.array(["a"])}, "for 1 names"),
        ({"names": np.array(["a", None], dtype=object)}, "allow_pickle"),
        ({"affines": None}, "affines"),
    ],
)
def test_other_archives_are_refused_in_one_line(tmp_path, change, found):
    arrays = {
        "positions": np.zeros((2, 3, 3, 3), np.uint8),
        "values": np.array([0, 2]),
        "affines": np.stack([np.eye(4)] * 2),
        "names": np.array(["a", "b"]),
    }
    np.savez(tmp_path / "maps.npz", **{name: value for name, value in (arrays | change).items() if value is not None})
    with pytest.raises(InputError, match=found) as caught:
        read_packed(tmp_path / "maps.npz")
    assert "labels pack" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_labels_than_a_byte_holds_are_refused(tmp_path):
    data = np.arange(300, dtype=np.int16).reshape(5, 6, 10)
    write_nifti(tmp_path / "maps/many.nii", Volume(data, np.eye(4)), "int16")
    with pytest.raises(InputError, match="at most 256 labels"):
        pack(tmp_path / "maps")


def test_another_extension_is_refused_before_anything_is_read(tmp_path, capsys):
    assert main(["labels", "pack", str(tmp_path / "none"), "--out", str(tmp_path / "maps.zip")]) == 2
    assert "expected .npz" in capsys.readouterr().err
