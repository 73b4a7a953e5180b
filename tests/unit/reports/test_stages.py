"""The group level of several stages: what became of each, numbers of parcels and scores, sums, participants."""

import json
import time
from dataclasses import replace

import pytest

from synthseg_core.bids.names import derivative, products_of
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.bids.scan_table import write_table
from synthseg_core.cli.main import main
from synthseg_core.labels.table import LabelTable
from synthseg_core.reports import gather, write_group_tables
from synthseg_core.reports.volumes import GROUPINGS, sums_of
from synthseg_core.resources import resource
from synthseg_core.segmentation.volumes import StructureVolume, VolumeTable
from synthseg_core.system.tables import read_tsv
from tests.phantoms.trees import contents

STAGES = ("segment", "parcellate", "qc")
STRUCTURES, PARCELS = LabelTable.builtin("segmentation_2.0"), LabelTable.builtin("parcellation_2.0")
SCORES = "index\tname\tscore\n1\tgeneral white matter\t{}\n4\tcerebellum\t{}\n"
MADE = {
    "Model": {"Name": "synthseg-2.0", "WeightsSHA256": "ab" * 32},
    "GeneratedBy": [{"Name": "synthseg-bids", "Version": "0.1.0"}],
    "Warnings": [],
}


def row(subject):
    stem = f"sub-{subject}/anat/sub-{subject}_space-T1w"
    return ScanRow(stem, f"sub-{subject}", "", "T1w", f"sub-{subject}.nii", f"/gone/sub-{subject}.nii")


def volumes(table, seed=0):
    """A table of volumes in which no two structures are alike."""
    channels = range(1, len(table))
    rows = [StructureVolume(table.labels[k], table.names[k], table.sides[k], 1000.5 + seed + k, k) for k in channels]
    return VolumeTable(tuple(rows))


def finish(dataset, scan, stages=STAGES, warnings=(), scores=(0.9, 0.8), seed=0):
    texts = {
        "volumes": volumes(STRUCTURES, seed).to_tsv(),
        "parcel_volumes": volumes(PARCELS, seed).to_tsv(),
        "scores": SCORES.format(*scores),
        "sidecar": json.dumps({**MADE, "Warnings": list(warnings)}),
        "scores_sidecar": json.dumps({**MADE, "Model": {"Name": "judge"}}),
        "parcels_sidecar": json.dumps({**MADE, "Model": {"Name": "parc", "WeightsSHA256": "cd" * 32}}),
    }
    for stage in stages:
        for product in products_of(stage):
            path = dataset / derivative(scan.scan, product)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts.get(product, "x"))


def leave(dataset, stage, scan, text, extension="json"):
    path = dataset / ".logs" / stage / f"{scan.scan}.{extension}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def dataset(tmp_path):
    """Scans that are done, whose parcels failed, whose scores were never asked for, whose segmentation failed."""
    scans = [row(label) for label in ("1", "2", "3", "4")]
    finish(tmp_path, scans[0])
    finish(tmp_path, scans[1], ("segment", "qc"), scores=(0.4, 0.9))
    leave(tmp_path, "parcellate", scans[1], '{"error": "ModelError", "message": "no cortex"}')
    leave(tmp_path, "parcellate", scans[1], "...", "log")
    finish(tmp_path, scans[2], ("segment", "parcellate"), warnings=["the segmentation is empty: no\nstructure", "b"])
    leave(tmp_path, "segment", scans[3], '{"error": "InputError", "found": "x", "expected": "y", "remedy": "z"}')
    write_table(tmp_path / ".work" / "scans.tsv", scans)
    return tmp_path


@pytest.fixture
def gathered(dataset, capsys):
    assert main(["group", str(dataset), "--stages", *STAGES]) == 0
    return dataset, capsys.readouterr().out


def scan_rows(dataset):
    return {line["participant_id"]: line for line in read_tsv(dataset / "group_scans.tsv")}


def test_every_stage_of_every_scan(gathered):
    dataset, said = gathered
    rows = scan_rows(dataset)
    columns = ("status", "stage", "stage_segment", "stage_parcellate", "stage_qc")
    assert {label: [line[name] for name in columns] for label, line in rows.items()} == {
        "sub-1": ["done", "n/a", "done", "done", "done"],
        "sub-2": ["failed", "parcellate", "done", "failed", "done"],
        "sub-3": ["missing", "qc", "done", "done", "missing"],
        "sub-4": ["failed", "segment", "failed", "missing", "missing"],
    }
    assert rows["sub-2"]["reason"] == "ModelError: no cortex"
    assert rows["sub-2"]["log"] == ".logs/parcellate/sub-2/anat/sub-2_space-T1w.log"
    assert said.startswith("1 done, 2 failed, 1 missing\n1 with warnings\n")


def test_failed_parcels_do_not_hide_a_segmentation(gathered):
    dataset, _ = gathered
    names = {name: [line["participant_id"] for line in read_tsv(dataset / f"{name}.tsv")] for name in (
        "group_seg-synthseg_volumes", "group_seg-synthsegparc_volumes", "group_qc",
    )}  # fmt: skip
    assert names == {
        "group_seg-synthseg_volumes": ["sub-1", "sub-2", "sub-3"],
        "group_seg-synthsegparc_volumes": ["sub-1", "sub-3"],
        "group_qc": ["sub-1", "sub-2"],
    }


def test_doubts_can_be_seen(gathered):
    dataset, _ = gathered
    rows = scan_rows(dataset)
    assert rows["sub-3"]["warnings"] == "2"
    assert rows["sub-3"]["warning_text"] == "the segmentation is empty: no structure; b"
    assert (rows["sub-1"]["warnings"], rows["sub-4"]["warnings"]) == ("0", "n/a")


def test_version_and_weights_are_in_or_beside_every_table(gathered):
    dataset, _ = gathered
    assert scan_rows(dataset)["sub-1"]["weights_sha256"] == "ab" * 32
    for path in dataset.glob("group_*.json"):
        made = json.loads(path.read_text())["GeneratedBy"]
        assert all({"Version", "Model", "WeightsSHA256"} <= set(entry) for entry in made)
    (line, *_) = read_tsv(dataset / "group_seg-synthsegparc_volumes.tsv")
    assert (line["model"], line["version"], line["weights_sha256"]) == ("parc", "0.1.0", "cd" * 32)
    beside = json.loads((dataset / "group_seg-synthsegparc_desc-long_volumes.json").read_text())["GeneratedBy"]
    assert beside == [
        {"Name": "synthseg-bids", "Version": "0.1.0", "Model": "parc", "WeightsSHA256": "cd" * 32, "Scans": 2}
    ]


def test_scores_with_a_flag_that_excludes_nothing(gathered):
    dataset, _ = gathered
    first, second = read_tsv(dataset / "group_qc.tsv")
    assert (first["general_white_matter"], first["cerebellum"], first["lowest"]) == ("0.9000", "0.8000", "0.8000")
    assert (first["flag"], first["low_groups"]) == ("ok", "n/a")
    assert first["model"] == "judge"
    assert (second["flag"], second["low_groups"]) == ("low", "general white matter")
    meaning = json.loads((dataset / "group_qc.json").read_text())
    assert "0 to 1" in meaning["cerebellum"]["Description"]
    assert "0.65" in meaning["flag"]["Levels"]["low"]


@pytest.mark.parametrize(("threshold", "flags"), [("0", ["ok", "ok"]), ("0.85", ["low", "low"]), ("0.4", ["ok", "ok"])])
def test_threshold_of_ones_own(dataset, threshold, flags):
    assert main(["group", str(dataset), "--stages", "qc", "segment", "--qc-threshold", threshold]) == 0
    assert [line["flag"] for line in read_tsv(dataset / "group_qc.tsv")] == flags


def test_threshold_that_is_no_score(dataset, capsys):
    assert main(["group", str(dataset), "--qc-threshold", "65"]) == 2
    assert "--qc-threshold: found 65; expected 0 to 1" in capsys.readouterr().err


def test_only_what_was_asked_for(dataset):
    main(["group", str(dataset)])
    assert {path.name for path in dataset.glob("group_*.tsv")} == {
        "group_scans.tsv",
        "group_seg-synthseg_volumes.tsv",
        "group_seg-synthseg_desc-long_volumes.tsv",
        "group_seg-synthseg_desc-grouped_volumes.tsv",
    }
    assert scan_rows(dataset)["sub-2"]["status"] == "done"


def test_posteriors_are_made_by_the_segmentation(tmp_path):
    scan = row("1")
    finish(tmp_path, scan, ("segment",))
    leave(tmp_path, "segment", scan, '{"error": "OutputError", "message": "disk full"}')
    (status,) = gather([scan], tmp_path, ("segment", "posteriors")).statuses
    assert (status.status, status.stage, status.reason) == ("failed", "posteriors", "OutputError: disk full")


@pytest.mark.parametrize("text", ["name\tscore\nx\tgood\n", "name\nx\n", ""])
def test_damaged_scores(tmp_path, text):
    scan = row("1")
    finish(tmp_path, scan)
    (tmp_path / derivative(scan.scan, "scores")).write_text(text)
    (status,) = gather([scan], tmp_path, STAGES).statuses
    assert (status.status, status.stage) == ("failed", "qc")
    assert status.reason.startswith("unusable scores: ")


@pytest.mark.parametrize("text", ["", "[]", '{"Model": 1, "GeneratedBy": {}, "Warnings": "x"}', '{"GeneratedBy": []}'])
def test_damaged_sidecars_hide_no_numbers(tmp_path, text):
    scan = row("1")
    finish(tmp_path, scan, ("segment",))
    (tmp_path / derivative(scan.scan, "sidecar")).write_text(text)
    tables = gather([scan], tmp_path)
    write_group_tables(tables, tmp_path)
    assert tables.counts() == {"done": 1}
    (line,) = read_tsv(tmp_path / "group_seg-synthseg_volumes.tsv")
    assert (line["model"], line["left_thalamus_mm3"]) == ("n/a", "1007.500")


def test_new_subject(dataset):
    """Gathering again after one more scan changes nothing about the others."""
    main(["group", str(dataset)])
    before = read_tsv(dataset / "group_seg-synthseg_volumes.tsv")
    scans = [row(label) for label in ("1", "2", "3", "4", "5")]
    finish(dataset, scans[4], seed=7)
    write_table(dataset / ".work" / "scans.tsv", scans)
    main(["group", str(dataset)])
    after = read_tsv(dataset / "group_seg-synthseg_volumes.tsv")
    assert after[:3] == before
    assert after[3]["participant_id"] == "sub-5"
    first = contents(dataset)
    main(["group", str(dataset)])
    assert contents(dataset) == first


# Sums


@pytest.mark.parametrize(("segmentation", "table"), [("synthseg", STRUCTURES), ("synthsegparc", PARCELS)])
def test_members_of_sums_are_structures_of_the_published_models(segmentation, table):
    known = {(str(label), name) for label, name in zip(table.labels, table.names, strict=True)}
    volumes = sums_of(segmentation)
    assert len({one.name for one in volumes}) == len(volumes)
    for one in volumes:
        assert set(one.members) <= known, one.name
        assert len(set(one.members)) == len(one.members), one.name


def grouped(dataset, segmentation="synthseg"):
    return {key: float(value) for key, value in read_tsv(
        dataset / f"group_seg-{segmentation}_desc-grouped_volumes.tsv"
    )[0].items() if key.endswith("_mm3")}  # fmt: skip


def soft(table):
    return {entry.label: entry.soft_mm3 for entry in volumes(table).rows}


def test_both_sides_of_every_structure_are_in_the_sums(gathered):
    volumes, single = grouped(gathered[0]), soft(STRUCTURES)
    for label, side, other, name in zip(
        STRUCTURES.labels, STRUCTURES.sides, STRUCTURES.counterparts, STRUCTURES.names, strict=True
    ):
        if side == "left":
            column = name.removeprefix("left ").replace(" ", "_").lower() + "_mm3"
            assert volumes[column] == pytest.approx(single[label] + single[other]), column


def test_sums_of_sums_agree(gathered):
    volumes = grouped(gathered[0])
    assert volumes["cerebellum_mm3"] == pytest.approx(volumes["left_cerebellum_mm3"] + volumes["right_cerebellum_mm3"])
    single = soft(STRUCTURES)
    everything = sum(single.values())
    fluid = volumes["total_cerebrospinal_fluid_mm3"]
    assert volumes["brain_without_ventricles_mm3"] + fluid == pytest.approx(everything)
    neither = sum(single[label] for label in (16, 28, 60))
    tissue = volumes["total_grey_matter_mm3"] + volumes["total_white_matter_mm3"]
    assert tissue + neither + fluid == pytest.approx(everything)
    assert volumes["ventricles_mm3"] == pytest.approx(fluid - single[24])


def test_lobes_share_out_all_parcels(gathered):
    volumes, single = grouped(gathered[0], "synthsegparc"), soft(PARCELS)
    lobes = ("frontal_lobe", "parietal_lobe", "temporal_lobe", "occipital_lobe", "cingulate_cortex")
    for side, labels in (("left", range(1000, 2000)), ("right", range(2000, 3000))):
        insula = single[labels[35]]
        whole = sum(single.get(label, 0) for label in labels)
        assert sum(volumes[f"{side}_{lobe}_mm3"] for lobe in lobes) + insula == pytest.approx(whole)
        assert volumes[f"{side}_parcels_mm3"] == pytest.approx(whole)
    assert all(
        volumes[f"{lobe}_mm3"] == pytest.approx(volumes[f"left_{lobe}_mm3"] + volumes[f"right_{lobe}_mm3"])
        for lobe in lobes
    )


def test_model_without_a_structure_has_no_sum_with_it(tmp_path):
    """SynthSeg 1.0 has no fluid outside the ventricles; a number that means something else adds nothing."""
    old, other = row("1"), row("2")
    for scan in (old, other):
        finish(tmp_path, scan, ("segment",))
    rows = [entry for entry in volumes(STRUCTURES).rows if entry.label != 24]
    (tmp_path / derivative(old.scan, "volumes")).write_text(VolumeTable(tuple(rows)).to_tsv())
    rows = [replace(entry, name="tumour") if entry.label == 10 else entry for entry in volumes(STRUCTURES).rows]
    (tmp_path / derivative(other.scan, "volumes")).write_text(VolumeTable(tuple(rows)).to_tsv())
    write_group_tables(gather([old, other], tmp_path), tmp_path)
    first, second = read_tsv(tmp_path / "group_seg-synthseg_desc-grouped_volumes.tsv")
    assert first["total_cerebrospinal_fluid_mm3"] == "n/a" != first["ventricles_mm3"]
    assert second["thalamus_mm3"] == "n/a" != second["total_cerebrospinal_fluid_mm3"]


def test_sums_that_no_scan_has_take_no_column(tmp_path):
    scan = row("1")
    finish(tmp_path, scan, ("segment",))
    few = VolumeTable((StructureVolume(7001, "oedema", "neutral", 3.0, 2.0),))
    (tmp_path / derivative(scan.scan, "volumes")).write_text(few.to_tsv())
    write_group_tables(gather([scan], tmp_path), tmp_path)
    header = (tmp_path / "group_seg-synthseg_desc-grouped_volumes.tsv").read_text().splitlines()[0]
    assert not [name for name in header.split("\t") if name.endswith("_mm3")]


def test_every_table_of_sums_is_used():
    assert {path.stem for path in resource("groupings").glob("*.tsv")} == {
        name for names in GROUPINGS.values() for name in names
    }


def test_many_scans_take_little_time(tmp_path):
    """A measured 1.3 ms a scan on two busy cores; ten times that would be noticed with thousands."""
    scans = [row(f"{number:03d}") for number in range(100)]
    for scan in scans:
        finish(tmp_path, scan)
    begin = time.process_time()
    write_group_tables(gather(scans, tmp_path, STAGES), tmp_path)
    assert time.process_time() - begin < 1.5
