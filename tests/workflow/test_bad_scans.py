"""One bad scan of each kind among good ones: the others finish, each failure has its reason, the next run retries."""

import pytest

from synthseg_core.system.tables import read_tsv
from tests.phantoms.trees import make_tree
from tests.workflow.runs import app, planned, run, snakemake
from tests.workflow.trial import BAD_SCANS, stem, t1w, write_bad_scans, write_dataset, write_scan

GOOD = ("a1", "m1", "z1")
OPTIONS = ("--model", "tiny-random-cortex", "--qc")
MISNAMED = "sub-a1/anat/sub-a1_T1w_old.nii.gz"
NOT_DOWNLOADED = {"annex", "lfs"}
NEVER_TRIED = {"link", "folder", *NOT_DOWNLOADED}


def statuses(out):
    rows = read_tsv(out / "group_scans.tsv")
    return {row["path"]: (row["status"], row["reason"]) for row in rows}


def write_all(root):
    write_dataset(root, *GOOD)
    write_bad_scans(root)
    make_tree(root, [MISNAMED])
    return root


def check_tables(out):
    """Look at what the group level says of every scan."""
    said = statuses(out)
    for kind, (_, reason) in BAD_SCANS.items():
        assert said[t1w(kind)][0] == ("skipped" if kind in NOT_DOWNLOADED else "failed"), kind
        assert reason in said[t1w(kind)][1], kind
    assert {path for path, (status, _) in said.items() if status == "done"} == {t1w(subject) for subject in GOOD}
    assert said[MISNAMED][0] == "skipped"
    assert "a name that is not BIDS" in said[MISNAMED][1]
    volumes, scores = read_tsv(out / "group_seg-synthseg_volumes.tsv"), read_tsv(out / "group_qc.tsv")
    assert [row["participant_id"] for row in volumes] == [row["participant_id"] for row in scores]
    assert [row["participant_id"] for row in volumes] == [f"sub-{subject}" for subject in GOOD]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad scans")
    bids = write_all(folder / "bids")
    return bids, folder / "out", run(app(bids, folder / "out", *OPTIONS), folder)


def test_there_are_enough_kinds():
    assert len(BAD_SCANS) >= 12


def test_good_scans_finish_and_every_reason_is_listed(finished):
    _, out, done = finished
    assert done.returncode == 1, done.stdout
    assert f"{len(GOOD)} done, {len(BAD_SCANS) - len(NOT_DOWNLOADED)} failed, 3 skipped" in done.stdout
    check_tables(out)


def test_next_run_tries_the_failed_ones_only(finished, tmp_path):
    """The last test of this run: it repairs a scan."""
    bids, out, _ = finished
    repaired = "empty"
    write_scan(bids, repaired)
    for kind in set(BAD_SCANS) - {repaired, *NEVER_TRIED, "nan"}:
        (bids / t1w(kind)).unlink()
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*_volumes.tsv") if "group" not in path.name}
    done = run(app(bids, out, *OPTIONS), tmp_path)
    assert done.returncode == 1, done.stdout
    assert planned(done.stdout) == {"segment": 2, "qc": 2, "all": 1}
    assert all(path.stat().st_mtime_ns == before for path, before in times.items())
    assert statuses(out)[t1w(repaired)][0] == "done"
    assert "no finite voxel" in statuses(out)[t1w("nan")][1]
    assert (out / f"{stem(repaired)}_desc-qc_scores.tsv").is_file()


@pytest.mark.slow
def test_plain_snakemake_finishes_the_others_and_its_group_lists_the_reasons(tmp_path):
    bids, out = write_all(tmp_path / "bids"), tmp_path / "out"
    options = {"segment": {"model": "tiny-random-cortex"}, "qc": {"enabled": True}, "device": "cpu"}
    config = {"input": str(bids), "output": str(out), **options}
    done = snakemake(tmp_path, config, "--keep-going")
    assert done.returncode == 1
    gathered = snakemake(tmp_path, config, "group")
    assert gathered.returncode == 0, gathered.stdout
    check_tables(out)
    plan = planned(snakemake(tmp_path, config, "--dry-run").stdout)
    tried = len(BAD_SCANS) - len(NEVER_TRIED)
    assert plan == {"segment": tried, "qc": tried, "all": 1}
