"""Scanning a folder of label maps: counts, order, guesses, and every contradiction that is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.images.volume import Volume
from synthseg_core.labels.counting import LabelScan, count_labels, scan_label_maps
from synthseg_core.labels.known import FIRST_TISSUE
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.maps import read_label_maps
from synthseg_core.system.tables import read_tsv
from tests.phantoms.label_maps import LIST, SHAPE, halves, label_volume, write_list, write_maps
from tests.phantoms.scans import oblique_affine, reoriented, write_nifti

NAMES = "value\tname\tside\tcounterpart\n"


@pytest.fixture
def folder(tmp_path):
    write_maps(tmp_path / "maps", 2)
    return tmp_path / "maps"


def _scan(folder, *options):
    out = folder.parent / "out.tsv"
    return main(["labels", "scan", str(folder), "--out", str(out), *map(str, options)]), out


def _put(folder, name, change, **options):
    source = label_volume(**options)
    change(source.data)
    return write_nifti(folder / name, source, "int32")


def _set(*pairs):
    def change(data):
        for old, new in pairs:
            data[data == old] = new

    return change


def test_counts_and_centres_by_hand(tmp_path):
    data = np.zeros((4, 3, 2), np.int32)
    data[0, 0, :] = 7
    data[3, 1, 0] = 7
    data[2] = 1000
    counts = count_labels(data, tmp_path)
    assert counts.values == (0, 7, 1000)
    assert counts.voxels == (15, 3, 6)
    assert counts.centres == (pytest.approx((4 * 0 + 6 * 1 + 5 * 3) / 15), pytest.approx(1.0), pytest.approx(2.0))


def test_occurrence_by_hand(tmp_path):
    counted = [count_labels(np.repeat([0, 7], [20 - n, n]).reshape(1, 4, 5), tmp_path) for n in (3, 8, 6)]
    scan = LabelScan(tuple(counted), (1, 4, 5), (1.0, 1.0, 1.0))
    found = scan.occurrence(7)
    assert (found.maps, found.voxels_min, found.voxels_mean, found.voxels_max) == (3, 3, 6, 8)


def test_occurrence_counts_only_maps_that_have_the_label(folder):
    _put(folder, "map_3.nii.gz", _set((24, 0)))
    scan = scan_label_maps(folder)
    fluid = [int((halves(seed=seed) == 24).sum()) for seed in (1, 2)]
    found = scan.occurrence(24)
    assert (found.maps, found.voxels_min, found.voxels_max) == (2, min(fluid), max(fluid))
    assert found.voxels_mean == round(sum(fluid) / 2)
    assert scan.occurrence(0).maps == 3
    assert scan.occurrence(555).maps == 0
    assert scan.shape == SHAPE


def test_list_of_known_labels_loads_and_fits_the_maps(folder, capsys):
    status, out = _scan(folder)
    assert status == 0
    labels = GenerationLabels.read(out)
    assert labels.values == (0, 24, 2, 13, 41, 52)
    assert labels.n_neutral == 2
    assert labels.names[:3] == ("background", "csf", "left cerebral-white-matter")
    assert labels.classes == (0, 1, 2, 3, 4, 5)
    assert labels.outputs == (0, 24, 2, 13, 41, 52)
    assert len(read_label_maps(folder, labels)) == 2
    rows = read_tsv(out)
    assert [row["maps"] for row in rows] == ["2"] * 6
    assert rows[3]["voxels_min"] == rows[3]["voxels_max"] == rows[3]["voxels_mean"] == "6"
    printed = capsys.readouterr()
    assert "6 labels (2 unsided, 2 left-right pairs), 6 classes, 5 targets" in printed.out
    assert printed.err == ""


def test_same_list_whatever_the_axis_order(folder, tmp_path):
    other = tmp_path / "turned" / "maps"
    for number in (1, 2):
        turned = reoriented(label_volume(seed=number), (2, 0, 1), (True, False, True))
        write_nifti(other / f"{number}.nii", turned, "float32")
    assert _scan(folder)[1].read_text() == _scan(other)[1].read_text()


def test_unknown_label_is_a_neutral_target_with_a_warning(folder, capsys):
    _put(folder, "map_3.nii.gz", _set((24, 3333)))
    status, out = _scan(folder)
    assert status == 0
    row = next(row for row in read_tsv(out) if row["value"] == "3333")
    assert (row["side"], row["counterpart"], row["output"], row["maps"]) == ("neutral", "3333", "3333", "1")
    error = capsys.readouterr().err
    assert "warning: no table knows label 3333: taken as neutral" in error
    assert "one side" not in error


def test_unknown_label_on_one_side_is_pointed_out(folder, capsys):
    _put(folder, "map_3.nii.gz", _set((13, 3001), (52, 3002)))
    assert _scan(folder)[0] == 0
    assert "label 3001, 3002 lies on one side of the head only" in capsys.readouterr().err


def test_clustered_tissue_is_known_and_no_target(folder, capsys):
    _put(folder, "map_3.nii.gz", _set((24, FIRST_TISSUE)))
    _, out = _scan(folder)
    labels = GenerationLabels.read(out)
    assert labels.outputs[labels.values.index(FIRST_TISSUE)] == 0
    assert FIRST_TISSUE in labels.extracerebral
    assert capsys.readouterr().err == ""


def test_update_keeps_rows_order_and_class_numbers(folder):
    rows = LIST.splitlines()
    # classes not in order of appearance, names of one's own, and a label that no map holds
    text = "\n".join([rows[0], rows[1], "99\trare\tneutral\t99\t3\t0", *rows[2:]]).replace("csf", "water") + "\n"
    text = text.replace("\t1\t24", "\t1\t0").replace("\t3\t13", "\t2\t13").replace("\t3\t52", "\t2\t52")
    write_list(folder.parent / "old.tsv", text)
    _put(folder, "map_3.nii.gz", _set((24, 3333)))
    status, out = _scan(folder, "--update", folder.parent / "old.tsv")
    assert status == 0
    labels = GenerationLabels.read(out)
    assert labels.values == (0, 99, 24, 3333, 2, 13, 41, 52)
    assert labels.names[2] == "water"
    assert labels.classes == (0, 3, 1, 4, 2, 2, 2, 2)
    assert labels.outputs == (0, 0, 0, 3333, 2, 13, 41, 52)
    assert [row["maps"] for row in read_tsv(out)][:4] == ["3", "0", "2", "1"]


def test_update_of_its_own_result_changes_nothing(folder):
    _, out = _scan(folder)
    first = out.read_text()
    assert _scan(folder, "--update", out)[0] == 0
    assert out.read_text() == first


def test_classes_and_targets_of_other_recipes_are_kept_where_all_labels_have_them(folder, capsys):
    _, out = _scan(folder)
    # classes of the T1 priors would have a gap with so few labels
    assert set(read_tsv(out)[0]) & {"output_1.0", "output_groups", "class_t1"} == {"output_1.0", "output_groups"}
    assert GenerationLabels.read(out, outputs="output_groups").outputs == (0, 0, 1, 1, 1, 1)
    _put(folder, "map_3.nii.gz", _set((24, FIRST_TISSUE)))
    _scan(folder)
    assert GenerationLabels.read(out, outputs="output_groups").values[2] == FIRST_TISSUE
    assert capsys.readouterr().err == ""
    _put(folder, "map_4.nii.gz", _set((24, 3333)))
    _scan(folder)
    assert "output_groups" not in read_tsv(out)[0]


def test_columns_that_an_update_keeps_or_cannot_keep(folder, capsys):
    lines = LIST.splitlines()
    text = "\n".join([f"{lines[0]}\tmine", *(f"{line}\t{5 + n}" for n, line in enumerate(lines[1:]))]) + "\n"
    old = write_list(folder.parent / "old.tsv", text)
    assert _scan(folder, "--update", old)[0] == 0
    assert capsys.readouterr().err == ""
    assert [row["mine"] for row in read_tsv(folder.parent / "out.tsv")] == ["5", "6", "7", "8", "9", "10"]
    _put(folder, "map_3.nii.gz", _set((24, 3333)))
    assert _scan(folder, "--update", old)[0] == 0
    assert "column mine of" in capsys.readouterr().err
    assert "mine" not in read_tsv(folder.parent / "out.tsv")[0]


# Contradictions: exit status 2 and one line.


def _refused(capsys, folder, *options):
    status, out = _scan(folder, *options)
    error = capsys.readouterr().err
    assert status == 2
    assert not out.exists()
    assert error.count("\n") == 1
    assert error.startswith("synthseg labels: error: ")
    return error


def test_side_without_counterpart_in_the_table(folder, capsys):
    (folder.parent / "n.tsv").write_text(NAMES + "24\todd\tleft\tn/a\n")
    assert "found left label 24 (odd) without its counterpart (not stated)" in _refused(
        capsys, folder, "--names", folder.parent / "n.tsv"
    )
    error = _refused(capsys, folder, "--names", folder.parent / "n.tsv", "--add-counterparts")
    assert "label 24: found the side left and no counterpart" in error


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("2\tmine\tneutral\t2\n", "label 41: found right, with 2 (neutral, counterpart 2) as counterpart"),
        ("2\tmine\tneutral\t41\n", "label 2: found neutral, with 41 (right, counterpart 2) as counterpart"),
        ("2\tmine\tright\t41\n", "label 2: found right, with 41 (right, counterpart 2) as counterpart"),
        ("24\tmine\tneutral\t77\n", "label 24: found neutral, with 77, which is not in the list, as counterpart"),
        ("2\ta\tmiddle\t2\n", "found the side 'middle' of label 2"),
        ("x\ta\tleft\t2\n", "found 'x' in column value"),
        ("-2\ta\tneutral\t-2\n", "found -2 in column value"),
        ("\ta\tneutral\t\n", "found a row without value"),
        ("2\ta\tleft\t41\n2\ta\tleft\t41\n", "found value 2 twice"),
    ],
)
def test_tables_that_contradict_themselves(folder, capsys, rows, message):
    (folder.parent / "n.tsv").write_text(NAMES + rows)
    assert message in _refused(capsys, folder, "--names", folder.parent / "n.tsv")


def test_map_whose_header_swaps_sides(folder, capsys):
    source = label_volume(seed=3)
    affine = source.affine.copy()
    affine[:, 0] *= -1
    write_nifti(folder / "map_3.nii.gz", Volume(source.data, affine), "int32")
    assert "map_3.nii.gz: found left labels to the right of the right labels" in _refused(capsys, folder)


@pytest.mark.parametrize(("last", "message"), [(17, "without its counterpart"), (20, "left labels to the right")])
def test_scan_among_the_maps_is_called_one(folder, capsys, last, message):
    """Grey values 1 to ``last`` are those of left structures; the right ones up to 64 lie further left."""
    i, j, k = np.indices(SHAPE)
    grey = 1 + (SHAPE[0] - 1 - i) * 20 + (j * SHAPE[2] + k) % last
    write_nifti(folder / "map_3.nii.gz", Volume(grey, label_volume().affine), "int16")
    error = _refused(capsys, folder)
    assert "map_3.nii.gz: found left label" in error
    assert message in error
    assert "give label maps, not scans" in error


def test_mixed_shapes_and_voxel_sizes(folder, capsys):
    path = _put(folder, "map_3.nii.gz", _set(), shape=(12, 17, 10))
    assert "map_3.nii.gz: found the shape 12 x 17 x 10" in _refused(capsys, folder)
    path.unlink()
    write_nifti(folder / "map_4.nii.gz", Volume(halves(), oblique_affine((1, 1, 1))), "int16")
    assert "map_4.nii.gz: found voxels of 1 x 1 x 1 mm" in _refused(capsys, folder)


def test_no_maps_and_damaged_maps(folder, capsys):
    (folder / "map_3.nii.gz").write_bytes(b"nothing")
    assert "map_3.nii.gz: found unknown content" in _refused(capsys, folder)
    (folder.parent / "none").mkdir()
    assert "none: found no files" in _refused(capsys, folder.parent / "none")


def test_list_to_update_must_be_a_whole_list(folder, capsys):
    (folder.parent / "n.tsv").write_text(NAMES + "0\tbackground\tneutral\t0\n")
    assert "found the columns value, name, side, counterpart" in _refused(
        capsys, folder, "--update", folder.parent / "n.tsv"
    )


def test_output_is_checked_before_maps_are_read(folder, capsys):
    (folder / "map_3.nii.gz").write_bytes(b"nothing")
    status = main(["labels", "scan", str(folder), "--out", str(folder)])
    assert status == 2
    assert "a folder of that name" in capsys.readouterr().err


@pytest.mark.slow
def test_training_maps_give_the_builtin_list(test_data, tmp_path):
    """All twenty maps: values, order, classes and targets of the list, and the published counts."""
    out = tmp_path / "out.tsv"
    assert main(["labels", "scan", str(test_data / "training_label_maps"), "--out", str(out)]) == 0
    found, builtin = GenerationLabels.read(out), GenerationLabels.builtin()
    assert found == replace(builtin, source=str(out))
    for column in ("class_t1", "output_1.0", "output_groups"):
        kept = {row["value"]: row[column] for row in read_tsv(Path(builtin.source))}
        assert {row["value"]: row[column] for row in read_tsv(out)} == kept
    rows = {row["value"]: row for row in read_tsv(out)}
    assert rows["72"]["maps"] == "9"
    assert {row["maps"] for value, row in rows.items() if value != "72"} == {"20"}
    assert (rows["14"]["voxels_min"], rows["14"]["voxels_mean"], rows["14"]["voxels_max"]) == ("477", "1658", "3600")
    assert (rows["16"]["voxels_min"], rows["16"]["voxels_max"]) == ("15553", "25333")
