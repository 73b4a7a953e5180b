"""Target translation_dataset: a plan, a run, and what makes it run again."""

from __future__ import annotations

import pytest

from synthseg_core.translation.dataset import open_dataset
from tests.phantoms.pictures import cells, save
from tests.workflow.runs import planned, snakemake


@pytest.fixture
def config(tmp_path):
    """Pictures of two microscopes."""
    for number in range(3):
        for name in ("SEM", "TEM"):
            save(tmp_path / name / f"rat{number}.png", cells(seed=number, dark=name == "TEM")[0])
    domains = {"SEM": {"paths": "SEM"}, "TEM": {"paths": ["TEM"], "scale": 0.5}}
    return {"translation": {"output": "out put", "dataset": {"domains": domains, "pictures": True}}}


def test_a_dataset_and_another_with_a_changed_option(tmp_path, config):
    done = snakemake(tmp_path, config, "translation_dataset")
    log = tmp_path / "out put" / ".logs" / "dataset.log"
    assert done.returncode == 0, done.stdout + log.read_text()
    assert "SEM, train: 1 image of 1 subject" in log.read_text()
    data = open_dataset(tmp_path / "out put" / "dataset")
    assert {data.count(name, split) for name in ("SEM", "TEM") for split in ("train", "val", "test")} == {1}
    assert planned(snakemake(tmp_path, config, "translation_dataset", "--dry-run").stdout) == {}
    config["translation"]["dataset"]["seed"] = 1
    assert planned(snakemake(tmp_path, config, "translation_dataset", "--dry-run").stdout) == {"translation_dataset": 1}


def test_faults_are_known_before_the_first_job(tmp_path, config):
    del config["translation"]["dataset"]["domains"]["TEM"]
    done = snakemake(tmp_path, config, "translation_dataset")
    assert done.returncode == 1
    assert "translation.dataset.domains: found SEM; expected two contrasts" in done.stdout
