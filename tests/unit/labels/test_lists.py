"""Label lists of a generator: sides, names, counterparts."""

from __future__ import annotations

import pytest

from synthseg_core.cli.main import main
from synthseg_core.errors import InputError
from synthseg_core.labels.lists import GenerationLabels
from tests.phantoms.label_maps import label_volume, write_maps
from tests.phantoms.scans import write_nifti


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


def test_names_give_sides_names_and_targets(folder):
    _put(folder, "map_3.nii.gz", _set((13, 3001), (52, 3002)))
    table = folder.parent / "names.tsv"
    table.write_text(
        "value\tname\tside\tcounterpart\tclass\toutput\textracerebral\n"
        "3001\tleft thing\tleft\t3002\t1\t7\tno\n3002\tright thing\tright\t3001\t1\tn/a\tno\n24\tfat\t\t\t\t0\tyes\n"
    )
    status, out = _scan(folder, "--names", table)
    labels = GenerationLabels.read(out)
    assert status == 0
    assert labels.values == (0, 24, 2, 13, 3001, 41, 52, 3002)
    assert labels.names[4] == "left thing"
    assert labels.classes[4] == labels.classes[7]
    assert len(set(labels.classes)) == 7
    assert (labels.outputs[4], labels.outputs[7], labels.outputs[1]) == (7, 3002, 0)
    assert labels.extracerebral == (24,)


def _refused(capsys, folder, *options):
    status, out = _scan(folder, *options)
    error = capsys.readouterr().err
    assert status == 2
    assert not out.exists()
    assert error.count("\n") == 1
    assert error.startswith("synthseg labels: error: ")
    return error


def test_left_label_without_counterpart_is_refused_or_completed(folder, capsys):
    for path in folder.iterdir():
        path.unlink()
    _put(folder, "a.nii.gz", _set((52, 41)))
    error = _refused(capsys, folder)
    assert "a.nii.gz: found left label 13 (left pallidum) without its counterpart (52, which no map contains)" in error
    status, out = _scan(folder, "--add-counterparts")
    assert status == 0
    assert GenerationLabels.read(out).values == (0, 24, 2, 13, 41, 52)
    assert "label 52 (right pallidum) is in no map; added as counterpart of 13" in capsys.readouterr().err


def test_columns_for_label_tables_are_read_and_checked(tmp_path):
    text = "\n".join(
        [
            "value\tname\tside\tcounterpart\tclass\toutput\tqc_group\ttopology_class",
            "0\tbackground\tneutral\t0\t0\t0\t{first}\t0",
            "16\tstem\tneutral\t16\t1\t16\t2\t1",
        ]
    )
    (tmp_path / "list.tsv").write_text(text.format(first=0))
    labels = GenerationLabels.read(tmp_path / "list.tsv")
    assert (labels.qc_groups, labels.topology_classes) == ((0, 2), (0, 1))
    (tmp_path / "list.tsv").write_text(text.format(first=1))
    with pytest.raises(InputError, match="found a column qc_group with negative numbers"):
        GenerationLabels.read(tmp_path / "list.tsv")
