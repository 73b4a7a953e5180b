"""A segmented dataset without a network: heads of all structures, their scans, and what can go wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from synthseg_core.bids.names import ScanName, derivative, report_name
from synthseg_core.bids.scan_row import ScanRow, named_row
from synthseg_core.images.mosaic import jpeg
from synthseg_core.images.volume import Volume
from synthseg_core.labels.table import LabelTable
from synthseg_core.reports import QUALITY_NAME, SCANS_NAME, WIDE_NAME, gather, write_group_tables
from synthseg_core.reports.page_files import FIGURES
from synthseg_core.segmentation.volumes import StructureVolume, VolumeTable
from synthseg_core.system.tables import format_tsv
from tests.phantoms.scans import oblique_affine, write_nifti

TABLE = LabelTable.builtin("segmentation_2.0")
VOXEL_SIZE = (4.0, 3.0, 5.0)
SHAPE = (44, 62, 34)
LICENCE, CITATION = "CC0", "Nobody, A method that needs no network, Journal of Phantoms 2026"


def head_labels(seed: int = 0) -> Volume:
    """White matter with a cortex around it, each half its own, and every other structure as a block inside."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.arange(size) * edge for size, edge in zip(SHAPE, VOXEL_SIZE, strict=True)), indexing="ij")
    middle = [(size - 1) * edge / 2 for size, edge in zip(SHAPE, VOXEL_SIZE, strict=True)]
    x, y, z = (one - half for one, half in zip(grid, middle, strict=True))
    scale = 1 + 0.02 * rng.standard_normal()
    radius = np.sqrt((x / 62) ** 2 + (y / 68) ** 2 + (z / 60) ** 2) / scale
    labels = np.zeros(SHAPE, np.int32)
    for inner, (left, right) in ((1.0, (3, 42)), (0.75, (2, 41))):
        labels[radius < inner] = np.where(x < 0, left, right)[radius < inner]
    pairs = [
        (4, 43),
        (5, 44),
        (7, 46),
        (8, 47),
        (10, 49),
        (11, 50),
        (12, 51),
        (13, 52),
        (17, 53),
        (18, 54),
        (26, 58),
        (28, 60),
    ]
    for place, pair in enumerate(pairs):
        for label, side in zip(pair, (-1, 1), strict=True):
            centre = (side * 20, 24 * (place % 3 - 1), 22 * (place // 3 - 1.5) * 0.8)
            _block(labels, (x, y, z), label, centre)
    for place, label in enumerate((14, 15, 16, 24)):
        _block(labels, (x, y, z), label, (0, 30 * (place % 2) - 40, 26 * (place // 2) - 12))
    return Volume(labels, oblique_affine(VOXEL_SIZE))


def scan_of(labels: Volume, seed: int = 0) -> Volume:
    """A scan in which structures differ, with noise."""
    rng = np.random.default_rng(seed)
    grey = np.random.default_rng(1).uniform(40, 200, 64)
    grey[0] = 5.0
    left_of = dict(zip(*TABLE_PAIRS, strict=True))
    folded = np.vectorize(lambda label: left_of.get(label, label))(labels.data)
    return Volume((grey[folded] + 6 * rng.standard_normal(labels.data.shape)).astype(np.float32), labels.affine)


TABLE_PAIRS = (
    [label for label, side in zip(TABLE.labels, TABLE.sides, strict=True) if side == "right"],
    [TABLE.counterparts[place] for place, side in enumerate(TABLE.sides) if side == "right"],
)
FAULTS = ("shifted", "flipped", "lacking", "empty")


def spoilt(labels: Volume, fault: str) -> Volume:
    """A label map with one thing wrong."""
    data = labels.data.copy()
    if fault == "shifted":
        data = np.roll(data, round(20 / VOXEL_SIZE[1]), axis=1)
    elif fault == "flipped":
        right, left = TABLE_PAIRS
        for a, b in zip(left, right, strict=True):
            data[labels.data == a], data[labels.data == b] = b, a
    elif fault == "lacking":
        data[data == 17] = 2
    elif fault == "empty":
        data[:] = 0
    return Volume(data, labels.affine)


def write_segmented(dataset: Path, subject: str, fault: str = "", **about) -> ScanRow:
    """Write a scan into the folder ``raw`` beside the dataset, and its derivatives."""
    seed = int(subject)
    name = ScanName({"sub": subject}, "T1w")
    good = head_labels(seed)
    path = f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz"
    raw = write_nifti(dataset.parent / "raw" / path, scan_of(good, seed))
    labels = spoilt(good, fault)
    write_nifti(dataset / derivative(name.stem, "dseg"), labels, "int32")
    for product in ("dseg_1mm", "mask", "mask_sidecar"):
        (dataset / derivative(name.stem, product)).write_text("x")
    edge = float(np.prod(VOXEL_SIZE))
    counts = np.bincount(labels.data.ravel(), minlength=64)
    rows = [
        StructureVolume(
            TABLE.labels[k],
            TABLE.names[k],
            TABLE.sides[k],
            counts[TABLE.labels[k]] * edge,
            int(counts[TABLE.labels[k]]),
        )
        for k in range(1, len(TABLE))
    ]
    (dataset / derivative(name.stem, "volumes")).write_text(VolumeTable(tuple(rows)).to_tsv())
    (dataset / derivative(name.stem, "sidecar")).write_text(json.dumps(sidecar(path, **about)))
    if not (dataset / "dataset_description.json").is_file():
        (dataset / "dataset_description.json").write_text(json.dumps({"Name": "x", "DatasetLinks": {"raw": "../raw"}}))
    return named_row(name, path, str(raw))


def sidecar(path: str, warnings: Iterable[str] = (), model: str = "phantom") -> dict:
    """What ``synthseg segment`` would say."""
    return {
        "Sources": [f"bids:raw:{path}"],
        "GeneratedBy": [{"Name": "synthseg-bids", "Version": "9.9"}],
        "Model": {"Name": model, "WeightsFile": "w", "WeightsSHA256": "ab" * 32,
                  "Licence": LICENCE, "Citation": [CITATION]},
        "Options": {"Fast": False, "CT": False, "CropVoxels": None},
        "Source": {"SHA256": "cd" * 32, "Volume": None, "ShapeVoxels": list(SHAPE), "VoxelSizeMm": list(VOXEL_SIZE)},
        "Network": {"VoxelSizeMm": 1.0, "Resampled": True, "AnswerVoxelSizeMm": 1.0},
        "Warnings": list(warnings),
    }  # fmt: skip


def write_tables(dataset: Path, rows: list[ScanRow]) -> None:
    """Write the group tables."""
    write_group_tables(gather(rows, dataset), dataset)


def _block(labels: np.ndarray, grid: tuple, label: int, centre: tuple) -> None:
    inside = np.logical_and.reduce([np.abs(one - place) < 8 for one, place in zip(grid, centre, strict=True)])
    labels[inside] = label


def write_many_tables(dataset: Path, number: int) -> None:
    """Write group tables of scans that were never there, with a thumbnail and a judgement for each."""
    rng = np.random.default_rng(0)
    dataset.mkdir(parents=True, exist_ok=True)
    (dataset / FIGURES).mkdir()
    stems = [f"sub-{place:04d}/anat/sub-{place:04d}_space-T1w" for place in range(number)]
    columns = [f"{name.replace(' ', '_').replace('-', '_').lower()}_mm3" for name in TABLE.names[1:]]
    icv = 1.5e6 * np.exp(0.1 * rng.standard_normal(number))
    picture = jpeg(rng.integers(0, 255, (100, 300), np.uint8))
    scans, volumes, scores = [], [], []
    for place, stem in enumerate(stems):
        key = {"participant_id": f"sub-{place:04d}", "session_id": "n/a", "suffix": "T1w", "scan": stem}
        status = "failed" if place % 100 == 7 else "done"
        warning = "the field of view is small" if place % 20 == 3 else "n/a"
        path = f"sub-{place:04d}/anat/sub-{place:04d}_T1w.nii.gz"
        scans.append({**key, "path": path, "status": status, "stage": "n/a",
                      "reason": "it is broken" if status == "failed" else "n/a", "log": "n/a", "warnings": 0,
                      "warning_text": warning, "model": "m", "version": "1", "weights_sha256": "ab"})  # fmt: skip
        sizes = icv[place] / 40 * np.exp(0.1 * rng.standard_normal(len(columns)))
        volumes.append({**key, "total_intracranial_mm3": icv[place], **dict(zip(columns, sizes, strict=True))})
        scores.append({**key, **{f"group_{one}": f"{rng.uniform(0.6, 0.95):.3f}" for one in range(8)}})
        name = dataset / FIGURES / report_name(stem)
        name.with_name(f"{name.name}_thumbnail.jpg").write_bytes(picture)
        judged = {
            "agreement": 0.9 + 0.01 * rng.standard_normal(),
            "empty": False,
            "swapped": False,
            "absent": [],
            "cut": [],
        }
        name.with_name(f"{name.name}_judgement.json").write_text(json.dumps(judged))
    for table, rows in ((SCANS_NAME, scans), (WIDE_NAME, volumes), (QUALITY_NAME, scores)):
        (dataset / f"{table}.tsv").write_text(format_tsv(rows, list(rows[0])))
        (dataset / f"{table}.json").write_text(json.dumps({column: {} for column in rows[0]}))
    people = [
        {"participant_id": f"sub-{place:04d}", "age": 20 + place % 60, "sex": "FM"[place % 2]}
        for place in range(number)
    ]
    (dataset / "participants.tsv").write_text(format_tsv(people, list(people[0])))
