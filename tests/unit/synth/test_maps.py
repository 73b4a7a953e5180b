"""Label maps read for a generator: positions, values, counterparts."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from synthseg_core.errors import InputError, UsageError
from synthseg_core.images.volume import Volume
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.maps import read_label_maps
from tests.phantoms.label_maps import SHAPE, VALUES, halves, label_volume, write_list, write_maps
from tests.phantoms.scans import all_orientations, nested_ellipsoids, oblique_affine, reoriented, write_nifti

POSITION = np.zeros(100, np.int64)
POSITION[list(VALUES)] = range(len(VALUES))


@pytest.fixture
def labels(tmp_path) -> GenerationLabels:
    return GenerationLabels.read(write_list(tmp_path / "list.tsv"))


def test_positions_names_and_grid(tmp_path, labels):
    write_maps(tmp_path / "maps", 3)
    maps = read_label_maps(tmp_path / "maps", labels)
    assert maps.indices.dtype == torch.uint8
    assert maps.shape == SHAPE
    assert maps.names == ("map_1", "map_2", "map_3")
    assert len(maps) == 3
    assert maps.labels is labels
    assert maps.nbytes == 3 * np.prod(SHAPE)
    assert maps.voxel_size == pytest.approx((1.0, 1.2, 0.9))
    for number, indices in enumerate(maps.indices, start=1):
        np.testing.assert_array_equal(indices.numpy(), POSITION[halves(seed=number)])
    np.testing.assert_allclose(maps.affine[0], label_volume().affine, atol=1e-6)
    assert maps.to("cpu").indices.device.type == "cpu"


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int64", "float32", "float64"])
def test_any_number_type(tmp_path, labels, dtype):
    data = halves().astype(dtype)
    nib.save(nib.Nifti1Image(data, np.eye(4), dtype=np.dtype(dtype)), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_label_maps(tmp_path / "a.nii.gz", labels).indices[0], POSITION[halves()])


def test_scaled_storage(tmp_path, labels):
    """Ten times 0.1 is not one in floating point, but it is label 1."""
    image = nib.Nifti1Image(halves().astype(np.int16) * 10, np.eye(4))
    image.header.set_slope_inter(0.1, 0)
    nib.save(image, tmp_path / "a.nii")
    assert not np.array_equal(nib.load(tmp_path / "a.nii").get_fdata(), halves())
    np.testing.assert_array_equal(read_label_maps(tmp_path / "a.nii", labels).indices[0], POSITION[halves()])


@pytest.mark.parametrize(("axes", "flips"), all_orientations())
def test_every_axis_order_becomes_ras(tmp_path, labels, axes, flips):
    source = label_volume()
    write_nifti(tmp_path / "a.nii", reoriented(source, axes, flips), "int16")
    maps = read_label_maps(tmp_path / "a.nii", labels)
    np.testing.assert_array_equal(maps.indices[0], POSITION[source.data])
    np.testing.assert_allclose(maps.affine[0], source.affine, atol=1e-5)


def test_maps_of_different_orientation_and_place_go_together(tmp_path, labels):
    write_nifti(tmp_path / "a.nii", label_volume(), "int16")
    moved = Volume(halves(seed=2), oblique_affine((1.0, 1.2, 0.9), 5.0, (30.0, 0.0, -9.0)))
    write_nifti(tmp_path / "b.nii", reoriented(moved, (2, 0, 1), (True, False, True)), "int16")
    maps = read_label_maps([tmp_path / "b.nii", tmp_path / "a.nii"], labels)
    assert maps.names == ("b", "a")
    np.testing.assert_array_equal(maps.indices[0], POSITION[halves(seed=2)])
    np.testing.assert_allclose(maps.affine[0], moved.affine, atol=1e-5)


def test_step_keeps_every_second_voxel_where_it_was(tmp_path, labels):
    path = write_nifti(tmp_path / "a.nii", label_volume(), "int16")
    whole, thinned = (read_label_maps(path, labels, step=step) for step in (1, 2))
    torch.testing.assert_close(thinned.indices, whole.indices[:, ::2, ::2, ::2])
    assert thinned.shape == (6, 9, 5)
    assert thinned.voxel_size == pytest.approx((2.0, 2.4, 1.8))
    world = [maps.affine[0] @ [*voxel, 1] for maps, voxel in ((whole, (4, 6, 2)), (thinned, (2, 3, 1)))]
    np.testing.assert_allclose(world[0], world[1])


def test_other_formats(tmp_path, labels):
    source = label_volume()
    nib.save(nib.MGHImage(source.data.astype(np.int32), source.affine), tmp_path / "a.mgz")
    np.savez(tmp_path / "b.npz", vol_data=source.data)
    np.testing.assert_array_equal(read_label_maps(tmp_path / "a.mgz", labels).indices[0], POSITION[source.data])
    np.testing.assert_array_equal(read_label_maps(tmp_path / "b.npz", labels).indices[0], POSITION[source.data])


@pytest.mark.parametrize("value", [1, 60, 5000])
def test_unknown_values_as_background(tmp_path, labels, value):
    source = label_volume()
    source.data[5, 6, 4] = value
    path = write_nifti(tmp_path / "a.nii", source, "int16")
    indices = read_label_maps(path, labels, unknown="background").indices[0]
    assert indices[5, 6, 4] == 0
    assert int((indices != torch.from_numpy(POSITION[halves()])).sum()) == 1


def test_progress_counts_maps(tmp_path, labels):
    seen = []
    read_label_maps(write_maps(tmp_path, 3), labels, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def _with(change, dtype="int32", **options):
    def write(path):
        source = label_volume(**options)
        data = source.data.astype(dtype)
        change(data)
        image = nib.Nifti1Image(data, source.affine, dtype=np.dtype(dtype))
        nib.save(image, path)

    return write


def _put(value):
    def change(data):
        data[4, 5, 3] = value

    return change


def _bytes(content):
    return lambda path: path.write_bytes(content)


def _truncated(path):
    _with(lambda data: None)(path)
    path.write_bytes(path.read_bytes()[:-40])


def _several(path):
    nib.save(nib.Nifti1Image(np.zeros((*SHAPE, 3), np.int16), np.eye(4)), path)


def _scan(path):
    write_nifti(path, Volume(nested_ellipsoids(SHAPE).clip(0), oblique_affine((1.0, 1.2, 0.9))), "int16")


BAD = {
    "shape": (
        _with(lambda data: None, shape=(12, 17, 10)),
        "the shape 12 x 17 x 10",
        "12 x 17 x 9, as in map_1.nii.gz",
    ),
    "voxel size": (
        _with(lambda data: None, voxel_size=(1.0, 1.2, 1.0)),
        "voxels of 1 x 1.2 x 1 mm",
        "1 x 1.2 x 0.9 mm",
    ),
    "fraction": (_with(_put(2.5), "float32"), "1 voxel whose value is not whole, such as 2.5", "whole numbers"),
    "nan": (_with(_put(np.nan), "float32"), "NaN or infinite", "whole numbers"),
    "negative": (_with(_put(-3)), "the negative value -3", "whole numbers from 0"),
    "too large": (_with(_put(2_000_000)), "the value 2000000", "to 1000000"),
    "unknown": (_with(_put(60)), "a value that the label list lacks (60)", "only values of"),
    "unknown, above all": (_with(_put(99_999)), "a value that the label list lacks (99999)", "synthseg labels scan"),
    "empty": (_with(lambda data: data.fill(0)), "no label anywhere", "a label map"),
    "a scan": (_scan, "as in a scan", "give label maps, not scans"),
    "4-D": (_several, "an image of shape 12 x 17 x 9 x 3", "one 3-D volume"),
    "not gzip": (_bytes(b"hello"), "unknown content", "gzip data"),
    "0 bytes": (_bytes(b""), "an empty file (0 bytes)", "gzip data"),
    "truncated": (_truncated, "a damaged or truncated file", "a complete scan"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_map_gets_one_line_that_names_it(tmp_path, labels, kind):
    write, found, expected = BAD[kind]
    folder = tmp_path / "maps"
    write_maps(folder)
    write(folder / "map_3_bad.nii.gz")
    with pytest.raises(InputError) as caught:
        read_label_maps(folder, labels)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'map_3_bad.nii.gz'}: found ")
    assert found in message
    assert expected in message
    assert "\n" not in message


def test_headers_are_compared_before_voxels_are_read(tmp_path, labels):
    """The last file's shape is reported although the first one's voxels are damaged."""
    folder = tmp_path / "maps"
    write_maps(folder)
    _truncated(folder / "map_1.nii.gz")
    write_nifti(folder / "map_9.nii.gz", label_volume(shape=(12, 17, 10)), "int32")
    with pytest.raises(InputError, match=r"map_9\.nii\.gz: found the shape"):
        read_label_maps(folder, labels)


def test_only_unknown_values_are_an_empty_map(tmp_path, labels):
    source = Volume(np.where(halves() > 0, 77, 0), np.eye(4))
    path = write_nifti(tmp_path / "a.nii", source, "int16")
    with pytest.raises(InputError, match=r"a\.nii: found no value of the label list"):
        read_label_maps(path, labels, unknown="background")


def test_no_files(tmp_path, labels):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "notes.txt").write_text("none")
    with pytest.raises(InputError, match=r"maps: found no files; expected files that end in \.nii\.gz"):
        read_label_maps(tmp_path / "maps", labels)
    with pytest.raises(InputError, match="label maps: found no files"):
        read_label_maps([], labels)


def test_missing_file_and_folder(tmp_path, labels):
    with pytest.raises(InputError, match="nowhere: found no such file"):
        read_label_maps(tmp_path / "nowhere", labels)
    with pytest.raises(InputError, match=r"b\.nii: found no such file"):
        read_label_maps([tmp_path / "b.nii"], labels)


def test_step_below_one(tmp_path, labels):
    with pytest.raises(UsageError, match="step: found 0"):
        read_label_maps(write_maps(tmp_path), labels, step=0)


def test_maps_that_do_not_fit_in_memory(tmp_path, labels, monkeypatch):
    paths = write_maps(tmp_path)
    monkeypatch.setattr("synthseg_core.system.memory.physical_bytes", lambda: 1000)
    with pytest.raises(InputError, match="2 label maps"):
        read_label_maps(paths, labels)
