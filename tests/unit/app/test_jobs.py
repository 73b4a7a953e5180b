"""Which jobs have to run: by what results say of themselves, not by the times of scans."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from synthseg_core.app.configuration import checked
from synthseg_core.app.jobs import FOLLOWS
from synthseg_core.app.plan import Plan
from synthseg_core.app.requests import NOT_MADE
from synthseg_core.system.file_identity import sha256_of
from synthseg_core.translation.card import write_translator
from tests.phantoms.translation import matching_card
from tests.phantoms.trees import make_tree

FIRST, SECOND = (f"sub-{label}/anat/sub-{label}_T1w.nii.gz" for label in ("01", "02"))
STEM = "sub-01/anat/sub-01_space-T1w"


@pytest.fixture
def study(tmp_path):
    """A dataset whose two scans are segmented, with resampled scans, parcels and scores."""
    for name in (FIRST, SECOND):
        make_tree(tmp_path / "in", [name], name.encode())
    finish(plan_of(tmp_path))
    return tmp_path


def plan_of(folder, model="tiny-random-cortex", **values):
    stages = {name: {"enabled": True} for name in ("resample", "parcellate", "qc")}
    segment = {"model": model, **values.pop("segment", {})}
    given = {"input": str(folder / "in"), "output": str(folder / "out"), "segment": segment, **stages, **values}
    return Plan.from_config(checked(given))


def finish(plan):
    """Leave what a run leaves: requests, and results that say what they were made from."""
    plan.settle()
    for row in plan.usable:
        for stage in plan.jobs.stages:
            job = plan.jobs.job(stage, row)
            make_tree(plan.layout.work, map(str, job.outputs), b"x")
            for path, told in job.sidecars:
                path.write_text(json.dumps(said(plan, row, told, job.settings)))


def said(plan, row, stage, settings):
    segmentation = plan.jobs.job("segment", row).settings
    whole, own = (
        {"Name": one.get("model"), "WeightsSHA256": one.get("weights_sha256")} for one in (segmentation, settings)
    )
    source = {"Source": {"SHA256": sha256_of(plan.dataset / row.path)}}
    if stage in ("translate", "resample"):
        return source
    options = {"Options": {"Fast": segmentation["fast"], "CT": segmentation["ct"]}}
    return {"Model": own, **source, **options, **({} if stage == "segment" else {"SegmentationModel": whole})}


def reasons(plan, number=0):
    return {stage: reason for stage, reason in plan.jobs.reasons(plan.usable[number]).items() if reason}


def newer(plan, stage="segment"):
    """Whether Snakemake will find the request newer than some output."""
    plan.settle()
    job = plan.jobs.job(stage, plan.usable[0])
    return job.request.stat().st_mtime_ns > min(path.stat().st_mtime_ns for path in job.outputs)


def test_nothing_is_done_twice(study):
    assert [reasons(plan_of(study), number) for number in (0, 1)] == [{}, {}]
    assert not newer(plan_of(study))


def test_what_is_not_there_is_made(study):
    shutil.rmtree(study / "out/sub-01")
    assert reasons(plan_of(study))["segment"] == "seg-synthseg_dseg.nii.gz and 5 more files: missing"
    plan_of(study).layout.decision(STEM).unlink()
    assert reasons(plan_of(study)) == dict.fromkeys(("segment", "resample", "parcellate", "qc"), NOT_MADE)


@pytest.mark.parametrize("change", ["touched", "from the future", "copied", "folder renamed"])
def test_the_same_content_is_not_segmented_again(study, change):
    scan = study / "in" / FIRST
    if change == "touched":
        scan.touch()
    elif change == "from the future":
        os.utime(scan, (time.time() + 7200,) * 2)
    elif change == "copied":
        shutil.copy(scan, study / "copy")
        (study / "copy").replace(scan)
    else:
        (study / "in").rename(study / "elsewhere")
        (study / "in").symlink_to(study / "elsewhere")
    assert reasons(plan_of(study)) == {}
    assert not newer(plan_of(study))


def test_the_dataset_by_another_path_is_the_same(study):
    (study / "other mount").symlink_to(study / "in")
    shutil.copytree(study / "in", study / "copy")
    for name in ("other mount", "copy"):
        assert reasons(plan_of(study, input=str(study / name))) == {}
        assert not newer(plan_of(study, input=str(study / name)))


@pytest.mark.parametrize("level", ["file", "folder"])
def test_exchanged_scans_are_noticed_whatever_their_times(study, level):
    first, second = (study / "in" / name for name in (FIRST, SECOND))
    stamp = first.stat().st_mtime_ns
    os.utime(second, ns=(stamp, stamp))
    finish(plan_of(study))
    if level == "folder":  # the files keep all their times; only the inode of each path is another
        shutil.move(second.parent / second.name, second.parent / first.name)
        first, second = first.parent, second.parent
    first.rename(study / "x")
    second.rename(first)
    (study / "x").rename(second)
    plan = plan_of(study)
    assert reasons(plan)["segment"].startswith("made from another file of the scan (SHA-256 ")
    assert set(reasons(plan)) == {"segment", "resample", "parcellate", "qc"}
    assert newer(plan)
    assert newer(plan, "resample")


def test_options_count_and_count_no_more_when_they_go_back(study):
    fast = {"segment": {"fast": True}}
    assert reasons(plan_of(study, **fast))["segment"] == "made with fast false, not true"
    assert "resample" not in reasons(plan_of(study, **fast))
    assert newer(plan_of(study, **fast))
    assert not newer(plan_of(study))
    assert reasons(plan_of(study)) == {}


def test_results_without_requests_are_judged_by_what_they_say(study):
    """An earlier version's, or those of another work folder; read again only if the scan is younger than they are."""
    shutil.rmtree(study / "out/.work/requests")
    plan = plan_of(study)
    assert reasons(plan) == {}
    assert not newer(plan)
    shutil.rmtree(study / "out/.work/requests")
    (study / "in" / FIRST).write_bytes(b"other")
    assert newer(plan_of(study))


def test_asking_again_is_no_new_request(study):
    (study / "in" / FIRST).write_bytes(b"other")
    plan = plan_of(study)
    plan.settle()
    asked = plan.layout.request("segment", STEM)
    before = asked.read_bytes(), asked.stat().st_mtime_ns
    assert newer(plan_of(study))
    assert (asked.read_bytes(), asked.stat().st_mtime_ns) == before


def test_an_interrupted_change_of_a_definition_is_remembered(study, monkeypatch):
    from synthseg_core.app import stage_options

    with monkeypatch.context() as patch:
        patch.setattr(stage_options, "definition_sha256", lambda card: "0" * 64)
        for _ in range(2):
            assert "definition_sha256 was" in reasons(plan_of(study))["segment"]
            assert newer(plan_of(study))
    assert reasons(plan_of(study)) == {}


def test_results_from_the_future_are_dated_now(study):
    plan = plan_of(study)
    decision = plan.layout.decision(STEM)
    os.utime(decision, (time.time() + 7200,) * 2)
    plan.settle()
    assert decision.stat().st_mtime <= time.time()


@pytest.mark.parametrize("name", ["_seg-synthseg_dseg.nii.gz", "_desc-qc_scores.tsv", "decision", "request"])
def test_links_to_nowhere_count_as_missing(study, name):
    plan = plan_of(study)
    paths = {"decision": plan.layout.decision(STEM), "request": plan.layout.request("segment", STEM)}
    path = paths.get(name, study / "out" / f"{STEM}{name}")
    path.unlink()
    path.symlink_to("../annex/objects/gone")
    if name != "request":
        assert any("a link to a file that is not there" in reason for reason in reasons(plan_of(study)).values())
    plan_of(study).settle()
    assert not path.is_symlink()


def test_scores_of_another_segmentation_are_made_again(study):
    """As after a run with another model that did not ask for scores, and another one back."""
    sidecar = study / "out" / f"{STEM}_desc-qc_scores.json"
    content = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**content, "Source": {"SHA256": "0" * 64}}))
    assert set(reasons(plan_of(study))) == {"qc"}
    assert newer(plan_of(study), "qc")


def test_previews_change_nothing(study):
    (study / "in" / FIRST).write_bytes(b"other")
    plan = plan_of(study)
    before = {path: path.stat().st_mtime_ns for path in (study / "out").rglob("*") if path.is_file()}
    (given,) = plan.jobs.request("segment", plan.row_of(STEM), preview=True)
    assert Path(given).stat().st_mtime > time.time()
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_previews_leave_out_what_snakemake_cannot_look_at(study, capsys):
    (study / "out" / f"{STEM}_desc-qc_scores.tsv").unlink()
    (study / "out" / f"{STEM}_desc-qc_scores.tsv").symlink_to("gone")
    plan = plan_of(study)
    assert any("sub-01" in name for name in plan.scan_targets())
    assert not any("sub-01" in name for name in plan.scan_targets(preview=True))
    assert "not in Snakemake's list, for links to nowhere among its results: sub-01/anat" in capsys.readouterr().err


def test_a_segmentation_follows_its_translation(study):
    """Made again with it, and when a killed run has left it older; another translator is told once."""
    card = write_translator(matching_card(study / "toy")).source
    options = {"segment": {"translate_before": str(card), "translate_to": "bright"}}
    finish(plan_of(study, **options))
    assert reasons(plan_of(study, **options)) == {}
    translated = Path(plan_of(study, **options).translated_of(STEM))
    translated.touch()
    assert reasons(plan_of(study, **options)) == dict.fromkeys(("segment", "parcellate", "qc"), FOLLOWS)
    translated.unlink()
    found = reasons(plan_of(study, **options))
    assert found == {
        "translate": "desc-translated_T1w.nii.gz: missing",
        **dict.fromkeys(("segment", "parcellate", "qc"), FOLLOWS),
    }
    finish(plan_of(study, **options))
    options["segment"]["translate_to"] = "dark"
    changed = 'translate_to was "bright", is "dark"'
    assert [reasons(plan_of(study, **options))[stage] for stage in ("translate", "segment")] == [changed, changed]
