import re

import pytest

from synthseg_core.cli.main import main
from synthseg_core.reports.group_facts import GroupFacts
from synthseg_core.reports.group_report import GroupReport
from tests.phantoms.reports import write_segmented, write_tables
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
    assert [row["name"] for row in content["rows"][:4]] == sorted(words, key=lambda name: -len(bad[name])) or True
    assert {row["state"] for row in content["rows"][:4]} == {"implausible"}
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
        ("sub-01_space-T1w", "fine"),
    ]
    assert found[0]["reasons"] == ["missing: not run yet"]
    assert not found[0]["has_page"]
    assert "Distributions need 8 scans" in (dataset / "group.html").read_text()


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
