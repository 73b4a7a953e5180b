import re
from pathlib import Path

import numpy as np
import pytest

from synthseg_core.bids.names import derivative
from synthseg_core.cli.main import main
from synthseg_core.images.volume import Volume
from synthseg_core.reports.group_facts import GroupFacts
from synthseg_core.reports.group_report import GroupReport
from synthseg_core.reports.page_files import JUDGEMENT, page_files
from tests.phantoms.reports import SHAPE, VOXEL_SIZE, write_many_tables, write_segmented, write_tables
from tests.phantoms.scans import oblique_affine, write_nifti
from tests.unit.reports.conftest import GOOD


@pytest.fixture(scope="module")
def content(reported):
    return GroupReport(GroupFacts(reported), 0.65).content()


def test_each_of_four_faults_is_flagged_and_none_of_thirty_good_scans(content):
    words = {
        "sub-90_space-T1w": "labels do not lie on the anatomy",
        "sub-91_space-T1w": "left and right exchanged",
        "sub-92_space-T1w": "no voxel of left hippocampus",
        "sub-93_space-T1w": "the label map is empty",
    }
    bad = {row["name"]: row["reasons"] for row in content["rows"] if row["state"] == "implausible"}
    assert {*bad} == {*words}
    for name, text in words.items():
        assert any(text in reason for reason in bad[name]), bad[name]
    assert [row["name"] for row in content["rows"][:4]] == sorted(words, key=lambda name: (-len(bad[name]), name))
    assert content["counts"]["fine"] == GOOD


def test_columns_of_participants_and_their_groups(content):
    assert content["participant_columns"] == ["age", "sex", "note"]
    groups = content["volumes"][0].groups
    assert {*groups["sex"]} == {"F", "M"}
    assert [one.number for one in groups["age"].values()] == pytest.approx([11, 11, 11], abs=1)
    assert "note" not in groups


def test_what_failed_or_is_missing_comes_first_with_its_reason(tmp_path):
    dataset = tmp_path / "out"
    rows = [write_segmented(dataset, "01"), write_segmented(dataset, "02")]
    (dataset / "sub-02/anat/sub-02_space-T1w_seg-synthseg_volumes.tsv").unlink()
    write_tables(dataset, rows)
    assert main(["report", "--group", str(dataset)]) == 0
    found = GroupReport(GroupFacts(dataset), 0.65).content()["rows"]
    assert [(row["name"], row["state"]) for row in found] == [
        ("sub-02_space-T1w", "failed"),
        ("sub-01_space-T1w", "look"),
    ]
    assert found[0]["reasons"] == ["missing: not run yet"]
    assert found[1]["reasons"] == ["no report of its own, so its label map was not judged; make one"]
    assert not found[0]["has_page"]
    assert "Distributions need 8 scans" in (dataset / "group.html").read_text()


def test_labels_beside_the_brain_of_a_single_scan_are_worth_a_look(tmp_path):
    dataset = tmp_path / "out"
    row = write_segmented(dataset, "01")
    noise = np.random.default_rng(0).normal(100, 30, SHAPE).astype(np.float32)
    write_nifti(Path(row.source), Volume(noise, oblique_affine(VOXEL_SIZE)))
    write_tables(dataset, [row])
    assert main(["report", str(dataset / derivative(row.scan, "dseg"))]) == 0
    assert main(["report", "--group", str(dataset)]) == 0
    (found,) = GroupReport(GroupFacts(dataset), 0.65).content()["rows"]
    assert found["state"] == "look"
    assert found["reasons"][0].startswith("the labels explain only 0% of the intensities")
    assert "The labels explain only 0% of the intensities" in (dataset / "sub-01_space-T1w.html").read_text()


def test_a_page_that_lost_a_part_is_named_and_made_again(tmp_path):
    dataset = tmp_path / "out"
    rows = [write_segmented(dataset, "01"), write_segmented(dataset, "02")]
    maps = [str(path) for path in dataset.glob("sub-*/anat/*_seg-synthseg_dseg.nii.gz")]
    assert main(["report", *maps]) == 0
    write_tables(dataset, rows)
    parts = [dataset / file for file in page_files("sub-01_space-T1w")]
    content = {part: part.read_bytes() for part in parts}
    for lost in parts:
        lost.unlink()
        reasons = {row["name"]: row["reasons"] for row in GroupReport(GroupFacts(dataset), 0.65).content()["rows"]}
        (reason,) = reasons.pop("sub-01_space-T1w")
        assert ("not judged" in reason) == lost.name.endswith(JUDGEMENT)
        assert reason.endswith(("make one", "make it again"))
        assert reasons == {"sub-02_space-T1w": []}
        lost.write_bytes(content[lost])
    for lost in parts[1:]:
        lost.unlink()
    assert main(["report", *maps]) == 0
    assert content == {part: part.read_bytes() for part in parts}
    assert all(GroupFacts(dataset).complete)


def tables_with(tmp_path, people):
    """Group tables of ten scans, and a table of participants as somebody has edited it."""
    write_many_tables(tmp_path / "out", 10)
    (tmp_path / "out/participants.tsv").write_bytes(people)
    return GroupFacts(tmp_path / "out")


def test_of_many_columns_the_usual_ones_and_those_that_differ_are_shown(tmp_path):
    columns = ["participant_id", "species", "empty", "site", "scanner", "hand", "Age", "sex", "group"]
    rows = [f"sub-{n:04d}\thomo sapiens\tn/a\t{n % 2}\t{n % 3}\tR\t{20 + n}\tF\tpatient" for n in range(10)]
    facts = tables_with(tmp_path, "\n".join(["\t".join(columns), *rows]).encode())
    assert [*facts.participants] == ["site", "Age", "sex", "group"]
    assert facts.levels("sex") == []
    assert {*facts.levels("Age")} == {"20 to 23", "over 23 to 26", "over 26 to 29"}


@pytest.mark.parametrize(
    ("people", "columns", "told"),
    [
        (b"\xef\xbb\xbfparticipant_id;age\r\nsub-0000;31\r\nsub-0001;32\r\n", ["age"], ""),
        (b"participant_id\tage\nsub-0000\t31\tx\nsub-0001\t32\n", ["age"], "do not have the 2 cells"),
        (b"participant_id\tage\tage\nsub-0000\t31\t32\n", [], "more than one column has this name: age"),
        (b"who\tage\nsub-0000\t31\n", [], "no column participant_id"),
        (b"PK\x03\x04\x00\x00", [], "workbook"),
        (b"", [], "no column participant_id"),
    ],
    ids=["spreadsheet", "one cell too many", "twice", "no key", "workbook", "empty"],
)
def test_odd_tables_of_participants_are_told_and_cost_no_page(tmp_path, capsys, people, columns, told):
    assert [*tables_with(tmp_path, people).participants] == columns
    assert main(["report", "--group", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert told in said
    assert bool(told) == bool(said)
    page = (tmp_path / "out/group.html").read_text()
    assert told in page
    assert str(tmp_path) not in page, "the page is the same wherever it lies"


def test_cells_are_escaped_and_links_lead_to_pages(reported):
    text = (reported / "group.html").read_text()
    assert "&lt;b&gt;&#39;&#34;&lt;/b&gt;" in text
    assert "<b>'" not in text
    links = re.findall(r'href="(sub-[^"]+)"', text)
    assert len(links) == GOOD + 4
    assert all((reported / link).is_file() for link in links)


def test_without_group_tables_a_line_says_what_to_do(tmp_path, capsys):
    assert main(["report", "--group", str(tmp_path)]) == 2
    assert "run: synthseg group" in capsys.readouterr().err
