"""Target translation_dataset: a plan, a run, and what makes it run again."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.system.tables import read_tsv
from synthseg_core.translation.dataset import open_dataset
from synthseg_core.translation.evaluate import IMAGE_COLUMNS
from tests.phantoms.pictures import cells, save
from tests.phantoms.scans import phantom, write_nifti
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


def test_what_translated_scans_need(tmp_path):
    """Dataset and training come before; a translator of one's own needs neither."""
    for name in ("T1w", "T2w"):
        (tmp_path / name).mkdir()
    domains = {name: {"paths": [name]} for name in ("T1w", "T2w")}
    translate = {"to": "T2w", "scans": ["T1w"]}
    config = {"translation": {"output": "out", "dataset": {"domains": domains}, "translate": translate}}
    jobs = {"translation_dataset": 1, "train_translation": 1, "translate_dataset": 1}
    assert planned(snakemake(tmp_path, config, "translate_dataset", "--dry-run").stdout) == jobs
    assert planned(snakemake(tmp_path, config, "evaluate_translation", "--dry-run").stdout) == {
        "translation_dataset": 1, "train_translation": 1, "evaluate_translation": 1,
    }  # fmt: skip
    (tmp_path / "mine.yaml").touch()
    translate["translator"] = "mine.yaml"
    assert planned(snakemake(tmp_path, config, "translate_dataset", "--dry-run").stdout) == {"translate_dataset": 1}


@pytest.mark.slow
def test_from_scans_to_a_dataset_of_translated_ones(tmp_path):
    """All four targets: the last ones bring what they need."""
    for name, number in (("T1w", 5), ("T2w", 5)):
        for subject in range(number):
            scan = phantom((2.0,) * 3, (22, 26, 20), seed=subject)
            scan.data[:] = scan.data if name == "T1w" else np.where(scan.data > 20, 200 - scan.data, 0)
            write_nifti(tmp_path / name / f"sub-{name[1]}{subject}_{name}.nii.gz", scan, "int16")
            if name == "T1w":
                write_nifti(tmp_path / "labels" / f"sub-{name[1]}{subject}_dseg.nii.gz", scan, "uint8")
    networks = {"generator": {"features": 2, "blocks": 1}, "discriminator": {"features": 2, "layers": 1}}
    config = {
        "device": "cpu",
        "translation": {
            "output": "out put",
            "dataset": {
                "domains": {name: {"paths": [name]} for name in ("T1w", "T2w")},
                "spacing": 2, "neighbours": 0, "ratios": [0.6, 0.2, 0.2],
            },
            "train": {"preset": "tiny", "steps": 2, "settings": {"networks": networks, "size": 16}},
            "translate": {"to": "T2w", "scans": ["T1w"], "labels": ["labels"]},
        },
    }  # fmt: skip
    out = tmp_path / "out put"
    done = snakemake(tmp_path, config, "translate_dataset", "evaluate_translation")
    assert done.returncode == 0, done.stdout + "".join(path.read_text() for path in (out / ".logs").glob("*.log"))
    assert len(list((out / "translated").rglob("*desc-translated_T1w.nii.gz"))) == 5
    copy = next((out / "translated").rglob("*_dseg.nii.gz"))
    original = tmp_path / "labels" / f"{copy.name.partition('_')[0]}_dseg.nii.gz"
    assert copy.read_bytes() == original.read_bytes()
    assert len(read_tsv(out / "evaluation" / "images.tsv", IMAGE_COLUMNS)) == 2
    assert planned(snakemake(tmp_path, config, "translate_dataset", "--dry-run").stdout) == {}
    config["translation"]["translate"]["seed"] = 3
    assert planned(snakemake(tmp_path, config, "translate_dataset", "--dry-run").stdout) == {"translate_dataset": 1}
