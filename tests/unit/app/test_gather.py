"""The group level called by itself: what it gathers from datasets that several runs have worked on."""

from __future__ import annotations

import shutil

import pytest

from synthseg_core.app.configuration import checked
from synthseg_core.app.gather import rows_to_gather, stages_to_gather
from synthseg_core.app.main import main
from synthseg_core.app.plan import Plan
from tests.phantoms.trees import contents, make_tree

SCANS = [f"sub-{number}/anat/sub-{number}_T1w.nii.gz" for number in ("01", "02", "03")]


@pytest.fixture
def bids(tmp_path):
    return make_tree(tmp_path / "bids", SCANS)


def plan(bids, **values):
    given = {"input": str(bids), "output": str(bids.parent / "out"), "segment": {"model": "tiny-random-cortex"}}
    return Plan.from_config(checked({**given, **values}))


def participants(rows):
    return [row.participant_id for row in rows]


@pytest.fixture
def ran(bids):
    """A run over the first two participants, after which there was a third."""
    shutil.move(bids / "sub-03", bids.parent / "later")
    assert len(plan(bids).rows) == 2
    shutil.move(bids.parent / "later", bids / "sub-03")
    return bids


def test_the_table_of_the_last_run_says_which_scans(ran):
    assert participants(rows_to_gather(plan(ran))) == ["sub-01", "sub-02"]


@pytest.mark.parametrize("trace", ["results", "failure"])
def test_scans_that_a_run_with_another_work_folder_has_made_or_tried_are_gathered(ran, trace):
    other = plan(ran, work=str(ran.parent / "work 3"), participants=["03"])
    stem = other.usable[0].scan
    left = other.files_of(stem) if trace == "results" else [other.layout.log("segment", stem)]
    make_tree(ran.parent, map(str, left), b"x")
    assert participants(rows_to_gather(plan(ran))) == ["sub-01", "sub-02", "sub-03"]
    assert main([*map(str, (ran, ran.parent / "out")), "group"]) == 0
    assert "sub-03" in (ran.parent / "out/group_scans.tsv").read_text()


def test_without_a_table_the_dataset_says_which_scans(bids):
    assert len(rows_to_gather(plan(bids))) == 3


@pytest.mark.parametrize("state", ["gone", "empty"])
def test_without_the_dataset_the_table_says_which_scans(ran, state):
    shutil.rmtree(ran)
    if state == "empty":
        ran.mkdir()
    assert participants(rows_to_gather(plan(ran))) == ["sub-01", "sub-02"]


def test_stages_that_were_made_once_are_gathered_unasked(ran):
    all_stages = plan(ran, qc={"enabled": True}, parcellate={"enabled": True})
    make_tree(ran.parent, map(str, all_stages.files_of(all_stages.usable[1].scan)), b"x")
    bare = plan(ran)
    assert stages_to_gather(bare, rows_to_gather(bare)) == ("segment", "parcellate", "qc")


def test_an_empty_folder_in_place_of_the_dataset_costs_neither_table(ran, capsys):
    """A disk that is not mounted."""
    out = ran.parent / "out"
    assert main([str(ran), str(out), "group"]) == 0
    before = contents(out)
    shutil.rmtree(ran)
    ran.mkdir()
    assert main([str(ran), str(out), "participant", "--model", "tiny-random-cortex"]) == 2
    assert "its disk mounted" in capsys.readouterr().err
    assert main([str(ran), str(out), "group"]) == 0
    assert {name: text for name, text in contents(out).items() if "run.json" not in name} == before


def test_a_folder_without_any_scan_has_no_group_tables(tmp_path, capsys):
    (tmp_path / "bids").mkdir()
    assert main([str(tmp_path / "bids"), str(tmp_path / "out"), "group"]) == 2
    assert "found no scan to gather" in capsys.readouterr().err
    assert not (tmp_path / "out/group_scans.tsv").exists()


def test_the_dataset_is_described_with_the_models_of_all_its_scans(tmp_path):
    make_tree(tmp_path, SCANS)
    lines = ["path,model", f"{SCANS[0]},tiny-random", f"{SCANS[1]},tiny-random-cortex", f"{SCANS[2]},default"]
    (tmp_path / "scans.csv").write_text("\n".join(lines))
    table = plan(tmp_path, input=str(tmp_path / "scans.csv"), output=str(tmp_path / "out"), participants=["01"])
    assert sorted(table.models) == ["default-2mm", "tiny-random", "tiny-random-cortex"]


def test_default_by_name_is_the_default(tmp_path):
    make_tree(tmp_path, SCANS[:2])
    (tmp_path / "scans.csv").write_text(f"path,model\n{SCANS[0]},default\n{SCANS[1]},\n")
    given = {"input": str(tmp_path / "scans.csv"), "output": str(tmp_path / "out"), "segment": {"model": "default"}}
    table = plan(tmp_path, **given)
    first, second = (table.options_of(row.scan) for row in table.usable)
    assert first == second
    assert table.models == ["default-2mm"]
