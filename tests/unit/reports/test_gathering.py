import json

import pytest

from synthseg_core.bids.names import derivative, products_of
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.bids.scan_table import write_table
from synthseg_core.cli.main import main
from synthseg_core.errors import Failure, InputError
from synthseg_core.reports import gather, write_group_tables
from synthseg_core.system.tables import read_tsv
from tests.phantoms.trees import contents

VOLUMES = (
    "index\tname\themisphere\tsoft_volume_mm3\thard_volume_mm3\n"
    "n/a\ttotal intracranial\tneutral\t{total}\tn/a\n"
    "10\tleft thalamus\tleft\t{left}\t7.000\n"
)


def row(subject, problem=""):
    stem = f"sub-{subject}/anat/sub-{subject}_space-T1w"
    return ScanRow(stem, f"sub-{subject}", "", "T1w", f"sub-{subject}.nii", f"/gone/sub-{subject}.nii", problem)


def finish(dataset, scan, volumes):
    for product in products_of("segment"):
        path = dataset / derivative(scan.scan, product)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(volumes if product == "volumes" else "x")


def log(dataset, scan, text=None, extension="log"):
    path = dataset / ".logs" / "segment" / f"{scan.scan}.{extension}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or "...")


@pytest.fixture
def dataset(tmp_path):
    """A dataset with one scan of each fate; the scans themselves are gone."""
    done, other, failed, killed, missing = (row(label) for label in ("1", "2", "3", "4", "5"))
    finish(tmp_path, done, VOLUMES.format(total="100.500", left="8.000"))
    finish(tmp_path, other, VOLUMES.format(total="90.000", left="6.250") + "54\tright amygdala\tright\t1.000\t2.000\n")
    log(tmp_path, done)
    log(tmp_path, done, '{"error": "InputError", "message": "of an earlier attempt"}', "json")
    error = InputError("/gone/sub-3.nii", found="an empty file", expected="a scan", remedy="convert it\nagain")
    log(tmp_path, failed)
    log(tmp_path, failed, f"noise\n{json.dumps(Failure.of(error).record())}\n", "json")
    log(tmp_path, killed, "\n")
    refused = row("6", problem="a link to a file that is not there")
    nameless = ScanRow("", "", "", "", "odd.nii", "/gone/odd.nii", "a name that is not BIDS")
    write_table(tmp_path / ".work" / "scans.tsv", [done, other, failed, killed, missing, refused, nameless])
    return tmp_path


def test_every_scan_is_listed_with_its_fate(dataset, capsys):
    assert main(["group", str(dataset)]) == 0
    table = {line["path"]: line for line in read_tsv(dataset / "group_scans.tsv")}
    assert {path: line["status"] for path, line in table.items()} == {
        "sub-1.nii": "done",
        "sub-2.nii": "done",
        "sub-3.nii": "failed",
        "sub-4.nii": "missing",
        "sub-5.nii": "missing",
        "sub-6.nii": "failed",
        "odd.nii": "skipped",
    }
    assert table["sub-1.nii"]["reason"] == "n/a"
    assert table["sub-1.nii"]["log"] == ".logs/segment/sub-1/anat/sub-1_space-T1w.log"
    assert table["sub-3.nii"]["reason"] == "InputError: found an empty file; expected a scan; convert it again"
    assert table["sub-4.nii"]["reason"] == "ended without giving a reason; perhaps killed"
    assert table["sub-5.nii"]["reason"] == "not run yet"
    assert table["sub-6.nii"]["reason"] == "a link to a file that is not there"
    assert capsys.readouterr().out.startswith("2 done, 2 failed, 2 missing, 1 skipped\n")


def test_volumes_wide_and_long(dataset):
    main(["group", str(dataset), "--scans", str(dataset / ".work" / "scans.tsv")])
    wide = read_tsv(dataset / "group_seg-synthseg_volumes.tsv")
    assert [line["left_thalamus_mm3"] for line in wide] == ["8.000", "6.250"]
    assert [line["right_amygdala_mm3"] for line in wide] == ["n/a", "1.000"]
    assert [line["participant_id"] for line in wide] == ["sub-1", "sub-2"]
    long = read_tsv(dataset / "group_seg-synthseg_desc-long_volumes.tsv")
    assert len(long) == 5
    assert long[1] == {
        "participant_id": "sub-1", "session_id": "n/a", "suffix": "T1w", "scan": "sub-1/anat/sub-1_space-T1w",
        "index": "10", "name": "left thalamus", "hemisphere": "left",
        "soft_volume_mm3": "8.000", "hard_volume_mm3": "7.000",
    }  # fmt: skip


def test_every_column_is_explained_and_volumes_have_units(dataset):
    main(["group", str(dataset)])
    for path in dataset.glob("group_*.tsv"):
        header = path.read_text().splitlines()[0].split("\t")
        explained = json.loads(path.with_suffix(".json").read_text())
        assert {*explained, *explained["EntityColumns"]} == {*header, "GeneratedBy", "EntityColumns"}
        assert all("Units" in explained[column] for column in header if column.endswith("_mm3"))


def test_structures_of_one_name_keep_columns_of_their_own(tmp_path):
    scan = row("1")
    finish(tmp_path, scan, VOLUMES.format(total="1", left="2") + "11\tleft thalamus\tleft\t3\t4\n")
    write_group_tables(gather([scan], tmp_path), tmp_path)
    (line,) = read_tsv(tmp_path / "group_seg-synthseg_volumes.tsv")
    assert (line["left_thalamus_mm3"], line["left_thalamus_11_mm3"]) == ("2.000", "3.000")


@pytest.mark.parametrize("found", ["found", "message"])  # older logs have the second
def test_damaged_volumes_and_unknown_errors(tmp_path, found):
    damaged, crashed, silent, unknown = row("1"), row("2"), row("3"), row("4")
    finish(tmp_path, damaged, "name\nx\n")
    log(tmp_path, crashed, json.dumps({"error": "MemoryError", found: "out of\n memory"}), "json")
    log(tmp_path, silent, "[1]\nnot json\n", "json")
    log(tmp_path, unknown, "Traceback\n  ...\nKeyError:  'x'\n\n")
    statuses = gather([damaged, crashed, silent, unknown], tmp_path).statuses
    assert [(status.status, status.recorded) for status in statuses] == [
        ("failed", False),
        ("failed", False),
        ("missing", False),
        ("missing", False),
    ]
    assert "unusable volumes" in statuses[0].reason
    assert statuses[1].reason == "MemoryError: out of memory"
    assert statuses[3].reason == "ended without giving a reason; its log ends with: KeyError: 'x'"


def test_gathering_again_and_without_scans(tmp_path, dataset, capsys):
    main(["group", str(dataset)])
    before = contents(dataset)
    main(["group", str(dataset)])
    assert contents(dataset) == before
    capsys.readouterr()
    write_table(tmp_path / "empty.tsv", [])
    assert main(["group", str(dataset), "--scans", str(tmp_path / "empty.tsv")]) == 2
    assert "found no scan to gather" in capsys.readouterr().err
    assert {**contents(dataset), "empty.tsv": b""} == {**before, "empty.tsv": b""}


def test_without_a_scan_table(tmp_path, capsys):
    assert main(["group", str(tmp_path)]) == 2
    assert "scans.tsv: found no readable table" in capsys.readouterr().err
