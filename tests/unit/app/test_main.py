import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from synthseg_core.app import configuration, snakemake
from synthseg_core.app.arguments import build_parser, config_values
from synthseg_core.app.configuration import checked, write_config
from synthseg_core.app.main import exit_status, main, remove_leftovers
from synthseg_core.app.plan import Plan, stages_of
from synthseg_core.app.snakemake import ChildEnd, SnakemakeCall
from synthseg_core.app.stage_options import SegmentSettings
from synthseg_core.bids.description import DATASET_FILES
from synthseg_core.bids.names import derivative, results_of
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.bids.scan_table import read_table, write_table
from synthseg_core.errors import UsageError
from synthseg_core.reports import ScanStatus
from synthseg_core.system.atomic import temporary_name
from tests.phantoms.trees import make_tree

FIRST = "sub-01/anat/sub-01_space-T1w"
SCANS = ["sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_FLAIR.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"]


@pytest.fixture
def bids(tmp_path):
    return make_tree(tmp_path / "bids", SCANS)


def config(bids, **values):
    return checked(
        {"input": str(bids), "output": str(bids.parent / "out"), "segment": {"model": "tiny-random"}, **values}
    )


def arguments(*words):
    return config_values(build_parser().parse_args(["in", "out", "participant", *words]))


# Command line and configuration


def test_command_line_becomes_a_complete_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = checked(arguments("--participant_label", "sub-01", "02", "--session-label", "ses-a", "--fast"))
    assert values["input"] == str(tmp_path / "in")
    assert values["participants"] == ["01", "02"]
    assert values["sessions"] == ["a"]
    assert values["segment"] == {
        "model": "default", "weights": None, "fast": True, "ct": False, "posteriors": False,
        "folds": None, "mode": None, "skip_resampling": False, "voxel_scale": None, "autocrop": False,
        "translate_before": None, "translate_to": None,
    }  # fmt: skip
    assert stages_of(values) == ("segment",)
    assert values["suffixes"][:2] == ["T1w", "T2w"]


def test_autocrop_goes_on_to_the_segmentation(tmp_path):
    values = checked(arguments("--autocrop", "--model", "tiny-random"))
    assert values["segment"]["autocrop"] is True
    options = SegmentSettings.from_config(values["segment"])
    assert options.flags() == ["--model", "tiny-random", "--autocrop"]


def test_both_spellings_of_participant_label():
    assert arguments("--participant-label", "1") == arguments("--participant_label", "1")


def test_paths_of_cards_and_weights_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("card.yaml").touch()
    values = arguments("--model", "card.yaml", "--weights", "w", "-w", "work")
    assert values["segment"]["model"] == str(tmp_path / "card.yaml")
    assert values["segment"]["weights"] == str(tmp_path / "w")
    assert values["work"] == str(tmp_path / "work")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"typo": 1}, "'typo' was unexpected"),
        ({"segment": {"fats": True}}, "segment: found .*'fats' was unexpected"),
        ({"participants": ["sub_01"]}, "participants.0: found"),
        ({"participants": [1]}, "not of type 'string'"),
        ({"device": "tpu"}, "device: found 'tpu'.*Where the network runs"),
        ({"suffixes": []}, "suffixes: found"),
    ],
)
def test_configurations_that_do_not_fit_the_schema(values, message):
    with pytest.raises(UsageError, match=message):
        checked({"input": "a", "output": "b", **values})


def test_labels_that_look_like_numbers_stay_text(tmp_path):
    write_config(tmp_path / "c.yaml", {"participants": ["005", "1e3"]})
    assert yaml.safe_load((tmp_path / "c.yaml").read_text()) == {"participants": ["005", "1e3"]}


def test_core_without_the_packages_of_the_workflow(monkeypatch):
    monkeypatch.setattr(configuration, "find_spec", lambda name: None if name == "snakemake" else name)
    with pytest.raises(UsageError, match=r"no snakemake in .*synthseg-bids\[workflow\]"):
        checked({"input": "a", "output": "b"})


def test_help_names_the_exit_status(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert "130 interrupted" in capsys.readouterr().out


# Plan


def names_of(bids, paths):
    return [Path(path).relative_to(bids.parent / "out").as_posix() for path in paths]


def test_files_of_a_plan(bids):
    plan = Plan.from_config(config(bids, participants=["02"]))
    names = names_of(bids, plan.all_files())
    stem = "sub-02/anat/sub-02_space-T1w"
    assert names[0] == "dataset_description.json"
    assert names[len(DATASET_FILES) :] == [
        *(derivative(stem, product) for product in results_of("segment")),
        f".work/decisions/{stem}_decision.npz",
    ]
    assert "sidecar_1mm" in plan.layout.outputs_of("segment", stem), "a job makes it, and nobody waits for it"


def test_targets_are_a_file_a_job_and_whatever_is_missing(bids):
    stages = {"segment": {"model": "tiny-random-cortex", "posteriors": True}, "qc": {"enabled": True}}
    plan = Plan.from_config(config(bids, participants=["02"], **stages))
    stem = "sub-02/anat/sub-02_space-T1w"
    first, scores = f"{stem}_seg-synthseg_dseg.nii.gz", f"{stem}_desc-qc_scores.tsv"
    assert names_of(bids, plan.scan_targets()) == [first, scores, "sub-02_space-T1w.html"]
    plan = Plan.from_config(config(bids, participants=["02"], report={"enabled": False}, **stages))
    assert names_of(bids, plan.scan_targets()) == [first, scores]
    make_tree(bids.parent, plan.all_files(), b"x")
    assert names_of(bids, plan.scan_targets()) == [first, scores]
    gone = [f"{stem}_seg-synthseg_volumes.tsv", f".work/decisions/{stem}_decision.npz"]
    gone.append(derivative(stem, "posteriors_1mm"))
    for name in gone:
        (bids.parent / "out" / name).unlink()
    assert names_of(bids, plan.scan_targets()) == [first, *gone, scores]
    (bids.parent / "out" / first).unlink()
    assert names_of(bids, plan.scan_targets()) == [first, scores]


def test_plan_writes_the_table_of_all_scans(bids):
    plan = Plan.from_config(config(bids, participants=["02"]))
    assert len(plan.rows) == 3
    assert [row.participant_id for row in plan.selected] == ["sub-02"]
    assert read_table(plan.table) == plan.rows
    assert plan.row_of("sub-02/anat/sub-02_space-T1w").source == str(bids / SCANS[2])


def test_plan_takes_a_table_as_it_is(bids, tmp_path):
    row = ScanRow("sub-9/anat/sub-9_space-orig", "sub-9", "", "orig", "x.mgz", "/x.mgz")
    write_table(tmp_path / "mine.tsv", [row])
    assert Plan.from_config(config(bids, scans=str(tmp_path / "mine.tsv"))).rows == (row,)


# Stage files


def test_stage_file_knows_weights_by_content_not_by_place(bids, tmp_path):
    from synthseg_core.models.registry import load_card
    from synthseg_core.models.weights import find_weights

    source = find_weights(load_card("tiny-random")).path
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / source.name).write_bytes(source.read_bytes())
    path = Plan.from_config(config(bids)).scan_stage_file("segment", FIRST)
    before = path.read_text()
    moved = Plan.from_config(config(bids, segment={"model": "tiny-random", "weights": str(tmp_path / "w")}))
    assert moved.scan_stage_file("segment", FIRST).read_text() == before
    assert moved.segment.flags() == ["--model", "tiny-random", "--weights", str(tmp_path / "w")]


# Lock and leftovers


def test_output_that_cannot_be_a_folder(bids, tmp_path, capsys):
    make_tree(tmp_path, ["out"])
    assert main([str(bids), str(tmp_path / "out"), "participant", "--model", "tiny-random"]) == 2
    assert "expected a folder that can be written to" in capsys.readouterr().err


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_requests_to_terminate_are_interrupts(monkeypatch, bids, tmp_path, capsys):
    monkeypatch.setattr("synthseg_core.app.main.require_input", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert main([str(bids), str(tmp_path / "out"), "participant"]) == 130
    assert signal.getsignal(signal.SIGTERM) is before
    assert "interrupted" in capsys.readouterr().err


def test_temporary_files_of_dead_processes_are_removed(bids):
    plan = Plan.from_config(config(bids))
    folder = plan.layout.output / "sub-01" / "anat"
    own = temporary_name(folder / "x.nii.gz").name
    names = {own.replace(f"-{os.getpid()}-", f"-{dead_pid()}-"): False, own: True, ".tmp-x": True}
    make_tree(folder, names)
    remove_leftovers(plan)
    assert {name: (folder / name).exists() for name in names} == names


# Child process


def call(tmp_path):
    return SnakemakeCall(tmp_path, tmp_path / "c.yaml", tmp_path, 3, ())


def script(tmp_path, monkeypatch, code):
    monkeypatch.setattr(SnakemakeCall, "command", lambda self, *words: [sys.executable, "-c", code, *words])
    return call(tmp_path)


def test_command_line_of_snakemake(tmp_path):
    words = call(tmp_path).command("all", "--dry-run")
    assert words[:3] == [sys.executable, "-m", "snakemake"]
    assert words[3:5] == ["all", "--dry-run"]
    assert words[words.index("--cores") + 1] == "3"
    assert Path(words[words.index("--snakefile") + 1]).is_file()


def test_what_snakemake_says_goes_to_its_log(tmp_path, monkeypatch, capfd):
    """The watcher is called while it runs and once afterwards; it sees the events of this run alone."""
    (tmp_path / "events.jsonl").write_text("of an earlier run\n")
    code = (
        "import os, sys, time; open(os.environ['SYNTHSEG_EVENTS'], 'a').write('x\\n')\n"
        "print('ä', sys.argv[1:]); print('error', file=sys.stderr); time.sleep(0.5); sys.exit(3)"
    )
    caller = script(tmp_path, monkeypatch, code)
    seen = []
    end = snakemake.run_snakemake(caller, "all", watch=lambda: seen.append(caller.events.is_file()))
    assert end == ChildEnd(3, interrupted=False)
    assert len(seen) > 1
    assert caller.events.read_text() == "x\n"
    assert sorted(caller.log.read_text().splitlines()) == ["error", "ä ['all']"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_interrupt_the_whole_group(tmp_path, monkeypatch, number):
    code = (
        "import os, signal, subprocess, sys; p = subprocess.Popen(['sleep', '30'])\n"
        f"try: os.kill({os.getpid()}, {number}); signal.pause()\n"
        "except KeyboardInterrupt: sys.exit(100 + abs(p.wait()))"
    )
    handler = signal.getsignal(number)
    end = snakemake.run_snakemake(script(tmp_path, monkeypatch, code))
    assert end == ChildEnd(100 + signal.SIGINT, interrupted=True)
    assert signal.getsignal(number) is handler


def test_signal_that_comes_before_the_child_is_passed_on(tmp_path, monkeypatch):
    code = "import signal, sys\ntry: signal.pause()\nexcept KeyboardInterrupt: sys.exit(7)"
    caller = script(tmp_path, monkeypatch, code)
    start = subprocess.Popen

    def late(*words, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        process = start(*words, **options)
        time.sleep(0.3)  # until the child's Python has its handlers
        return process

    monkeypatch.setattr(snakemake.subprocess, "Popen", late)
    assert snakemake.run_snakemake(caller).interrupted


def test_killed_child_takes_its_jobs_along(tmp_path, monkeypatch):
    note = tmp_path / "pid"
    code = (
        "import os, subprocess, sys; p = subprocess.Popen(['sleep', '30'])\n"
        f"open({str(note)!r}, 'w').write(str(p.pid)); os.kill(os.getpid(), 9)"
    )
    end = snakemake.run_snakemake(script(tmp_path, monkeypatch, code))
    assert end == ChildEnd(-9, interrupted=False)
    status = Path(f"/proc/{note.read_text()}/status")
    deadline = time.monotonic() + 5
    while status.exists() and "zombie" not in status.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not status.exists() or "zombie" in status.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_child_is_asked_to_end_when_the_front_door_is_killed(tmp_path):
    note, log = tmp_path / "note", tmp_path / "snakemake.log"
    inner = (
        f"import signal, time; signal.signal(15, lambda *_: open({str(note)!r}, 'w').close())\n"
        "print('ready', flush=True); time.sleep(30)"
    )
    outer = (
        "from synthseg_core.app import snakemake as child; import sys; from pathlib import Path\n"
        f"child.SnakemakeCall.command = lambda self, *words: [sys.executable, '-c', {inner!r}]\n"
        f"here = Path({str(tmp_path)!r}); child.run_snakemake(child.SnakemakeCall(here, here / 'c', here, 1, ()))"
    )
    with subprocess.Popen([sys.executable, "-c", outer]) as front:
        while front.poll() is None and "ready" not in (log.read_text() if log.is_file() else ""):
            time.sleep(0.02)
        front.kill()
    deadline = time.monotonic() + 20
    while not note.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert note.exists()


def test_missing_command_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(snakemake.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(snakemake.sys, "argv", [str(tmp_path / "synthseg-bids")])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="synthseg: found no such command"):
        snakemake.run_snakemake(call(tmp_path))


def test_lock_that_snakemake_cannot_remove(tmp_path, monkeypatch):
    assert not snakemake.has_locks(tmp_path)
    make_tree(tmp_path, [".snakemake/locks/0.input.lock"])
    assert snakemake.has_locks(tmp_path)
    with pytest.raises(UsageError, match=r"\(no way\)"):
        snakemake.unlock(script(tmp_path, monkeypatch, "import sys; sys.exit('no way')"))


# Bundle and exit status


def statuses(*names, recorded=True):
    row = ScanRow("s", "sub-1", "", "T1w", "p", "/p")
    return [ScanStatus(row, name, recorded=recorded and name == "failed") for name in names]


@pytest.mark.parametrize(
    ("status", "scans", "expected"),
    [
        (0, statuses("done", "skipped"), 1),
        (0, statuses("done", "done"), 0),
        (1, statuses("done", "failed"), 1),
        (1, statuses("done", "missing"), 1),
        (1, statuses("failed"), 2),
        (1, statuses("failed", recorded=False), 1),
        (0, statuses("done", "failed"), 1),
        (1, statuses("done", "done"), 2),
        (-9, statuses("done", "missing"), 137),
    ],
)
def test_exit_status(status, scans, expected):
    assert exit_status(ChildEnd(status, interrupted=False), scans) == expected


def test_what_is_asked_for_and_not_there_is_no_success():
    end = ChildEnd(0, interrupted=False)
    assert exit_status(end, statuses("done"), absent=("sub-77",), by_label=True) == 1
    assert exit_status(end, statuses("done"), by_label=True) == 0


def test_what_is_not_downloaded_is_a_failure_only_where_it_is_asked_for_by_label():
    row = ScanRow("s", "sub-1", "", "T1w", "p", "/p", "not downloaded; fetch it, for instance 'datalad get'")
    found = [*statuses("done"), ScanStatus(row, "skipped", row.problem)]
    end = ChildEnd(0, interrupted=False)
    assert exit_status(end, found) == 0
    assert exit_status(end, found, by_label=True) == 1


def test_pages_that_could_not_be_made_are_no_fault_of_the_call():
    assert exit_status(ChildEnd(1, interrupted=False), statuses("done"), unmade=["sub-1/sub-1_T1w"]) == 1
    assert exit_status(ChildEnd(1, interrupted=False), statuses("done")) == 2


def test_exit_status_after_an_interrupt():
    assert exit_status(ChildEnd(1, interrupted=True), statuses("done")) == 130


# What is refused before Snakemake starts


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{bids}/absent", "{out}", "participant"], "no such folder"),
        (["{bids}", "{out}", "participant", "--participant-label", "77"], "no usable scan"),
        (["{bids}", "{out}", "participant", "--model", "nonsense"], "neither a registered model nor a card"),
        (["{bids}", "{out}", "participant", "--weights", "{out}"], "no weights in"),
        (
            ["{bids}", "{out}", "participant", "--device", "tpu"],
            "--device: found 'tpu'; expected where the network",
        ),
        (["{bids}", "{out}", "participant", "--profile", "gone"], "--profile: found gone"),
        (["{bids}/absent", "{out}", "group"], "no such folder"),
    ],
)
def test_refusals(bids, tmp_path, words, message, capsys):
    assert main([word.format(bids=bids, out=tmp_path / "out") for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("synthseg-bids: error: ")
    assert message in error
    assert error.count("\n") == 1


def test_usage_errors(capsys):
    with pytest.raises(SystemExit) as end:
        main(["a", "b", "participant", "--n-cpus", "0"])
    assert end.value.code == 2
    assert "--n-cpus: found '0'; expected a number of cores, 1 or more, or all\n" in capsys.readouterr().err


def test_another_snakemake_s_lock_is_respected(bids, tmp_path, capsys):
    make_tree(tmp_path / "out/work", [".snakemake/locks/0.input.lock"])
    assert main([str(bids), str(tmp_path / "out"), "participant", "--model", "tiny-random"]) == 2
    assert "a lock of a Snakemake that synthseg-bids did not start" in capsys.readouterr().err


def test_group_without_scans_or_logs(bids, tmp_path, capsys):
    assert main([str(bids), str(tmp_path / "out"), "group"]) == 0
    assert "3 missing" in capsys.readouterr().out
    assert (tmp_path / "out" / "group_scans.tsv").is_file()
    assert main([str(tmp_path / "gone"), str(tmp_path / "out"), "group"]) == 0
