"""What the front door says before the first job, what ``status`` says at any time, and how its words are sorted."""

import fcntl
import json
import os
from pathlib import Path

import pytest
import yaml

from synthseg_core.app import preflight
from synthseg_core.app.arguments import build_parser, config_values
from synthseg_core.app.bundle import Profile
from synthseg_core.app.configuration import checked, write_config
from synthseg_core.app.lock import current_owner, run_lock
from synthseg_core.app.main import main
from synthseg_core.app.plan import Plan, stages_of
from synthseg_core.app.preflight import examine, first_of, validation_report
from synthseg_core.app.snakemake import SnakemakeCall
from synthseg_core.errors import UsageError
from tests.phantoms.trees import make_tree

GZIP = b"\x1f\x8b\x08\x00"


def plan_of(tmp_path, **values):
    return Plan.from_config(checked({"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), **values}))


def test_preflight_counts_by_stage_and_lists_what_is_wrong(tmp_path):
    make_tree(tmp_path / "in", [f"sub-{n}/anat/sub-{n}_T1w.nii.gz" for n in "123"], GZIP)
    make_tree(tmp_path / "in", ["sub-4/anat/sub-4_T1w.nii.gz"])
    make_tree(tmp_path / "in", ["sub-5/anat/sub-5_T1w_x.nii.gz"], GZIP)
    plan = plan_of(tmp_path, participants=["1", "2", "4", "5", "9"], resample={"enabled": True})
    plan.targets()
    make_tree(tmp_path, map(str, plan.layout.made_by("segment", "sub-2/anat/sub-2_space-T1w")), b"x")
    found = examine(plan)
    assert (found.scans, found.done) == (3, {"segment": 1, "resample": 0})
    rich = plan_of(tmp_path, participants=["1", "2", "4", "5", "9"], segment={"posteriors": True})
    assert examine(rich).done == {"segment": 0, "posteriors": 0}  # one job makes both
    assert examine(plan, everything=True).done == {"segment": 0, "resample": 0}
    assert [line.partition(":")[0] for line in found.unreadable] == ["sub-4/anat/sub-4_T1w.nii.gz"]
    assert "0 bytes" in found.unreadable[0]
    assert found.absent == ("sub-9",)
    assert found.skipped == ("sub-5/anat/sub-5_T1w_x.nii.gz: a name that is not BIDS; rename the file",)
    assert "segment            1       2" in found.lines()
    assert not found.is_new


def test_sessions_that_are_not_there_are_told(tmp_path):
    make_tree(tmp_path / "in", ["sub-1/ses-a/anat/sub-1_ses-a_T1w.nii.gz"], GZIP)
    plan = plan_of(tmp_path, sessions=["a", "b"])
    assert examine(plan).absent == ("ses-b",)
    assert "1 participant or session not there:" in examine(plan).lines()


def test_long_lists_are_cut():
    assert first_of("abc") == ["  a", "  b", "  c"]
    assert first_of(map(str, range(12)))[-1] == "  and 2 more"


def test_changed_settings_are_announced_once(tmp_path, capsys):
    make_tree(tmp_path / "in", ["sub-1/anat/sub-1_T1w.nii.gz"], GZIP)
    stem = "sub-1/anat/sub-1_space-T1w"
    plan_of(tmp_path, segment={"model": "tiny-random"}).scan_stage_file("segment", stem)
    assert capsys.readouterr().err == ""
    changed = plan_of(tmp_path, segment={"model": "tiny-random", "fast": True})
    for _ in range(2):
        changed.scan_stage_file("segment", stem)
    assert capsys.readouterr().err == "segment: fast was false, is true: what depends on it is made again\n"


# Options of single scans


def table_of(tmp_path, *rows):
    make_tree(tmp_path / "in", ["a.nii.gz", "b.nii.gz", "c.nii.gz"], GZIP)
    (tmp_path / "in" / "scans.csv").write_text("\n".join(["path,model,ct", *rows]) + "\n")
    return plan_of(tmp_path, input=str(tmp_path / "in" / "scans.csv"), segment={"model": "tiny-random"})


def test_rows_may_name_a_model_and_say_that_they_are_ct(tmp_path):
    plan = table_of(tmp_path, "a.nii.gz,,", "b.nii.gz,,true", "c.nii.gz,default-2mm,")
    a, b, c = (row.scan for row in plan.usable)
    assert plan.options_of(a).flags() == ["--model", "tiny-random"]
    assert plan.options_of(b).flags() == ["--model", "tiny-random", "--ct"]
    assert plan.options_of(c).flags() == ["--model", "default-2mm"]
    files = [plan.scan_stage_file("segment", stem) for stem in (a, b, c)]
    assert [json.loads(file.read_text())["ct"] for file in files] == [False, True, False]
    assert len(set(files)) == 3
    assert plan.scan_stage_file("segment", a).name == "segment.json"


def test_a_model_that_is_none_costs_its_own_row_only(tmp_path):
    plan = table_of(tmp_path, "a.nii.gz,synthseg-qc-2.0,", "b.nii.gz,,")
    problems = {row.path.rpartition("/")[2]: row.problem for row in plan.rows}
    assert problems["b.nii.gz"] == ""
    assert problems["a.nii.gz"].startswith("its model: ")
    assert "a model for quality" in problems["a.nii.gz"]


# Stages


def test_stages_that_are_asked_for():
    asked = {"segment": {"posteriors": True}, "parcellate": {"enabled": True}, "qc": {"enabled": True}}
    assert stages_of(checked({})) == ("segment",)
    assert stages_of(checked(asked)) == ("segment", "posteriors", "parcellate", "qc")


def test_what_a_model_does_not_offer_is_known_before_any_job(tmp_path, capsys):
    make_tree(tmp_path / "in", ["sub-1/anat/sub-1_T1w.nii.gz"], GZIP)
    words = [str(tmp_path / "in"), str(tmp_path / "out"), "participant", "--model", "tiny-random", "--parc"]
    assert main([*words, "--skip-bids-validation"]) == 2
    assert "request for parcellation" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("sub-*"))


# Words


def arguments(*words):
    return build_parser().parse_args(["in", "out", "participant", *words])


def test_words_become_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "--csv",
        "t.csv",
        "--path-column",
        "file",
        "--exclude-participant-label",
        "sub-3",
        "--qc",
        "--qc-threshold",
    ]
    values = checked(config_values(arguments(*words, "0.5", "--parc", "--save-posteriors", "--no-worker")))
    assert (values["input"], values["layout"], values["path_column"]) == (str(tmp_path / "t.csv"), "table", "file")
    assert values["exclude_participants"] == ["3"]
    assert values["qc"] == {"enabled": True, "threshold": 0.5}
    assert values["parcellate"] == {"enabled": True}
    assert values["segment"]["posteriors"] is True
    assert values["worker"] is False


def test_every_value_of_the_command_line_fits_the_schema():
    folders = {"input": str(Path.cwd() / "in"), "output": str(Path.cwd() / "out")}
    assert checked(config_values(arguments())) == checked(folders)


# Profiles


def test_profile_without_a_key(tmp_path):
    folder = Profile.named("default").without("keep-going", tmp_path / "p").folder
    options = yaml.safe_load((folder / "config.yaml").read_text())
    assert "keep-going" not in options
    assert options["scheduler"] == "greedy"


@pytest.mark.parametrize(
    ("profile", "resources"),
    [
        ("jobs: 2", ("mem_mb=500",)),
        ("resources: [gpu=1]", ("gpu=1", "mem_mb=500")),
        ("resources: {gpu: 1, mem_mb: 7}", ("gpu=1", "mem_mb=7")),
    ],
)
def test_resources_of_a_profile_stay(tmp_path, profile, resources):
    (tmp_path / "config.yaml").write_text(profile)
    assert Profile(tmp_path).resources(500) == resources
    command = SnakemakeCall(tmp_path, tmp_path / "c.yaml", tmp_path, 2, (), resources, ("--quiet",)).command("all")
    at = command.index("--resources")
    assert command[at + 1 : at + 1 + len(resources)] == list(resources)
    assert command[at + 1 + len(resources)].startswith("--")
    assert command.index("all") < at


# Status


def test_status_reads_files_only(tmp_path, capsys):
    make_tree(tmp_path / "in", ["sub-1/anat/sub-1_T1w.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz"], GZIP)
    plan = plan_of(tmp_path)
    plan.targets()
    write_config(plan.layout.run_config, checked({}))
    before = sorted(tmp_path.rglob("*"))
    with run_lock(plan.layout.lock):
        assert main(["status", str(tmp_path / "out")]) == 1
    out = capsys.readouterr().out
    assert f"A run is going on: process {os.getpid()} on " in out
    assert "2 missing" in out
    assert main(["status", str(tmp_path / "out")]) == 1
    assert "No run is going on" in capsys.readouterr().out
    assert set(tmp_path.rglob("*")) - set(before) == {plan.layout.lock}


def test_status_of_nothing(tmp_path, capsys):
    assert main(["status", str(tmp_path)]) == 2
    assert "no scan table" in capsys.readouterr().err


def test_owner_of_a_lock_that_is_just_taken(tmp_path):
    path = tmp_path / "run.json"
    assert current_owner(path) == ""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert current_owner(path) == "a process"


# Validator


def test_errors_of_the_bids_validator_are_advice(tmp_path):
    make_tree(tmp_path, ["sub-1/anat/sub-1_T1w.nii.gz"], GZIP)
    report = validation_report(tmp_path)
    assert "need not matter" in report[0]
    assert any("MISSING_DATASET_DESCRIPTION" in line for line in report)


def test_no_validator_no_report(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "_validator", lambda: None)
    assert validation_report(tmp_path) == []


def test_validator_without_an_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "_validator", lambda: "false")
    assert validation_report(tmp_path) == ["The BIDS validator gave no answer (status 1)."]


@pytest.mark.parametrize(
    ("name", "text", "refused"),
    [
        ("dataset_description.json", '{"Name": "fMRIPrep", "GeneratedBy": [{"Name": "fMRIPrep"}]}', True),
        ("README.md", "# My project", True),
        ("dataset_description.json", '{"Name": "x", "GeneratedBy": [{"Name": "synthseg-bids"}]}', False),
        ("README.md", "# Brain segmentations\n\nMade by synthseg-bids 0.0.1 with", False),
        ("README.md", "", False),
    ],
)
def test_files_that_others_wrote_are_never_replaced(tmp_path, name, text, refused):
    make_tree(tmp_path / "in", ["sub-1/anat/sub-1_T1w.nii.gz"])
    make_tree(tmp_path / "out", [name], text.encode())
    if refused:
        with pytest.raises(UsageError, match=f"a {name} that synthseg-bids did not write"):
            plan_of(tmp_path)
    else:
        plan_of(tmp_path)


@pytest.mark.parametrize("place", ["", "rawdata"])
def test_results_in_a_study_or_in_its_dataset_are_refused(tmp_path, place):
    study = make_tree(tmp_path / "in", ["rawdata/sub-1/anat/sub-1_T1w.nii.gz"])
    with pytest.raises(UsageError, match="the folder of the scans"):
        plan_of(tmp_path, output=str(study / place))
    plan = plan_of(tmp_path, output=str(study / "results"))
    assert (plan.asked, plan.dataset) == (study, study / "rawdata")
    assert plan.tally.lines() == [f"read is {plan.dataset}, the only BIDS dataset in {study}"]


@pytest.mark.parametrize("level", ["participant", "group"])
def test_results_in_the_dataset_of_the_scans_are_refused_before_anything_is_written(tmp_path, capsys, level):
    bids = make_tree(tmp_path / "in", ["sub-1/anat/sub-1_T1w.nii.gz"])
    (tmp_path / "link").symlink_to(bids)
    assert main([str(bids), str(tmp_path / "link"), level]) == 2
    assert "the folder of the scans" in capsys.readouterr().err
    assert [path.name for path in bids.iterdir()] == ["sub-1"]
