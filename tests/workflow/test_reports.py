"""Pages made by the workflow: one a scan and one for all, remade when what they show is, and by themselves."""

import pytest

from synthseg_core.reports.page_files import CONTOURS, JUDGEMENT, figure_path
from tests.phantoms.trees import contents
from tests.workflow.runs import app, planned, run
from tests.workflow.trial import write_dataset, write_scan

PAGES = ("sub-1_space-T1w.html", "sub-2_space-T1w.html", "group.html")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset with its derivatives and pages; the tests of this module follow each other on it."""
    folder = tmp_path_factory.mktemp("reports")
    bids = write_dataset(folder / "bids", "1", "2")
    (bids / "sub-9/anat").mkdir(parents=True)
    (bids / "sub-9/anat/sub-9_T1w.nii.gz").write_bytes(b"")
    done = run(app(bids, folder / "out", "--reports"), folder)
    assert done.returncode == 1, done.stdout
    assert planned(done.stdout)["scan_report"] == 3
    return bids, folder / "out"


def again(made, *words, level="participant"):
    done = run(app(*made, "--reports", *words, level=level), made[1].parent)
    assert done.returncode in (0, 1), done.stdout
    return planned(done.stdout), done.stdout


def test_every_scan_that_is_done_has_a_page_and_the_other_is_first_in_that_of_all(made):
    _, out = made
    assert {path.name for path in out.glob("*.html")} == {*PAGES}
    text = (out / "group.html").read_text()
    assert text.index("sub-9_T1w.nii.gz") < text.index('href="sub-1_space-T1w.html"')
    assert "an empty file" in text


def test_what_is_deleted_or_out_of_date_is_made_again_and_nothing_else(made):
    bids, out = made
    before = contents(out, without=(".work", ".logs"))
    (out / PAGES[0]).unlink()
    (out / "group.html").unlink()
    (out / figure_path("sub-2_space-T1w", CONTOURS)).unlink()
    jobs, said = again(made)
    assert (jobs["segment"], jobs["scan_report"]) == (1, 3)  # and those of the scan that cannot be segmented
    assert f"look at {out / 'group.html'}" in said
    assert contents(out, without=(".work", ".logs")) == before
    write_scan(bids, "2", seed=7)
    jobs, _ = again(made)
    assert (jobs["segment"], jobs["scan_report"]) == (2, 2)


def test_a_dry_run_names_pages(made):
    _, out = made
    (out / PAGES[0]).unlink()
    (out / figure_path("sub-2_space-T1w", JUDGEMENT)).unlink()
    _, said = again(made, "--dry-run")
    for scan in ("sub-1/anat/sub-1_T1w.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz"):
        assert f"{scan}: scan_report: no page, a picture lacks, or older than what it shows" in said
    again(made)


def test_pages_alone_are_made_from_what_is_there(made):
    bids, out = made
    before = contents(out, without=(".work", ".logs"))
    for path in (*out.glob("*.html"), *out.glob("figures/*")):
        path.unlink()
    _, said = again(made, "--reports-only")
    assert "[2/2] sub-2_space-T1w.html" in said
    assert contents(out, without=(".work", ".logs")) == before
    bids.rename(bids.with_name("away"))
    again(made, "--reports-only", "--participant-label", "1")
    assert "The scan was not there" in (out / PAGES[0]).read_text()
    bids.with_name("away").rename(bids)


def test_no_reports(made, tmp_path):
    bids, _ = made
    done = run(app(bids, tmp_path / "out"), tmp_path)
    assert "scan_report" not in planned(done.stdout)
    assert not [*(tmp_path / "out").glob("*.html")]


def test_a_page_that_cannot_be_made_costs_no_result_and_is_named(made, tmp_path):
    bids, out = write_dataset(tmp_path / "bids", "1", "2"), tmp_path / "out"
    out.mkdir()
    (out / "figures").write_text("in the way")
    done = run(app(bids, out, "--reports"), tmp_path)
    assert done.returncode == 1, done.stdout
    assert "pages that could not be made, of scans that are done: 2 pages, see" in done.stdout
    assert "FAILED sub-1/anat/sub-1_T1w.nii.gz: its page could not be made: " in done.stdout
    assert "figures" in (out / ".logs/report/sub-1_space-T1w.log").read_text()
    assert len(list(out.glob("sub-*/anat/*_dseg.nii.gz"))) >= 2
