"""Columns of the group tables that tell scans of one participant apart."""

import json

import pandas as pd

from synthseg_core.bids.columns import ENTITY_NAMES
from synthseg_core.bids.names import ScanName, derivative, products_of
from synthseg_core.bids.scan_row import ScanRow, named_row, nameless_row
from synthseg_core.errors import OutputError
from synthseg_core.reports import gather, write_group_tables, writing
from synthseg_core.reports.tables import Table, entities_of_scans, with_entities
from synthseg_core.reports.writing import write_missing_copies
from synthseg_core.system.tables import read_tsv

STAGES = ("segment", "parcellate", "qc")
TEXTS = {
    "volumes": "index\tname\themisphere\tsoft_volume_mm3\thard_volume_mm3\n10\tleft thalamus\tleft\t7.0\t7.0\n",
    "scores": "index\tname\tscore\n1\tthalamus\t0.9\n",
}
TEXTS["parcel_volumes"] = TEXTS["volumes"]


def scan(**entities: str) -> ScanRow:
    name = ScanName(entities, "T1w")
    return named_row(name, f"{name.folder}/x.nii", "/gone/x.nii")


def finished(folder, *rows):
    for row in rows:
        for product in (product for stage in STAGES for product in products_of(stage)):
            path = folder / derivative(row.scan, product)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(TEXTS.get(product, "{}"))
    write_group_tables(gather(rows, folder, STAGES), folder)
    return {path.stem: read_tsv(path) for path in folder.glob("group_*.tsv")}


def test_every_table_has_the_entities_of_all_scans(tmp_path):
    rows = [scan(sub="1", run="01", acq="hi"), scan(sub="1", run="02", heudiconv="x"), scan(sub="2", ses="a", echo="1")]
    tables = finished(tmp_path, *rows)
    assert len(tables) == 8
    for name, lines in tables.items():
        keys = [[line[key] for key in ("participant_id", "session_id", "acq", "run", "echo", "heudiconv")]
                for line in lines]  # fmt: skip
        assert keys == [
            ["sub-1", "n/a", "hi", "01", "n/a", "n/a"],
            ["sub-1", "n/a", "n/a", "02", "n/a", "x"],
            ["sub-2", "ses-a", "n/a", "n/a", "1", "n/a"],
        ], name
        assert list(lines[0])[:4] == ["participant_id", "session_id", "suffix", "scan"]
        assert list(lines[0])[-4:] == ["acq", "run", "echo", "heudiconv"]


def test_no_json_file_has_a_key_that_pybids_takes_for_a_part_of_a_path(tmp_path):
    finished(tmp_path, scan(sub="1", run="1", model="3"))
    files = list(tmp_path.glob("group_*.json"))
    assert len(files) == 8
    for path in files:
        content = json.loads(path.read_text())
        columns = {*content, *content["EntityColumns"]}
        assert not set(content) & ENTITY_NAMES, path.name
        assert set(read_tsv(path.with_suffix(".tsv"))[0]) <= columns, path.name


def test_dataset_without_such_scans_has_no_more_columns(tmp_path):
    tables = finished(tmp_path, scan(sub="1"), scan(sub="2", ses="a"))
    assert {list(lines[0])[-1] for lines in tables.values()} == {
        "stage_qc", "left_thalamus_mm3", "hard_volume_mm3", "weights_sha256", "low_groups",
    }  # fmt: skip


def test_entity_called_like_a_column_that_is_there_has_another_name(tmp_path):
    rows = [scan(sub="1", model="b"), scan(sub="1", status="3", model="a")]
    (first, second) = finished(tmp_path, *rows)["group_scans"]
    assert (first["status"], first["status_entity"], first["model_entity"]) == ("done", "n/a", "b")
    assert (second["status"], second["status_entity"], second["model_entity"]) == ("done", "3", "a")


def test_images_without_a_name_have_no_entities():
    rows = [nameless_row("x y.nii", "/gone/x y.nii", "odd"), scan(sub="1", run="2")]
    table = Table(pd.DataFrame({"scan": [None, rows[1].scan]}), {"scan": {}}, [])
    cells = with_entities(table, entities_of_scans(rows)).cells
    assert cells["run"].isna().tolist() == [True, False]


def test_json_files_of_earlier_versions_are_mended(tmp_path):
    """Beside tables of a stage that is not asked for any more."""
    finished(tmp_path, scan(sub="1"))
    path = tmp_path / "group_qc.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content.pop("EntityColumns"), **content}))
    write_group_tables(gather([scan(sub="1")], tmp_path), tmp_path)
    assert "suffix" in json.loads(path.read_text())["EntityColumns"]
    assert not set(json.loads(path.read_text())) & ENTITY_NAMES


def test_missing_copies_are_written_and_a_closed_folder_costs_no_other(tmp_path, monkeypatch):
    rows = [scan(sub="1"), scan(sub="2", run="1")]
    finished(tmp_path, *rows)
    copies = [tmp_path / derivative(row.scan, name) for row in rows for name in ("sidecar_1mm", "parcels_sidecar_1mm")]
    for copy in copies:
        copy.unlink()
    original = writing.write_bytes

    def closed(path, content):
        if "sub-1" in path.name:
            raise OutputError(path, found="a closed folder", expected="one to write to", remedy="open it")
        original(path, content)

    monkeypatch.setattr(writing, "write_bytes", closed)
    assert [fault.partition(": ")[0] for fault in write_missing_copies(tmp_path)] == [*map(str, copies[:2])]
    assert [copy.is_file() for copy in copies] == [False, False, True, True]
    monkeypatch.undo()
    assert write_missing_copies(tmp_path) == ()
    assert all(copy.read_text() == "{}" for copy in copies)
