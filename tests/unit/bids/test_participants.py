"""``participants.tsv``: what the raw dataset knows, whatever state it is in."""

import json

import pytest

from synthseg_core.bids.participants import write_participants

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
        write_participants(dataset, participants)
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
    "table", [None, "", "participant_id\n", "name\nsub-1\n", "participant_id\tage\nsub-1\n", b"\xff\xfe\x00", "\n\n"]
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
