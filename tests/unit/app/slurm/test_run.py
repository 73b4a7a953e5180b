"""What runs on SLURM, as far as it can be tested without one: division into shards, options, records."""

import json
import os
import subprocess

import pytest
import yaml

from synthseg_core.app.bundle import Profile, bundle_folder
from synthseg_core.app.configuration import checked
from synthseg_core.app.layout import Layout
from synthseg_core.app.lock import run_lock
from synthseg_core.app.main import main
from synthseg_core.app.plan import Plan
from synthseg_core.app.slurm import run as sharded_run
from synthseg_core.app.slurm.record import SlurmRecord, require_no_jobs
from synthseg_core.app.slurm.run import ShardedRun, run_in_shards, run_on_slurm, shard_options
from synthseg_core.app.snakemake import ChildEnd, SnakemakeCall
from synthseg_core.errors import UsageError
from tests.phantoms.trees import make_tree

CLUSTERS = ("slurm", "slurm-gpu")


def options(tmp_path, text):
    (tmp_path / "shards.yaml").write_text(text)
    given = shard_options(tmp_path)
    assert given is not None
    return given


@pytest.fixture
def without_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize(
    ("scans", "sizes"), [(0, []), (1, [1]), (5, [5]), (6, [3, 3]), (8, [4, 4]), (9, [3, 3, 3]), (100, [34, 33, 33])]
)
def test_shards_are_even_and_none_is_empty_or_needlessly_small(tmp_path, scans, sizes):
    stems = [f"s{number}" for number in range(scans)]
    divided = options(tmp_path, "{shards: 3, scans_per_shard: 3}").divide(stems)
    assert [len(shard) for shard in divided] == sizes
    assert sorted(stem for shard in divided for stem in shard) == sorted(stems)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{shard: 3}", "'shard' was unexpected"),
        ("{shards: 0}", "shards: found 0 is less than the minimum of 1"),
        ("{allocation: {minutes: '4:00:00'}}", "allocation.minutes"),
        ("{group: {extra: [qos]}}", "group.extra.0"),
    ],
)
def test_options_are_checked(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        options(tmp_path, text)


def test_shipped_shards_show_every_key_and_the_defaults(tmp_path):
    shipped = Profile.named("slurm-gpu").folder
    assert shard_options(shipped) == options(tmp_path, "")
    schema = yaml.safe_load((bundle_folder() / "workflow/schemas/shards.schema.yaml").read_text())
    shown = yaml.safe_load((shipped / "shards.yaml").read_text())
    assert set(shown) == set(schema["properties"])
    for part in ("allocation", "group"):
        assert set(shown[part]) == set(schema["properties"][part]["properties"])


@pytest.mark.parametrize("name", [path.name for path in (bundle_folder() / "profiles").iterdir() if path.is_dir()])
def test_every_key_of_a_profile_is_explained(name):
    page = (bundle_folder() / "profiles" / "README.md").read_text(encoding="utf-8")
    for path in (bundle_folder() / "profiles" / name).glob("*.yaml"):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        keys = [*values, *(key for part in ("allocation", "group") for key in values.get(part, {}))]
        assert [key for key in keys if f"`{key}`" not in page] == []


@pytest.fixture
def two_shards(tmp_path, monkeypatch):
    """A function that runs two shards which end with given statuses, ``None`` for one that never ran."""
    bids = make_tree(tmp_path / "bids", [f"sub-{number}/anat/sub-{number}_T1w.nii" for number in (1, 2)])
    values = {"input": str(bids), "output": str(tmp_path / "out"), "segment": {"model": "tiny-random"}}
    plan = Plan.from_config(config := checked(values))
    call = SnakemakeCall(plan.layout.work, plan.layout.run_config, tmp_path, 1, ())
    run = ShardedRun(plan, call, config, options(tmp_path, "{shards: 2, scans_per_shard: 1}"))

    def end(*statuses):
        def pretend(_name, _report):
            for number, status in enumerate(statuses, start=1):
                if status is not None:
                    (run.folder / str(number) / "status").write_text(status)

        monkeypatch.setattr(sharded_run, "wait_until_gone", pretend)
        return run_in_shards(run, wait=True)

    for name, answer in (("require_slurm", None), ("submit", "7"), ("summary_of", "output_file\tplan\n")):
        monkeypatch.setattr(sharded_run, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(sharded_run, "run_snakemake", lambda *_: ChildEnd(0, interrupted=False))
    monkeypatch.setattr("synthseg_core.app.slurm.record.live_jobs", lambda name: [])
    return run, end


@pytest.mark.parametrize(
    ("statuses", "expected", "said"),
    [
        (("0\n", "0\n"), 0, ""),
        (("0\n", "1\n"), 1, "Shard 2 ended with status 1: see "),
        ((None, "0\n"), 1, "Shard 1 was cancelled, or ran out of time or memory: see "),
    ],
)
def test_a_shard_that_ends_badly_or_never_ran_counts(two_shards, capsys, statuses, expected, said):
    _, end = two_shards
    assert end(*statuses) == ChildEnd(expected, interrupted=False)
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Shard ")]
    assert len(printed) == bool(said)
    assert said in "".join(printed)


@pytest.mark.parametrize("usable", [True, False])
def test_a_shard_on_a_node_without_a_home_folder(two_shards, tmp_path, usable):
    run, end = two_shards
    end("0", "0")
    script = (run.folder / "1" / "job.sh").read_text()
    lines = ["env" if "snakemake" in line else line for line in script.splitlines()]
    make_tree(tmp_path / "home", ["file"])
    home = tmp_path / "home" / ("me" if usable else "file")
    answer = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seen = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
    assert seen["LOGNAME"]
    assert seen.get("XDG_CACHE_HOME") == (None if usable else seen["XDG_RUNTIME_DIR"])
    assert seen.get("SYNTHSEG_MODELS") == (None if usable else f"{home}/.cache/synthseg")


def test_interrupt_right_after_the_submission_cancels_the_jobs(two_shards, monkeypatch):
    def interrupted(_record, jobs=()):
        if jobs:
            raise KeyboardInterrupt

    cancelled = []
    monkeypatch.setattr(SlurmRecord, "begin", interrupted)
    monkeypatch.setattr(sharded_run, "cancel", cancelled.append)
    _, end = two_shards
    assert end("0", "0") == ChildEnd(1, interrupted=True)
    assert cancelled


def test_notes_of_a_shard_are_those_of_the_work_folder_and_stay(two_shards):
    run, end = two_shards
    end("0", "0")
    (run.folder / "1/.snakemake/metadata/x").write_text("of an output")
    end("0", "0")
    assert (run.folder / "2/.snakemake/metadata/x").read_text() == "of an output"
    assert (run.plan.layout.work / ".snakemake/metadata/x").is_file()
    assert (run.folder / "1/.snakemake/incomplete").resolve() == run.plan.layout.work / ".snakemake/incomplete"


def test_what_runs_the_jobs():
    assert [Profile.named(name).executor for name in ("default", "gpu", *CLUSTERS)] == [
        "local",
        "local",
        "slurm",
        "local",
    ]
    assert shard_options(Profile.named("default").folder) is None


def test_record_keeps_its_name(tmp_path):
    layout = Layout(tmp_path, tmp_path)
    record = SlurmRecord.of(layout)
    assert not record.active
    record.begin(["12", "13"])
    again = SlurmRecord.of(layout)
    assert (again.name, again.active, again.jobs) == (record.name, True, ("12", "13"))


def test_jobs_that_cannot_be_asked_for_forbid_a_run_unless_it_is_forced(tmp_path, without_slurm):
    layout = Layout(tmp_path, tmp_path)
    require_no_jobs(layout, wait=True)
    SlurmRecord.of(layout).begin()
    with pytest.raises(UsageError, match="squeue: found no such command.*on a login node"):
        require_no_jobs(layout, wait=True)
    require_no_jobs(layout, wait=True, force=True)


@pytest.mark.parametrize("profile", CLUSTERS)
def test_a_computer_without_slurm(tmp_path, profile, capsys, without_slurm):
    make_tree(tmp_path / "bids", ["sub-01/anat/sub-01_T1w.nii"])
    words = [str(tmp_path / "bids"), str(tmp_path / "out"), "participant", "--profile", profile]
    assert main([*words, "--model", "tiny-random", "--skip-bids-validation"]) == 2
    assert "sbatch: found no such command" in capsys.readouterr().err
    assert not (tmp_path / "out" / "dataset_description.json").exists()


def test_plugin_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr("synthseg_core.app.slurm.run.require_slurm", lambda: None)
    monkeypatch.setattr("synthseg_core.app.slurm.run.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'synthseg-bids\[slurm\]'"):
        run_on_slurm(None, Layout(tmp_path, tmp_path))  # pyright: ignore


def test_a_crash_is_told_of_until_it_is_cleared(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"pid": "999999999", "host": os.uname().nodename, "started": "today"}))
    for cleared in (False, True):
        with run_lock(path) as lock:
            assert lock.after_crash
            lock.cleared = cleared
    with run_lock(path) as lock:
        assert not lock.after_crash
