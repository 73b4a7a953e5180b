"""The workflow as a module of another one, which lies elsewhere and brings a configuration of its own."""

import shutil
import subprocess
import sys

import pytest
import yaml

from synthseg_core.system.tables import read_tsv
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.trees import make_tree
from tests.workflow.runs import REPOSITORY, planned, run

CONFIG = {"input": "scans", "output": "results/brains", "device": "cpu", "segment": {"model": "tiny-random"}}

DEPLOYED = """\
configfile: "config/config.yaml"

module synthseg:
    snakefile: {snakefile!r}
    config: config

use rule * from synthseg
"""
"""As snakedeploy writes it."""

OWN = """\
configfile: "config/config.yaml"

rule all:
    input:
        "results/rows.txt"

module synthseg:
    snakefile: {snakefile!r}
    config: config["brains"]
    prefix: "somewhere"

use rule * from synthseg as synthseg_*

rule count:
    input:
        expand(rules.synthseg_segment.output.volumes, scan="sub-01/anat/sub-01_space-T1w")
    output:
        "results/rows.txt"
    shell:
        "wc -l < {{input}} > {{output}}"
"""


def project(folder, text, snakefile, config):
    """Make a workflow of somebody else's."""
    for name in ("workflow", "config"):
        (folder / name).mkdir()
    (folder / "workflow" / "Snakefile").write_text(text.format(snakefile=str(snakefile)))
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def snakemake(folder, *words):
    done = run(
        [sys.executable, "-m", "snakemake", *words, "--cores", "2"], folder, XDG_CACHE_HOME=str(folder / "cache")
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def published(tmp_path):
    """The address of the workflow in a repository, at a tag; nothing of it lies in a folder."""
    repository = tmp_path / "repository"
    for name in ("workflow", "envs"):
        shutil.copytree(REPOSITORY / name, repository / name)
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "x"], ["tag", "v1"]):
        subprocess.run(["git", *words], cwd=repository, check=True)
    return f"git+file://{repository}/workflow/Snakefile@v1"


def test_as_deployed_from_a_tag_with_a_configuration_of_ones_own(tmp_path, published):
    folder = project(make_tree(tmp_path / "study", ["scans/sub-01/anat/sub-01_T1w.nii"]), DEPLOYED, published, CONFIG)
    output = snakemake(folder, "--dry-run")
    assert planned(output) == {"describe": 1, "segment": 1, "scan_report": 1, "all": 1}
    assert (folder / "results/brains/.work/scans.tsv").is_file()


def test_under_other_names_beside_rules_of_ones_own(tmp_path):
    make_tree(tmp_path / "study", ["scans/sub-01/anat/sub-01_T1w.nii"])
    snakefile = REPOSITORY / "workflow" / "Snakefile"
    folder = project(tmp_path / "study", OWN, snakefile, {"brains": CONFIG, "mine": 1})
    output = snakemake(folder, "--dry-run")
    assert planned(output) == {"synthseg_segment": 1, "count": 1, "all": 1}
    assert "not present" not in output


@pytest.mark.slow
def test_a_run_as_a_module(tmp_path):
    folder = tmp_path / "study"
    write_nifti(folder / "scans/sub-01/anat/sub-01_T1w.nii.gz", phantom(shape=(13, 11, 15)))
    project(folder, OWN, REPOSITORY / "workflow" / "Snakefile", {"brains": CONFIG})
    snakemake(folder)
    assert int((folder / "results" / "rows.txt").read_text()) > 1
    snakemake(folder, "synthseg_all")
    snakemake(folder, "synthseg_group")
    assert [row["status"] for row in read_tsv(folder / "results/brains/group_scans.tsv")] == ["done"]
    assert "Nothing to be done" in snakemake(folder, "synthseg_all", "--dry-run")
    snakemake(folder, "synthseg_all", "--report", "report.html")
