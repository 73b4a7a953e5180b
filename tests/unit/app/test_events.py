"""Events of a run: from records of Snakemake's logger to a file, and back."""

import json
import logging
from types import SimpleNamespace

from synthseg_core.app.events import EventWriter, Follower, Job


def job(number, rule="segment"):
    return SimpleNamespace(
        jobid=number,
        rule=SimpleNamespace(name=rule),
        output=["x"] if rule != "all" else [],
        wildcards=SimpleNamespace(scan="sub-01/anat/sub-01_space-T1w"),
    )


def written(tmp_path, jobs, *records, dryrun=False):
    dag = SimpleNamespace(needrun_jobs=lambda: jobs)
    writer = EventWriter(SimpleNamespace(dag=dag, dryrun=dryrun), tmp_path / "events")
    for text, extra in records:
        record = logging.LogRecord("snakemake", logging.INFO, "file.py", 1, text, None, None)
        vars(record).update(extra)
        writer.emit(record)
    writer.close()
    return [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]


def test_plan_without_what_makes_nothing(tmp_path):
    stats = ("Job stats", {"event": "run_info"})
    (event,) = written(tmp_path, [job(1), job(2, "describe"), job(3, "all")], stats, stats, dryrun=True)
    assert [Job(*values) for values in event["jobs"]] == [
        Job(1, "segment", "sub-01/anat/sub-01_space-T1w"),
        Job(2, "describe", ""),
    ]


RECORDS = [
    ("Building DAG of jobs...", {}),
    (None, {"event": "progress", "done": 1, "total": 2}),
    ("Rule: segment", {"event": "job_info", "jobid": 1}),
    ("Error in rule", {"event": "job_error", "jobid": 1}),
    ("Trying to restart job 1.", {}),
    ("Finished", {"event": "job_finished", "job_id": 1}),
    ("WorkflowError:\n100 % strange", {"event": "error"}),
]


def test_life_of_a_job(tmp_path):
    events = written(tmp_path, [], *RECORDS)
    assert [event.get("job") for event in events] == [1, 1, 1, 1, None]
    assert [event["event"] for event in events] == ["begun", "failed", "again", "done", "error"]
    assert events[-1]["text"] == "WorkflowError:\n100 % strange"


def test_jobs_of_a_dry_run_do_not_run(tmp_path):
    assert [event["event"] for event in written(tmp_path, [], *RECORDS, dryrun=True)] == ["again", "error"]


def test_lines_are_read_whole(tmp_path):
    path = tmp_path / "events"
    follower = Follower(path)
    assert follower.lines() == []
    with path.open("wb", buffering=0) as file:
        file.write("one\ntwo ä".encode()[:-1])
        assert follower.lines() == ["one"]
        assert follower.lines() == []
        file.write("ä".encode()[1:] + b"\nthree\n")
        assert follower.lines() == ["two ä", "three"]
