"""Targets of translation, and the rule that translates scans before they are segmented: plans and runs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from synthseg_core.cli.demo.heads import write_heads, write_scans
from synthseg_core.images.reading import read_stored
from synthseg_core.models.registry import load_card
from synthseg_core.system.tables import read_tsv
from synthseg_core.translation.dataset import open_dataset
from synthseg_core.translation.evaluate import IMAGE_COLUMNS
from tests.phantoms.pictures import cells, save
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.translation import write_toy_translator
from tests.workflow.runs import app, planned, run, snakemake


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


@pytest.fixture
def odd(tmp_path):
    """A dataset of two scans, and a translator with random weights that makes a visible difference."""
    write_toy_translator(tmp_path / "toy")
    for label in ("1", "2"):
        scan = phantom((2.0,) * 3, (20, 22, 18), seed=int(label))
        write_nifti(tmp_path / f"bids/sub-{label}/anat/sub-{label}_FLAIR.nii.gz", scan, "int16")
    return tmp_path


def said(out, label="1"):
    """The sidecars of a translation and of the segmentation that was made from it."""
    stem = f"sub-{label}/anat/sub-{label}_space-FLAIR"
    texts = ((out / f"{stem}_{name}.json").read_text() for name in ("desc-translated_FLAIR", "seg-synthseg_dseg"))
    return [json.loads(text) for text in texts]


def test_scans_are_translated_before_they_are_segmented(odd):
    """From a configuration: a job of its own, whose file is segmented; what is deleted is made again."""
    before = {"translate_before": "toy", "translate_to": "bright"}
    config = {
        "input": "bids", "output": "out put", "device": "cpu", "worker": False,
        "segment": {"model": "tiny-random", **before},
    }  # fmt: skip
    done = snakemake(odd, config)
    out = odd / "out put"
    assert done.returncode == 0, done.stdout + "".join(path.read_text() for path in (out / ".logs").rglob("*.log"))
    translation, segmentation = said(out)
    assert translation["Synthetic"] is True
    assert translation["Sources"] == ["bids:raw:sub-1/anat/sub-1_FLAIR.nii.gz"]
    assert segmentation["Translation"] == translation["Translation"]
    assert segmentation["Translation"]["To"] == "bright"
    original = odd / "bids/sub-1/anat/sub-1_FLAIR.nii.gz"
    image = out / "sub-1/anat/sub-1_space-FLAIR_desc-translated_FLAIR.nii.gz"
    assert not np.array_equal(read_stored(image).data, read_stored(original).data)
    assert np.array_equal(read_stored(image).affine, read_stored(original).affine)
    image.unlink()
    assert planned(snakemake(odd, config, "--dry-run").stdout) == {"all": 1, "translate": 1, "segment": 1}
    config["segment"]["translate_to"] = "dark"
    assert planned(snakemake(odd, config, "--dry-run").stdout) == {"all": 1, "translate": 2, "segment": 2}


def test_the_front_door_translates_and_says_which_scan_could_not_be(odd):
    """With the warm worker; a scan that the translator refuses costs no other."""
    thick = phantom((6.0, 2.0, 2.0), (12, 22, 18), seed=3)
    write_nifti(odd / "bids/sub-3/anat/sub-3_FLAIR.nii.gz", thick, "int16")
    words = ("--translate-before", odd / "toy", "--translate-to", "bright")
    done = run(app(odd / "bids", odd / "out", *words), odd)
    assert done.returncode == 1, done.stdout
    assert said(odd / "out")[1]["Translation"]["To"] == "bright"
    table = {row["path"].partition("/")[0]: row for row in read_tsv(odd / "out" / "group_scans.tsv")}
    assert {name: row["status"] for name, row in table.items()} == {"sub-1": "done", "sub-2": "done", "sub-3": "failed"}
    assert (table["sub-3"]["stage"], table["sub-1"]["stage_translate"]) == ("translate", "done")
    assert "mm along axial slices" in table["sub-3"]["reason"]
    answered = (odd / "out/.work/.snakemake/worker.log").read_text().splitlines()
    assert ["translate", "apply"] in [json.loads(line)["words"][:2] for line in answered]


@pytest.mark.slow
def test_a_model_is_trained_on_translated_scans(tmp_path):
    """Use 1 from a configuration: labelled scans are translated, and a supervised training takes both."""
    write_toy_translator(tmp_path / "toy")
    write_scans(write_heads(tmp_path / "labels", 2, 4.0), tmp_path / "T1w")
    small = {
        "recipe": {"crop": {"shape": [16, 16, 16]}, "target_voxel_size_mm": None},
        "training": {"network": {"features": 2, "levels": 2}, "stages": [{"loss": "dice", "steps": 2}]},
        "validation": {"draws": 1},
    }
    translate = {"translator": "toy/translator.yaml", "to": "bright", "scans": ["T1w"], "labels": ["labels"]}
    config = {
        "device": "cpu",
        "translation": {"output": "made", "translate": translate},
        "training": {"output": "made", "train": {"preset": "tiny_supervised", "images": "translated", **small}},
    }
    done = snakemake(tmp_path, config, "train")
    logs = "\n".join(path.read_text() for path in sorted((tmp_path / "made" / ".logs").glob("*.log")))
    assert done.returncode == 0, done.stdout + logs
    assert planned(done.stdout) == {"translate_dataset": 1, "train": 1}
    assert "2 label maps" in logs
    assert load_card(tmp_path / "made" / "train" / "model" / "card.yaml").task == "segmentation"
    assert planned(snakemake(tmp_path, config, "train", "--dry-run").stdout) == {}


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
