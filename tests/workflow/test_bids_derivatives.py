"""A derivative dataset with everything in it, made by the commands one by one, for validator and pybids."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bids.layout import BIDSLayout, BIDSLayoutIndexer, Query

from synthseg_core.app.layout import Layout
from synthseg_core.bids.columns import ENTITY_NAMES
from synthseg_core.bids.names import PRODUCTS, STAGES, BidsName, ScanName, derivative, products_of
from synthseg_core.bids.own_folders import work_folder
from synthseg_core.bids.scan_row import named_row
from synthseg_core.bids.scan_table import write_table
from synthseg_core.cli.main import main
from synthseg_core.images import checks
from synthseg_core.system.tables import read_tsv
from synthseg_core.translation.card import write_translator
from tests.pages import ROOT
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.translation import matching_card
from tests.phantoms.trees import contents

MODEL = "tiny-random-cortex"
HEAD_MODEL = "tiny-random"
SCANS = (
    ScanName({"sub": "01"}, "T1w"),
    ScanName({"sub": "01"}, "FLAIR"),
    ScanName({"sub": "02", "ses": "a", "acq": "thick", "run": "2"}, "T2w"),
    ScanName({"sub": "odd"}, "orig"),  # of a file whose name is not BIDS
)
# Names whose entities are part of each other's, within one folder. Their results are copies of those of the first scan.
COPIES = tuple(
    ScanName({"sub": subject, **dict(pair.split("-") for pair in entities.split())}, suffix)
    for subject, suffix, kinds in (
        ("03", "T1w", ("", "acq-a", "run-1", "acq-a run-1")),
        ("04", "T1w", ("", "ce-gd", "rec-norm")),
        ("05", "T1w", ("ses-1", "ses-1 run-01", "ses-2 acq-b run-02")),
        ("06", "FLASH", ("", "echo-1", "echo-2")),
        ("06", "T2w", ("", "part-mag")),
        ("plain", "orig", ("", "run-2")),
    )
    for entities in kinds
)
# What BIDS recommends of a label table cannot be said there: it would be inherited by the label maps, which differ.
KNOWN_WARNINGS = {
    ("SIDECAR_KEY_RECOMMENDED", key, f"/seg-{name}_dseg.tsv")
    for key in ("Description", "SpatialReference")
    for name in ("synthseg", "synthsegparc", "synthseghead")
}


STEM = SCANS[0].stem


def command(*words):
    assert main([str(word) for word in words]) == 0, words


def path_of(name):
    return f"{name.folder}/{BidsName(name.entities, name.suffix, '.nii.gz')}"


def row_of(name, raw):
    return named_row(name, path_of(name), str(raw / path_of(name)))


def make_scan(name, raw, out):
    """Run every stage on a phantom and return the row of the scan table."""
    path = path_of(name)
    scan = write_nifti(raw / path, phantom((2.0, 2.0, 2.5), shape=(17, 21, 15)))
    files = {product: out / derivative(name.stem, product) for product in PRODUCTS}
    decision = out / ".work" / "decisions" / f"{name.stem}_decision.npz"
    uri, model = ("--source", f"bids:raw:{path}"), ("--model", MODEL, "--device", "cpu")
    segmentation = [
        word
        for product in (*products_of("segment"), *products_of("posteriors"))
        for word in (f"--{product.replace('_', '-')}", files[product])
    ]
    translation = ("--image", files["translated"], "--sidecar", files["translated_sidecar"])
    command("translate", "apply", scan, *uri, "--translator", raw.parent / "toy", "--to", "bright", *translation)
    seen = ("--translated", files["translated"], "--decision", decision)
    command("segment", scan, *uri, *model, *segmentation, *seen)
    command("resample", scan, *uri, "--resampled", files["resampled"], "--sidecar", files["resampled_sidecar"])
    parcels = ("--dseg", files["parcels"], "--dseg-1mm", files["parcels_1mm"], "--volumes", files["parcel_volumes"])
    before = ("--decision", decision, "--segmentation", files["dseg"], "--segmentation-1mm", files["dseg_1mm"])
    sidecars = ("--sidecar", files["parcels_sidecar"], "--sidecar-1mm", files["parcels_sidecar_1mm"])
    command("parcellate", scan, *uri, *model, *before, *parcels, *sidecars)
    scores = ("--scores", files["scores"], "--sidecar", files["scores_sidecar"])
    command("qc", "--decision", decision, *model, *scores)
    around = ("--segmentation", files["dseg"], "--segmentation-source", f"bids::{derivative(name.stem, 'dseg')}")
    merged = ("--dseg", files["head"], "--sidecar", files["head_sidecar"])
    command("merge", scan, *uri, *model, *around, "--merge-head", HEAD_MODEL, *merged)
    return row_of(name, raw)


def copy_scan(name, raw, out):
    """Copy scan and results of the first scan, as those of another, and return the row of the scan table."""
    first = SCANS[0]
    pairs = [(raw / path_of(first), raw / path_of(name))]
    pairs += [(out / derivative(first.stem, product), out / derivative(name.stem, product)) for product in PRODUCTS]
    for source, copy in pairs:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
        if copy.suffix == ".json":
            text = copy.read_text().replace(path_of(first), path_of(name)).replace(first.stem, name.stem)
            copy.write_text(text)
    return row_of(name, raw)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("derivatives")
    raw, out = folder / "raw", folder / "raw" / "derivatives" / "s"
    raw.mkdir()
    write_translator(matching_card(folder / "toy"))
    about = {"Name": "x", "BIDSVersion": "1.11.1", "License": "CC0", "Authors": ["A. Nobody", "B. Nobody"]}
    (raw / "dataset_description.json").write_text(json.dumps(about))
    (raw / "participants.tsv").write_text("participant_id\tage\nsub-01\t31\nsub-02\t28\n")
    (raw / "participants.json").write_text('{"age": {"Description": "Age", "Units": "year"}}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "SMALL_EXTENT_MM", 1.0)
        made = [make_scan(name, raw, out) for name in SCANS]
    copied = [copy_scan(name, raw, out) for name in COPIES]
    write_table(out / ".work" / "scans.tsv", [*made, *copied])
    for product in (product for product in PRODUCTS.values() if product.copy_of):  # as earlier versions left it
        (out / f"{COPIES[0].stem}{product.ending('T1w')}").unlink()
    command("describe", out, "--model", MODEL, "--merge-head", HEAD_MODEL, "--source", raw, "--stages", *STAGES)
    command("group", out, "--stages", *STAGES)
    command("report", *(out / derivative(name.stem, "dseg") for name in SCANS))
    command("report", "--group", out)
    return out


def test_validator_finds_no_error_and_only_known_warnings(dataset):
    validator = Path(sys.executable).parent / "bids-validator-deno"
    done = subprocess.run([validator, dataset, "--format", "json"], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    assert {(issue["code"], issue.get("subCode"), issue["location"]) for issue in issues} == KNOWN_WARNINGS
    assert done.returncode == 0


def test_every_scan_has_every_stage(dataset):
    rows = read_tsv(dataset / "group_scans.tsv")
    assert len(rows) == len(SCANS) + len(COPIES)
    assert {row[f"stage_{stage}"] for row in rows for stage in STAGES} == {"done"}


def test_every_image_has_its_sidecar_with_a_source_and_a_hash(dataset):
    images = [path for path in contents(dataset) if path.endswith(".nii.gz")]
    assert len(images) == (len(SCANS) + len(COPIES)) * sum(
        product.extension == ".nii.gz" for product in PRODUCTS.values()
    )
    for path in images:
        content = json.loads((dataset / f"{path.removesuffix('.nii.gz')}.json").read_text())
        assert content["Sources"][0].startswith("bids:raw:sub-"), path
        assert len(content["Source"]["SHA256"]) == 64


def test_group_tables_of_everything(dataset):
    names = {path.name for path in dataset.glob("group_*")}
    volumes = [f"group_seg-{name}{kind}_volumes" for name in ("synthseg", "synthsegparc")
               for kind in ("", "_desc-long", "_desc-grouped")]  # fmt: skip
    assert names == {f"{name}{end}" for name in ("group_scans", "group_qc", *volumes) for end in (".tsv", ".json")}
    (first, *_) = read_tsv(dataset / "group_seg-synthseg_desc-grouped_volumes.tsv")
    single = read_tsv(dataset / "group_seg-synthseg_volumes.tsv")[0]
    both = sum(float(single[f"{side}_cerebral_cortex_mm3"]) for side in ("left", "right"))
    assert float(first["cerebral_cortex_mm3"]) == pytest.approx(both, abs=0.002)


def test_participants(dataset):
    assert (dataset / "participants.tsv").read_text().splitlines() == [
        "participant_id\tage", "sub-01\t31", "sub-02\t28",
        *(f"sub-{label}\tn/a" for label in ("03", "04", "05", "06", "odd", "plain")),
    ]  # fmt: skip


def the_only(layout):
    (derivatives,) = layout.derivatives.values()
    return derivatives


LAYOUTS = {
    "with derivatives=True": lambda raw, path: the_only(BIDSLayout(raw, derivatives=True)),
    "with their path": lambda raw, path: the_only(BIDSLayout(raw, derivatives=path, validate=False)),
    "alone": lambda raw, path: BIDSLayout(path, is_derivative=True),
    "alone, not validated": lambda raw, path: BIDSLayout(path, is_derivative=True, validate=False),
}


@pytest.mark.parametrize("how", LAYOUTS)
def test_pybids_opens_them_and_finds_every_image(dataset, how):
    layout = LAYOUTS[how](dataset.parents[1], dataset)
    names, image = (*SCANS, *COPIES), {"extension": ".nii.gz"}
    assert len(layout.get(suffix="dseg", **image)) == 5 * len(names)
    for product, segmentation in (("dseg_1mm", "synthseg"), ("parcels_1mm", "synthsegparc")):
        found = layout.get(segmentation=segmentation, res="1mm", suffix="dseg", **image)
        sources = {Path(one.path).relative_to(dataset).as_posix(): one.get_metadata()["Sources"][0] for one in found}
        assert sources == {derivative(name.stem, product): f"bids:raw:{path_of(name)}" for name in names}
    (one,) = layout.get(subject="03", run=1, acquisition="a", space="T1w", res="1mm", suffix="probseg", **image)
    assert one.filename.startswith("sub-03_acq-a_run-1_space-T1w_seg-synthseg_")


@pytest.mark.parametrize("how", LAYOUTS)
def test_pybids_lists_no_log_and_no_work_file(dataset, how):
    folders = Layout(dataset, work_folder(dataset))
    of_stage = [kind("qc", STEM) for kind in (folders.log, folders.reason, folders.benchmark, folders.request)]
    for path in (*of_stage, folders.decision(STEM), folders.parts / "sub-01" / "snakemake.log"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    layout = LAYOUTS[how](dataset.parents[1], dataset)
    listed = {Path(one.path).relative_to(dataset).as_posix() for one in layout.get()}
    assert {path for path in listed if path.startswith(".") or "/." in path} == {".bidsignore"} & listed
    of_scans = {derivative(name.stem, product) for name in (*SCANS, *COPIES) for product in PRODUCTS}
    reports = {
        path.relative_to(dataset).as_posix() for kind in ("sub-*.html", "figures/*") for path in dataset.glob(kind)
    }
    assert len(reports) == 9 * len(SCANS)
    assert {
        Path(one.path).relative_to(dataset).as_posix() for one in layout.get(subject=Query.ANY)
    } == of_scans | reports
    assert {path for path in listed if "/" in path} == of_scans | {path for path in reports if "/" in path}


def test_pybids_with_the_ignore_of_the_page_lists_no_group_table(dataset):
    pattern = "^/group_"
    assert f'ignore=[re.compile("{pattern}")]' in (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    layout = BIDSLayout(dataset.parents[1])
    layout.add_derivatives(dataset, indexer=BIDSLayoutIndexer(ignore=[re.compile(pattern)], index_metadata=False))
    assert len(the_only(layout).get(subject="01")) == 2 * (len(PRODUCTS) + 9)
    assert layout.get_collections("subject") == []
    assert [*layout.get_collections("dataset")[0].variables] == ["age"]


def test_no_json_file_has_a_key_that_pybids_takes_for_a_part_of_a_path(dataset):
    files = [path for path in dataset.rglob("*.json") if ".work" not in path.relative_to(dataset).parts]
    assert len(files) > 20
    for path in files:
        assert not set(json.loads(path.read_text())) & ENTITY_NAMES, path
