"""A derivative dataset with everything in it, made by the commands one by one, under the eyes of the BIDS validator."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from synthseg_core.bids.names import PRODUCTS, STAGES, ScanName, derivative, products_of
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.bids.scan_table import write_table
from synthseg_core.cli.main import main
from synthseg_core.images import checks
from synthseg_core.system.tables import read_tsv
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.trees import contents

MODEL = "tiny-random-cortex"
SCANS = (
    ScanName({"sub": "01"}, "T1w"),
    ScanName({"sub": "01"}, "FLAIR"),
    ScanName({"sub": "02", "ses": "a", "acq": "thick", "run": "2"}, "T2w"),
    ScanName({"sub": "odd"}, "orig"),  # of a file whose name is not BIDS
)
# What BIDS recommends of a label table cannot be said there: it would be inherited by the label maps, which differ.
KNOWN_WARNINGS = {
    ("SIDECAR_KEY_RECOMMENDED", key, f"/seg-{name}_dseg.tsv")
    for key in ("Description", "SpatialReference")
    for name in ("synthseg", "synthsegparc")
}


def command(*words):
    assert main([str(word) for word in words]) == 0, words


def make_scan(name, raw, out):
    """Run every stage on a phantom and return the row of the scan table."""
    path = f"{name.folder}/{'_'.join(f'{k}-{v}' for k, v in name.entities.items())}_{name.suffix}.nii.gz"
    scan = write_nifti(raw / path, phantom((2.0, 2.0, 2.5), shape=(17, 21, 15)))
    files = {product: out / derivative(name.stem, product) for product in PRODUCTS}
    decision = out / "work" / "decisions" / f"{name.stem}_decision.npz"
    uri, model = ("--source", f"bids:raw:{path}"), ("--model", MODEL, "--device", "cpu")
    segmentation = [
        word
        for product in (*products_of("segment"), *products_of("posteriors"))
        for word in (f"--{product.replace('_', '-')}", files[product])
    ]
    command("segment", scan, *uri, *model, *segmentation, "--decision", decision)
    command("resample", scan, *uri, "--resampled", files["resampled"], "--sidecar", files["resampled_sidecar"])
    parcels = ("--dseg", files["parcels"], "--dseg-1mm", files["parcels_1mm"], "--volumes", files["parcel_volumes"])
    before = ("--decision", decision, "--segmentation", files["dseg"], "--segmentation-1mm", files["dseg_1mm"])
    command("parcellate", scan, *uri, *model, *before, *parcels, "--sidecar", files["parcels_sidecar"])
    scores = ("--scores", files["scores"], "--sidecar", files["scores_sidecar"])
    command("qc", "--decision", decision, *model, *scores)
    session = f"ses-{name.entities['ses']}" if "ses" in name.entities else ""
    return ScanRow(name.stem, f"sub-{name.entities['sub']}", session, name.suffix, path, str(scan))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("derivatives")
    raw, out = folder / "raw", folder / "out"
    raw.mkdir()
    about = {"Name": "x", "BIDSVersion": "1.11.1", "License": "CC0", "Authors": ["A. Nobody", "B. Nobody"]}
    (raw / "dataset_description.json").write_text(json.dumps(about))
    (raw / "participants.tsv").write_text("participant_id\tage\nsub-01\t31\nsub-02\t28\n")
    (raw / "participants.json").write_text('{"age": {"Description": "Age", "Units": "year"}}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "SMALL_EXTENT_MM", 1.0)
        write_table(out / "work" / "scans.tsv", [make_scan(name, raw, out) for name in SCANS])
    command("describe", out, "--model", MODEL, "--source", raw, "--stages", *STAGES)
    command("group", out, "--stages", *STAGES)
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
    assert len(rows) == len(SCANS)
    assert {row[f"stage_{stage}"] for row in rows for stage in STAGES} == {"done"}


def test_every_image_has_its_sidecar_with_a_source_and_a_hash(dataset):
    """By inheritance: the JSON file of a label map belongs to the one at 1 mm, too."""
    images = [path for path in contents(dataset) if path.endswith(".nii.gz")]
    assert len(images) == len(SCANS) * sum(product.extension == ".nii.gz" for product in PRODUCTS.values())
    for path in images:
        name = path.removesuffix(".nii.gz")
        beside = [dataset / f"{text}.json" for text in (name, name.replace("_res-1mm_dseg", "_dseg"))]
        content = json.loads(next(file for file in beside if file.is_file()).read_text())
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
        "participant_id\tage", "sub-01\t31", "sub-02\t28", "sub-odd\tn/a",
    ]  # fmt: skip
