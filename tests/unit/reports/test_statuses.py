"""Which results are current: those of dropped scans stay, those of another segmentation are told and left out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from synthseg_core.bids.names import SIDECARS, derivative, results_of
from synthseg_core.bids.scan_row import NOT_DOWNLOADED, ScanRow
from synthseg_core.reports import Present, gather

STAGES = ("translate", "segment", "posteriors", "resample", "parcellate", "qc")
FROM_SCANS = ("translate", "resample")
VOLUMES = "index\tname\themisphere\tsoft_volume_mm3\thard_volume_mm3\n17\tHippocampus\tleft\t{}\t1\n"
SCORES = "name\tscore\ncerebellum\t0.9\n"


def scan(label, **values):
    stem = f"sub-{label}/anat/sub-{label}_space-T1w"
    return ScanRow(stem, f"sub-{label}", "", "T1w", f"sub-{label}/anat/sub-{label}_T1w.nii.gz", "/gone", **values)


def told(stage, sha256="a", model="A", file="scan.nii.gz"):
    """What a sidecar says of the segmentation that it belongs to."""
    whole = {"Name": model, "WeightsSHA256": model.lower() * 64}
    own = (
        {"Model": whole}
        if stage in ("segment", "posteriors")
        else {"Model": {"Name": "own"}, "SegmentationModel": whole}
    )
    source = {"Source": {"SHA256": sha256 * 64, "File": file}}
    made = {"GeneratedBy": [{"Name": "synthseg-bids", "Version": "1"}], "Options": {"Fast": False, "CT": False}}
    return {**made, **source, **({} if stage in FROM_SCANS else own)}


def finish(folder, row, stages=STAGES, **facts):
    for stage in stages:
        for product in results_of(stage):
            path = folder / derivative(row.scan, product)
            path.parent.mkdir(parents=True, exist_ok=True)
            texts = {"volumes": VOLUMES.format(5), "parcel_volumes": VOLUMES.format(6), "scores": SCORES}
            is_sidecar = product == SIDECARS[stage]
            path.write_text(json.dumps(told(stage, **facts)) if is_sidecar else texts.get(product, "x"))


def states(tables, number=0):
    return tables.statuses[number].status, dict(tables.statuses[number].stages)


@pytest.mark.parametrize(
    "problem",
    [f"{NOT_DOWNLOADED}, for instance 'datalad get'", "no permission to read it", "same derivative names as x"],
)
def test_results_of_scans_that_cannot_be_used_any_more_stay(tmp_path, problem):
    row = scan("1")
    finish(tmp_path, row)
    tables = gather([replace(row, problem=problem)], tmp_path, STAGES)
    assert states(tables) == ("kept", dict.fromkeys(STAGES, "done"))
    assert tables.statuses[0].reason == f"{problem}; the results of an earlier run stay"
    assert {stage: len(found) for stage, found in tables.numbers.items()} == {"segment": 1, "parcellate": 1, "qc": 1}


def test_problems_without_results_are_as_before(tmp_path):
    rows = [scan("1", problem="empty"), scan("2", problem=f"{NOT_DOWNLOADED}: get it")]
    tables = gather(rows, tmp_path)
    assert [one.status for one in tables.statuses] == ["failed", "skipped"]
    assert tables.numbers == {"segment": []}


def test_of_files_that_claim_one_name_the_segmented_one_keeps_its_results(tmp_path):
    old, new = (replace(scan("1"), path=f"sub-1/anat/{name}", problem="clash") for name in ("a.nii", "b.nii"))
    finish(tmp_path, old, file="b.nii")
    tables = gather([old, new], tmp_path)
    assert [one.status for one in tables.statuses] == ["failed", "kept"]
    assert [found.row for found in tables.numbers["segment"]] == [new]


def test_results_of_another_segmentation_are_out_of_date(tmp_path):
    row = scan("1")
    finish(tmp_path, row)
    finish(tmp_path, row, ("segment",), sha256="b")
    tables = gather([row], tmp_path, STAGES)
    assert states(tables) == ("outdated", {**dict.fromkeys(STAGES, "outdated"), "segment": "done"})
    assert "another file of the scan (SHA-256 aaaaaaaaaaaa..., now bbbbbbbbbbbb...)" in tables.statuses[0].reason
    assert {stage: len(found) for stage, found in tables.numbers.items()} == {"segment": 1, "parcellate": 0, "qc": 0}
    assert states(gather([row], tmp_path, STAGES, asked=("segment",)))[0] == "done"


def test_results_of_another_model_are_out_of_date_but_not_the_resampled_scan(tmp_path):
    row = scan("1")
    finish(tmp_path, row)
    finish(tmp_path, row, ("segment",), model="B")
    found = gather([row], tmp_path, STAGES)
    expected = {
        "translate": "done",
        "segment": "done",
        "posteriors": "outdated",
        "resample": "done",
        "parcellate": "outdated",
        "qc": "outdated",
    }
    assert states(found)[1] == expected
    assert found.statuses[0].reason == "made with model A, not B"


def test_results_of_a_segmentation_that_is_gone_are_out_of_date(tmp_path):
    row = scan("1")
    finish(tmp_path, row, ("parcellate", "qc"))
    tables = gather([row], tmp_path, ("segment", "parcellate", "qc"))
    assert states(tables) == ("outdated", {"segment": "missing", "parcellate": "outdated", "qc": "outdated"})
    assert tables.numbers["qc"] == []


def test_a_segmentation_of_another_scan_than_there_is_now_is_out_of_date_with_all_that_follows(tmp_path):
    row = scan("1")
    finish(tmp_path, row)
    tables = gather([row], tmp_path, STAGES, present=Present({(row.scan, "segment"): "made from another file"}))
    assert states(tables) == ("outdated", {**dict.fromkeys(STAGES, "outdated"), **dict.fromkeys(FROM_SCANS, "done")})
    assert not any(tables.numbers.values())


def test_what_sidecars_of_earlier_versions_do_not_tell_is_no_difference(tmp_path):
    row = scan("1")
    finish(tmp_path, row)
    path = tmp_path / derivative(row.scan, "scores_sidecar")
    path.write_text('{"Model": {"Name": "own"}}')
    assert states(gather([row], tmp_path, STAGES))[0] == "done"


def test_dropped_images_are_named_and_keep_their_volumes(tmp_path):
    row = scan("1")
    finish(tmp_path, row, ("segment",))
    image = tmp_path / derivative(row.scan, "dseg")
    image.unlink()
    image.symlink_to("../../.git/annex/objects/gone")
    tables = gather([row], tmp_path)
    assert tables.statuses[0].status == "missing"
    assert tables.statuses[0].reason.endswith(
        "_dseg.nii.gz is a link to a file that is not there; download it, or run again"
    )
    assert len(tables.numbers["segment"]) == 1


def test_what_is_being_computed_is_no_failure(tmp_path):
    row = scan("1")
    log = tmp_path / f".logs/segment/{row.scan}.log"
    log.parent.mkdir(parents=True)
    log.touch()
    begun = frozenset([str(tmp_path / derivative(row.scan, "dseg"))])
    assert "perhaps killed" in gather([row], tmp_path).statuses[0].reason
    found = gather([row], tmp_path, present=Present(begun=begun)).statuses[0]
    assert (found.status, found.reason) == ("running", "being computed just now")
