"""``participants.tsv``: what the raw dataset knows, whatever state it is in."""

import json

import pytest

from synthseg_core.bids.names import ScanName
from synthseg_core.bids.participants import departed, write_participants
from synthseg_core.bids.scan_row import named_row

TABLE = "participant_id\tage\tsex\nsub-02\t31\tF\nsub-01\t28\tM\nsub-09\t5\tM\n"


@pytest.fixture
def write(tmp_path):
    raw, dataset = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    dataset.mkdir()
    (dataset / "dataset_description.json").write_text(json.dumps({"DatasetLinks": {"raw": "../raw"}}))

    def run(*participants, table=None, meaning=None):
        if table is not None:
            (raw / "participants.tsv").write_bytes(table if isinstance(table, bytes) else table.encode())
        if meaning is not None:
            (raw / "participants.json").write_text(meaning)
        for participant in filter(None, participants):
            (dataset / participant / "anat").mkdir(parents=True, exist_ok=True)
        run.notes = write_participants(dataset, participants)
        path = dataset / "participants.tsv"
        return path.read_text() if path.is_file() else None

    run.raw, run.dataset = raw, dataset
    return run


def test_subset_of_the_raw_table(write):
    text = write("sub-01", "sub-02", "sub-01", "", table=TABLE, meaning='{"age": {"Units": "year"}}')
    assert text == "participant_id\tage\tsex\nsub-01\t28\tM\nsub-02\t31\tF\n"
    content = json.loads((write.dataset / "participants.json").read_text())
    assert content["age"] == {"Units": "year"}
    assert set(content) == {"Description", "participant_id", "age"}


def test_participant_that_the_raw_table_lacks(write):
    assert write("sub-03", "sub-02", table=TABLE) == "participant_id\tage\tsex\nsub-02\t31\tF\nsub-03\tn/a\tn/a\n"


def test_names_without_prefix_and_other_column_order(write):
    assert write("sub-7", table="age\tparticipant_id\n3\t7\n") == "participant_id\tage\nsub-7\t3\n"


@pytest.mark.parametrize(
    "table", [None, "", "participant_id\n", "name\nsub-1\n", b"\xff\xfe\x00", "\n\n", b"PK\x03\x04"]
)
def test_without_a_usable_raw_table(write, table):
    assert write("sub-2", "sub-1", table=table, meaning="{}") == "participant_id\nsub-1\nsub-2\n"
    assert set(json.loads((write.dataset / "participants.json").read_text())) == {"Description", "participant_id"}


def test_raw_dataset_that_is_gone(write):
    write("sub-01", table=TABLE, meaning='{"age": {"Units": "year"}, "Description": "Ours"}')
    write.raw.rename(write.raw.with_name("elsewhere"))
    assert write("sub-01", "sub-05") == "participant_id\tage\tsex\nsub-01\t28\tM\nsub-05\tn/a\tn/a\n"
    content = json.loads((write.dataset / "participants.json").read_text())
    assert (content["Description"], content["age"]) == ("Ours", {"Units": "year"})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"DatasetLinks": 3}', '{"DatasetLinks": {"raw": "https://x"}}'])
def test_description_that_does_not_tell_where_the_raw_dataset_is(write, text):
    (write.dataset / "dataset_description.json").write_text(text)
    assert write("sub-01", table=TABLE) == "participant_id\nsub-01\n"


@pytest.mark.parametrize("meaning", ["{", "[]", ""])
def test_meaning_that_is_no_json_object(write, meaning):
    write("sub-01", table=TABLE, meaning=meaning)
    assert set(json.loads((write.dataset / "participants.json").read_text())) == {"Description", "participant_id"}


def test_nobody(write):
    assert write("", table=TABLE) is None


def test_what_cannot_be_read_is_told_once_and_no_earlier_copy_stands_in(write):
    write("sub-01", "sub-02", table=TABLE)
    assert write("sub-01", "sub-02", table=b"PK\x03\x04") == "participant_id\nsub-01\nsub-02\n"
    (note,) = write.notes
    assert note.startswith(f"{write.raw / 'participants.tsv'}: found no readable table (a workbook")
    assert note.endswith("; no values are copied from it")


def test_row_that_does_not_fit_costs_nobody_else(write):
    text = write("sub-01", "sub-02", "sub-03", table=TABLE.replace("28\tM", "28\tM\tx"))
    assert text == "participant_id\tage\tsex\nsub-01\tn/a\tn/a\nsub-02\t31\tF\nsub-03\tn/a\tn/a\n"
    assert [note.rpartition(": ")[2] for note in write.notes] == ["line 3 (sub-01)", "no row for sub-03"]


@pytest.mark.parametrize("is_link", [True, False])
def test_raw_table_that_is_not_there_any_more(write, is_link):
    first = write("sub-01", table=TABLE)
    assert write.notes == ()
    path = write.raw / "participants.tsv"
    path.unlink()
    if is_link:
        path.symlink_to("nowhere")
    assert write("sub-01") == first
    (note,) = write.notes
    why = "a link to nowhere" if is_link else "no such file any more"
    assert note == f"{path}: {why}; what an earlier run has copied from it is kept"


def test_meaning_that_cannot_be_read_is_told(write):
    write("sub-01", "sub-02", table=TABLE, meaning="{")
    (note,) = write.notes
    assert note.startswith(f"{write.dataset / '../raw/participants.json'}: found no readable meaning of the columns")


def test_meaning_of_a_column_called_like_a_part_of_a_path(write):
    write("sub-01", table=TABLE, meaning='{"suffix": {"Description": "of the name"}, "age": {"Units": "year"}}')
    content = json.loads((write.dataset / "participants.json").read_text())
    assert content["EntityColumns"] == {"suffix": {"Description": "of the name"}}


def test_everybody_with_a_folder_has_a_row(write):
    (write.dataset / "sub-09" / "anat").mkdir(parents=True)
    (write.dataset / "sub-77").mkdir()
    assert [line.split("\t")[0] for line in write("sub-01", table=TABLE).splitlines()[1:]] == [
        "sub-01", "sub-09", "sub-77",
    ]  # fmt: skip
    assert write.notes == (), "sub-77 has left the dataset, so no row is missed"


def test_no_table_where_nobody_has_a_folder(write):
    """Every scan failed: the validator refuses a table of people without folders."""
    write("sub-01", table=TABLE)
    (write.dataset / "sub-01" / "anat").rmdir()
    (write.dataset / "sub-01").rmdir()
    assert write_participants(write.dataset, ["sub-01"]) == ()
    assert [path.name for path in write.dataset.iterdir()] == ["dataset_description.json"]


def test_results_of_people_who_left(write):
    """Who has a folder in the raw dataset is there, also where a run was about other scans."""
    dataset = write.dataset
    for name in ("sub-01", "sub-02", "sub-98", "sub-99"):
        (dataset / name / "anat").mkdir(parents=True)
        (dataset / name / "anat" / "x.nii.gz").touch()
    (dataset / "sub-97" / "anat").mkdir(parents=True)
    (write.raw / "sub-02").mkdir()
    rows = [named_row(ScanName({"sub": "01"}, "T1w"), "sub-01/anat/sub-01_T1w.nii", "/gone")]
    assert departed(dataset, rows) == ["results of 2 participants that the dataset no longer has: sub-98, sub-99"]
    rows += [named_row(ScanName({"sub": "99"}, "T1w"), "x", "/gone")]
    assert departed(dataset, rows, ["99", "55"]) == [
        "results of 1 participant that the dataset no longer has: sub-98",
        "results of 1 participant that this run leaves out: sub-99",
    ]
    (write.raw / "sub-98").mkdir()
    assert departed(dataset, rows) == []
    write.raw.rename(write.raw.with_name("elsewhere"))
    assert departed(dataset, []) == []
