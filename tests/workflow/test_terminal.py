"""What a run shows: on a terminal, in a log, and to somebody who only looks."""

import re

import pytest

from tests.phantoms.recording import record
from tests.workflow.runs import ENVIRONMENT, app, run
from tests.workflow.trial import BAD_SCANS, t1w, write_dataset

CHATTER = re.compile(r"jobid|Building DAG|rule segment|RuleException|WorkflowError|set -euo|\d+ of \d+ steps")
REASON = "InputError: found 7 in every voxel; expected a scan with anatomy"


def command(bids, out, *words):
    """The front door as users call it, without what tests add."""
    return [word for word in app(bids, out, "--skip-bids-validation", *words) if word != "--verbose"]


@pytest.fixture(scope="module")
def bids(tmp_path_factory):
    root = write_dataset(tmp_path_factory.mktemp("terminal") / "bids", "01", "02", "03")
    BAD_SCANS["constant"][0](root / t1w("02"))
    return root


def test_a_look_leaves_nothing_behind(bids):
    done = run(command(bids, bids.parent / "out", "--dry-run"), bids.parent)
    assert done.returncode == 0, done.stdout
    assert not CHATTER.search(done.stdout)
    listed = [f"  {t1w(subject)}: segment: not made yet" for subject in ("01", "02", "03")]
    assert done.stdout.splitlines()[-5:] == ["To do: 3 of 3 scans", *listed, "  files of the dataset"]
    assert [path.name for path in bids.parent.iterdir()] == ["bids"]


def test_a_run_on_a_terminal_and_its_continuation_in_a_log(bids):
    out = bids.parent / "out"
    status, screens = record(command(bids, out), bids.parent, ENVIRONMENT, columns=70)
    said = "\n".join(screens[-1])
    assert status == 1, said
    lines = [screen[-1] for screen in screens if re.match(r"planning|\d of 3 scans done", screen[-1])]
    assert lines[0] == "planning"
    assert any(line.startswith("0 of 3 scans done; now ") for line in lines)
    assert max(map(len, lines)) <= 70
    failures = [line for line in screens[-1] if "FAILED" in line]
    assert len(failures) == 1
    assert re.match(rf"\[\d/3\] FAILED {t1w('02')}: {REASON}", failures[0])
    assert not any(line in screens[-1] for line in lines)  # the status line is gone
    assert screens[-1][-1] == f"2 done, 1 failed; 2 doubtful, look at the results; see {out / 'group_scans.tsv'}"
    assert not CHATTER.search(said)
    assert f"What Snakemake says goes to {out / '.work' / 'snakemake.log'}" in screens[-1]
    assert "Building DAG" in (out / ".work" / "snakemake.log").read_text()

    (out / "sub-03/anat/sub-03_space-T1w_seg-synthseg_volumes.tsv").unlink()
    done = run(command(bids, out), bids.parent)
    assert done.returncode == 1, done.stdout
    assert not CHATTER.search(done.stdout)
    ended = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(ended) == 2
    assert any(line.startswith("[1/2] ") for line in ended)
    assert any(f"] {t1w('03')}: doubtful: the field of view" in line for line in ended)
    assert any(f"] FAILED {t1w('02')}: {REASON}" in line for line in ended)
    assert "\r" not in done.stdout
