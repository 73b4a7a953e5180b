"""What Snakemake shows without running anything: summaries, graphs, a report; after a run in which one scan failed."""

import re

import pytest

from synthseg_core.app.configuration import checked
from synthseg_core.app.plan import Plan
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.trees import OWN, contents, make_tree
from tests.workflow.runs import planned, snakemake

GOOD = "sub-01/anat/sub-01_space-T1w"
BROKEN = "sub-02/anat/sub-02_space-T1w"


def config(folder, **values):
    return {
        "input": str(folder / "in"),
        "output": str(folder / "out"),
        "device": "cpu",
        "segment": {"model": "tiny-random"},
        **values,
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of a run over a good scan and an empty file."""
    folder = tmp_path_factory.mktemp("finished run")
    write_nifti(folder / "in/sub-01/anat/sub-01_T1w.nii.gz", phantom((2.0, 2.0, 2.5), shape=(17, 21, 15)))
    make_tree(folder / "in", ["sub-02/anat/sub-02_T1w.nii.gz"])
    done = snakemake(folder, config(folder))
    assert done.returncode == 1, done.stdout
    assert (folder / "out" / f"{GOOD}_seg-synthseg_volumes.tsv").is_file(), done.stdout
    return folder


def view(folder, *words, **values):
    done = snakemake(folder, config(folder, **values), *words)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("flag", ["--summary", pytest.param("--detailed-summary", marks=pytest.mark.slow)])
def test_summary_says_what_is_there_and_what_is_left(finished, flag):
    header, *lines = (line.split("\t") for line in view(finished, flag).splitlines() if "\t" in line)
    status = {line[0]: line[header.index("status")] for line in lines}
    assert {status[name] for name in status if GOOD in name} == {"ok"}
    assert {status[name] for name in status if BROKEN in name} == {"missing"}


def test_graph_of_jobs(finished):
    graph = view(finished, "--dag")
    done, missing = (re.search(rf"segment\\nscan: {stem}.*style=\"(.*)\"", graph)[1] for stem in (GOOD, BROKEN))
    assert "dashed" in done
    assert "dashed" not in missing


@pytest.mark.slow
def test_graph_of_rules(finished):
    assert set(re.findall(r'label = "(\w+)"', view(finished, "--rulegraph"))) == {"all", "describe", "segment"}


def test_report_is_one_page_that_loads_nothing_and_does_not_mind_failed_scans(finished):
    view(finished, "--report", "report.html")
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert str(finished / "in") in page
    assert "with the model tiny-random" in page
    assert re.findall(r"<(?:script|link)[^>]+(?:src|href)=[\"']https?:", page) == []


def test_looking_with_other_settings_changes_nothing(tmp_path):
    """Not even the time of the settings file, on which all segmentations depend."""
    make_tree(tmp_path / "in", ["sub-01/anat/sub-01_T1w.nii"])
    view(tmp_path, "--dry-run")
    make_tree(tmp_path, Plan.from_config(checked(config(tmp_path))).all_files(), OWN)
    before = contents(tmp_path / "out")
    view(tmp_path, "--summary", segment={"model": "tiny-random", "fast": True})
    assert planned(view(tmp_path, "--dry-run")) == {}
    after = contents(tmp_path / "out")
    assert {name: after.get(name) for name in before} == before
