"""Tables of participants as people have them: what is certain arrives, of the rest one line says why not."""

import pytest

from synthseg_core.bids.participant_table import _OF_NOBODY, read_participants
from synthseg_core.errors import InputError

PEOPLE = ("sub-01", "sub-02")
TABLE = "participant_id\tage\tsex\tsite\nsub-01\t34\tF\tMünchen\nsub-02\t71\tM\tBonn\n"
FIRST, SECOND = {"age": "34", "sex": "F", "site": "München"}, {"age": "71", "sex": "M", "site": "Bonn"}
BOTH = {"sub-01": FIRST, "sub-02": SECOND}


@pytest.fixture
def read(tmp_path):
    def run(table, people=PEOPLE, others=()):
        path = tmp_path / "participants.tsv"
        path.write_bytes(table if isinstance(table, bytes) else table.encode())
        found = read_participants(path, people, others)
        assert all(note.startswith(f"{path}: ") and note.isprintable() for note in found.notes)
        return found, [note.removeprefix(f"{path}: ") for note in found.notes]

    return run


@pytest.mark.parametrize(
    "table",
    [
        TABLE,
        "\ufeff" + TABLE,
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le"),
        TABLE.encode("utf-16-be"),
        TABLE.encode("utf-32"),
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\r"),
        TABLE.replace("\n", "\n\n") + "\n\t\t\t\n",
        TABLE.replace("\t", ","),
        TABLE.replace("\t", ";"),
        TABLE.replace("\t", " "),
        TABLE.replace("\t", "    "),
        TABLE.replace("id\tage", "id  age"),
        TABLE.replace("sub-02\t", "sub-02   "),
        TABLE.replace("Bonn", "Bonn\t"),
        TABLE.replace("Bonn", "Bonn\t\t\t"),
        TABLE.replace("\n", "\t\n"),
        TABLE.replace("participant_id", "Participant_ID"),
        TABLE.replace("participant_id", "participant id "),
        TABLE.replace("participant_id", '"participant_id"'),
        TABLE.replace("participant_id", "subject"),
        f"# {TABLE}",
        f"#{TABLE}",
        f"# exported yesterday\n{TABLE}",
        f"sep=\t\n{TABLE}",
        f"{TABLE}# made by hand\n",
        TABLE.replace("sub-", "SUB-"),
        TABLE.replace("sub-", ""),
        TABLE.replace("sub-0", ""),
        TABLE.replace("sub-01", "1.0"),
        TABLE.replace("sub-01", "sub-1").replace("sub-02", "sub-002"),
        TABLE.replace("sub-", "sub\u2013"),
        TABLE.replace("sub-01", " sub-01\xa0"),
        TABLE.replace("München", '"München"'),
        TABLE + "sub-01\t34\tF\tMünchen\nsub-09\t5\tM\tUlm\n",
        "age\tparticipant_id\tsex\tsite\n34\tsub-01\tF\tMünchen\n71\tsub-02\tM\tBonn\n",
    ],
)
def test_values_arrive_without_a_word(read, table):
    found, notes = read(table)
    assert (found.rows, found.columns, found.missing, notes) == (BOTH, ("age", "sex", "site"), (), [])


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029", "\v", "\f", "\x1c"])
def test_characters_that_some_programs_take_for_a_line_end(read, character):
    found, notes = read(TABLE.replace("Bonn", f"Bo{character}nn"))
    assert (found.rows["sub-02"], notes) == ({**SECOND, "site": "Bo nn"}, [])


def test_empty_cells_are_absent_values(read):
    found, notes = read(TABLE.replace("\tF\t", "\t\t").replace("71", "  "))
    assert (found.rows["sub-01"]["sex"], found.rows["sub-02"]["age"], notes) == ("n/a", "n/a", [])


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_western_european_text(read, encoding):
    found, notes = read(TABLE.encode(encoding))
    assert found.rows == BOTH
    assert notes == ["not UTF-8, but read as Western European text (cp1252); save it as UTF-8: München"]


def test_one_stray_cell_does_not_change_the_others(read):
    found, _ = read(TABLE.encode().replace(b"Bonn", "Köln".encode("latin-1")))
    assert found.rows == {"sub-01": FIRST, "sub-02": {**SECOND, "site": "Köln"}}


@pytest.mark.parametrize("damaged", [b"Bo\x81nn", b"Bo\0nn", "Bo\ufffdnn".encode()])
def test_damaged_cells_cost_no_other(read, damaged):
    found, notes = read(TABLE.encode().replace(b"Bonn", damaged))
    assert found.rows == {"sub-01": FIRST, "sub-02": {**SECOND, "site": "n/a"}}
    assert notes == ["n/a, as some characters cannot be read: site of sub-02"]


@pytest.mark.parametrize("row", ["sub-02\t71\tM", "sub-02\t71\tM\tBonn\tx", "sub-02\t71  M\tBonn", "sub-02 71\tM\tBonn",
                                 "\tsub-02\t71\tM\tBonn", "sub-02\t71"])  # fmt: skip
def test_row_that_does_not_fit(read, row):
    found, notes = read(TABLE.replace("sub-02\t71\tM\tBonn", row))
    assert found.rows["sub-01"] == FIRST
    assert found.rows["sub-02"] == {}
    assert notes == [
        "not used, as they do not have the 4 cells of the header; part cells by single tabs: line 3 (sub-02)"
    ]


@pytest.mark.parametrize(("rows", "lost"), [('"sub-02\t71"\tM\tBonn', ["sub-02"]), ("sub-02\t71\tM\tBo\nnn", [])])
def test_line_that_does_not_fit_and_names_nobody(read, rows, lost):
    """A cell with a line end looks like this; so does a line with a sum below the table."""
    found, notes = read(TABLE.replace("sub-02\t71\tM\tBonn", rows))
    assert [*found.missing] == lost
    assert notes == [f"{_OF_NOBODY}: line {3 if lost else 4}"]


def test_open_quote_in_the_header(read):
    found, notes = read(TABLE.replace("site", '"site'))
    assert (found.columns, notes) == (
        ("age", "sex", '"site'),
        ["a quotation mark without its pair was taken for a character in line: 1"],
    )


SEPARATORS, INSERTED = ("\t", ",", "  "), ("\t", '"', "\n", ";", ",", " ", "  ", "\0", "\u2028", "#", "\r")


@pytest.mark.parametrize("separator", SEPARATORS)
def test_no_single_slip_moves_a_value_without_a_word(read, separator):
    """A character put in or taken out anywhere."""
    table = TABLE.replace("ü", "u").replace("\t", separator)
    known = {value.replace("ü", "u"): (person, name) for person, row in BOTH.items() for name, value in row.items()}
    slips = [table[:n] + text + table[n:] for n in range(len(table)) for text in INSERTED[n % 4 :: 4]]
    for slip in (*slips, *(table[:n] + table[n + 1 :] for n in range(len(table)))):
        try:
            found, notes = read(slip)
        except InputError:
            continue
        for person, row in found.rows.items():
            for name, value in row.items():
                place = known.get(value)
                assert place is None or place == (person, name) or name not in FIRST or notes, slip
        fully = all(value != "n/a" for row in found.rows.values() for value in row.values())
        assert fully or notes or found.missing or separator * 2 in slip, slip


@pytest.mark.parametrize("row", ["#sub-02\t71\tM\tBonn", "# sub-02\t71\tM\tBonn"])
def test_row_that_is_taken_out(read, row):
    found, notes = read(TABLE.replace("sub-02\t71\tM\tBonn", row))
    assert found.rows == {"sub-01": FIRST, "sub-02": {}}
    assert notes == ["not used, as it is not certain whose they are; write the label in full: line 3 (sub-02)"]


@pytest.mark.parametrize("row", ['sub-01\t34\tF\t"München', 'sub-01\t34\t"F\tMünchen', 'sub-01\t"34\tF\tMü"nchen'])
@pytest.mark.parametrize("second", ["Bonn", 'Bo"nn', 'Bonn"', '"Bonn'])
def test_open_quotes_stay_in_their_cell(read, row, second):
    found, notes = read(TABLE.replace("sub-01\t34\tF\tMünchen", row).replace("Bonn", second))
    names = ("age", "sex", "site")
    assert found.rows["sub-01"] == dict(zip(names, row.split("\t")[1:], strict=True))
    assert found.rows["sub-02"] == {**SECOND, "site": second}
    who = "sub-01, sub-02" if second == '"Bonn' else "sub-01"
    assert notes == [f"a quotation mark without its pair was taken for a character in the row of: {who}"]


def test_columns_that_are_there_twice_are_left_out(read):
    found, notes = read(TABLE.replace("sex", "age"))
    assert (found.columns, found.rows["sub-01"]) == (("site",), {"site": "München"})
    assert notes == ["left out, as more than one column has this name: age"]


def test_columns_without_a_name_are_left_out(read):
    found, notes = read(TABLE.replace("sex", ""))
    assert found.columns == ("age", "site")
    assert notes == ["left out, as these columns have no name that can be read: 3"]


def test_two_columns_of_participants(read):
    """The one with their labels counts, wherever it stands."""
    for table in (
        "participant_id\tparticipant_id\tsex\nCQ2\tsub-01\tF\nBT4\tsub-02\tM\n",
        "participant_id\tParticipant_ID\tsex\nsub-01\tCQ2\tF\nsub-02\tBT4\tM\n",
    ):
        found, _ = read(table)
        assert [found.rows[person]["sex"] for person in PEOPLE] == ["F", "M"]
        assert "participant_id" not in found.columns
    with pytest.raises(InputError, match="2 columns participant_id"):
        read("participant_id\tparticipant_id\tage\nsub-01\tsub-02\t3\nsub-02\tsub-01\t4\n")


def test_rows_of_one_person_that_differ(read):
    found, notes = read(TABLE + "sub-01\t36\tF\tMünchen\n")
    assert found.rows == {"sub-01": {**FIRST, "age": "n/a"}, "sub-02": SECOND}
    assert notes == ["n/a, as several rows of one participant differ: age of sub-01"]


def test_label_that_could_be_of_two_people(read):
    table = "participant_id\tage\n001\t34\nsub-2\t71\n"
    found, notes = read(table, ("sub-1", "sub-2"), ("sub-01",))
    assert found.rows == {"sub-1": {}, "sub-2": {"age": "71"}}
    assert notes == ["not used, as it is not certain whose they are; write the label in full: line 2 (sub-1)"]


def test_labels_that_could_be_of_one_person(read):
    found, notes = read("participant_id\tage\n1\t34\n001\t71\n", ("sub-01",))
    assert found.rows == {"sub-01": {}}
    assert len(notes) == 1


def test_lost_zeros_belong_to_nobody_who_has_a_row(read):
    found, notes = read("participant_id\tage\nsub-01\t34\nsub-1\t71\n", ("sub-01",))
    assert (found.rows, notes) == ({"sub-01": {"age": "34"}}, [])


def test_person_without_a_row(read):
    found, _ = read(TABLE, (*PEOPLE, "sub-03"))
    assert found.missing == ("sub-03",)


def test_lines_above_the_header(read):
    found, notes = read(f"Demographics\n{TABLE}")
    assert found.rows == BOTH
    assert notes == ["above the names of the columns, and not used, are lines: 1"]


def test_many_faults_of_a_kind_are_one_line(read):
    people = [f"sub-{number:02}" for number in range(1, 30)]
    _, notes = read("participant_id\tage\n" + "".join(f"{person}\t3\t4\n" for person in people), people)
    assert len(notes) == 1
    assert notes[0].endswith("line 11 (sub-10), and 19 more")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"PK\x03\x04rest", "a workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "a workbook"),
        ("name\tage\nsub-01\t3\n", "no column participant_id .name age"),
        ("", "no column participant_id .nothing"),
        ("sub-01\t34\nsub-02\t71\n", "no column participant_id"),
    ],
)
def test_what_cannot_be_used(read, table, message):
    with pytest.raises(InputError, match=message):
        read(table)
