"""Datasets of translated scans: names, labels byte by byte, provenance, what is kept and what is made again."""

from __future__ import annotations

import json

import pytest

from synthseg_core.errors import InputError
from synthseg_core.system.tables import read_tsv
from synthseg_core.translation.derivative import COLUMNS, jobs_of, translate_dataset
from synthseg_core.translation.stacks import ApplyOptions, StackTranslator
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.translation import write_toy_translator


@pytest.fixture
def scans(tmp_path):
    return [
        write_nifti(
            tmp_path / "in" / f"sub-0{number}_ses-1_run-2_T1w.nii.gz", phantom((2.0,) * 3, seed=number), "int16"
        )
        for number in (1, 2)
    ]


@pytest.fixture
def labels(scans):
    made = []
    for path in scans:
        made.append(path.parent / "labels" / path.name.replace("T1w", "dseg"))
        made[-1].parent.mkdir(exist_ok=True)
        made[-1].write_bytes(b"any bytes of " + path.name.encode())
    return made


def _translated(tmp_path, scans, labels, **options):
    card = write_toy_translator(tmp_path / "toy")
    translator = StackTranslator(card, *card.direction("dark", None), "cpu")
    return translate_dataset(jobs_of(scans, labels, "bright"), translator, ApplyOptions(**options), tmp_path / "out")


def test_images_labels_and_provenance(tmp_path, scans, labels):
    assert _translated(tmp_path, scans, labels) == 2
    stem = "sub-01/ses-1/anat/sub-01_ses-1_rec-bright_run-2_desc-translated"
    out = tmp_path / "out"
    assert (out / f"{stem}_T1w.nii.gz").is_file()
    assert (out / f"{stem}_dseg.nii.gz").read_bytes() == labels[0].read_bytes()
    assert json.loads((out / f"{stem}_T1w.json").read_text())["Synthetic"] is True
    assert json.loads((out / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    first, second = read_tsv(out / "provenance.tsv", COLUMNS)
    assert (first["image"], first["source"], first["from"], first["to"]) == (
        f"{stem}_T1w.nii.gz", str(scans[0]), "dark", "bright",
    )  # fmt: skip
    assert first["labels_sha256"] != second["labels_sha256"]


def test_a_run_that_was_killed_goes_on(tmp_path, scans, labels):
    _translated(tmp_path, scans, labels)
    image = tmp_path / "out/sub-02/ses-1/anat/sub-02_ses-1_rec-bright_run-2_desc-translated_T1w.nii.gz"
    content = image.read_bytes()
    image.unlink()
    assert _translated(tmp_path, scans, labels) == 1
    assert image.read_bytes() == content
    assert _translated(tmp_path, scans, labels) == 0
    assert _translated(tmp_path, scans, labels, tile=16) == 2
    write_nifti(scans[0], phantom((2.0,) * 3, seed=9), "int16")
    assert _translated(tmp_path, scans, labels, tile=16) == 1


def test_names_that_are_not_bids_and_names_that_meet(tmp_path, scans):
    plain = write_nifti(tmp_path / "Mr Smith.nii.gz", phantom())
    (job,) = jobs_of([plain], None, "T2-star")
    assert str(job.image(tmp_path)).startswith(f"{tmp_path}/sub-MrSmith/anat/sub-MrSmith_rec-T2star_desc-translated_")
    assert job.copy_of_labels(tmp_path) is None
    with pytest.raises(InputError, match="a name of its own"):
        jobs_of([scans[0], scans[0].parent / "other" / scans[0].name], None, "T2")
