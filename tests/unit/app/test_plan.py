"""The plan of a run: from a dataset, from the scan table, and what cannot be planned."""

import json
from pathlib import Path

import pytest

from synthseg_core.app.configuration import checked
from synthseg_core.app.plan import Plan, layout_of
from synthseg_core.errors import InputError, UsageError
from synthseg_core.translation.card import write_translator
from tests.phantoms.translation import matching_card
from tests.phantoms.trees import make_tree
from tests.privileges import ordinary_user

FIRST = "sub-01/anat/sub-01_space-T1w"


SCANS = ["sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_FLAIR.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"]


@pytest.fixture
def bids(tmp_path):
    return make_tree(tmp_path / "bids", SCANS)


def config(bids, **values):
    return checked(
        {"input": str(bids), "output": str(bids.parent / "out"), "segment": {"model": "tiny-random"}, **values}
    )


def test_plan_of_a_job_reads_the_table(bids):
    head = Plan.from_config(config(bids))
    head.targets()
    (bids / "sub-03/anat").mkdir(parents=True)
    (bids / "sub-03/anat/sub-03_T1w.nii").touch()
    assert Plan.from_config(config(bids), head=False).rows == head.rows
    assert len(Plan.from_config(config(bids)).rows) == 4


def test_plan_without_the_dataset_uses_the_table(bids):
    before = Plan.from_config(config(bids)).rows
    gone = config(bids, input=str(bids.parent / "gone"))
    assert Plan.from_config(gone).rows == before


def test_a_scan_that_may_not_be_read_is_a_problem_of_its_own_row():
    """Small scans too: nobody but the planner looks at them before their job."""
    with ordinary_user() as folder:
        closed = make_tree(folder / "bids", SCANS) / SCANS[2]
        closed.chmod(0)
        plan = Plan.from_config(config(folder / "bids"))
        problems = {row.scan: row.problem for row in plan.rows if row.problem}
    assert problems == {"sub-02/anat/sub-02_space-T1w": "no permission to read it; correct its permissions"}
    assert len(plan.usable) == 2


def test_nothing_to_segment_and_unknown_scans(bids):
    plan = Plan.from_config(config(bids, participants=["99"]))
    with pytest.raises(InputError, match="no usable scan; no sub-99; expected at least one; correct the labels"):
        plan.targets()
    assert not plan.table.exists()
    with pytest.raises(InputError, match="no usable scan of that name"):
        plan.row_of("sub-99/anat/sub-99_space-T1w")


def test_words_of_a_job(bids):
    """What the rules put on the command lines of one scan."""
    plan = Plan.from_config(config(bids))
    source = ["--source", "bids:raw:sub-01/anat/sub-01_T1w.nii.gz"]
    assert plan.scan_of(FIRST) == str(bids / SCANS[0])
    assert plan.segment_words(FIRST) == ["--model", "tiny-random", *source]
    assert plan.resample_words(FIRST) == source
    assert plan.qc_words(FIRST) == ["--model", "tiny-random"]
    segmentation = "bids::sub-01/anat/sub-01_space-T1w_seg-synthseg_dseg.nii.gz"
    assert plan.parcellate_words(FIRST) == ["--model", "tiny-random", *source, "--segmentation-source", segmentation]


def test_a_translation_is_made_before_and_segmented_in_place_of_the_scan(bids, tmp_path):
    card = write_translator(matching_card(tmp_path / "toy")).source
    options = {"model": "tiny-random", "translate_before": str(card), "translate_to": "bright"}
    plan = Plan.from_config(config(bids, segment=options))
    source = ["--source", "bids:raw:sub-01/anat/sub-01_T1w.nii.gz"]
    assert plan.stages == ("translate", "segment")
    assert plan.translate_words(FIRST) == ["--translator", str(card), "--to", "bright", *source]
    translated = plan.translated_of(FIRST)
    assert translated.endswith("/sub-01/anat/sub-01_space-T1w_desc-translated_T1w.nii.gz")
    assert plan.segment_words(FIRST) == ["--model", "tiny-random", *source, "--translated", translated]
    assert translated in plan.targets(preview=True)


def test_posteriors_are_made_by_the_segment_job(bids):
    paths = {"posteriors_1mm": "p.nii.gz", "posteriors_sidecar": "p.json", "dseg": "d.nii.gz"}
    plain = Plan.from_config(config(bids))
    assert plain.segment_job == ("segment",)
    assert plain.optional_words(paths) == []
    rich = Plan.from_config(config(bids, segment={"model": "tiny-random", "posteriors": True}, qc={"enabled": True}))
    assert rich.segment_job == ("segment", "posteriors")
    assert rich.optional_words(paths) == ["--posteriors-1mm", "p.nii.gz", "--posteriors-sidecar", "p.json"]


def test_a_page_that_lacks_a_picture_is_made_again(bids):
    plan = Plan.from_config(config(bids, report={"viewer": True}, parcellate={"enabled": True},
                                   segment={"model": "tiny-random-cortex", "posteriors": True}))  # fmt: skip
    files = page, *pictures = [Path(file) for file in plan.pages.files(FIRST)]
    assert {path.name.rpartition("_")[2] for path in pictures} >= {"parcels.png", "entropy.png", "viewer.html"}
    assert plan.pages.lacking([FIRST]) == [FIRST]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert plan.pages.lacking([FIRST]) == []
    before = plan.pages.settings(FIRST)
    pictures[-1].unlink()
    assert plan.pages.lacking([FIRST]) == [FIRST]
    for preview in (True, False):
        newer = plan.pages.settings(FIRST, preview=preview)
        assert newer.stat().st_mtime_ns > page.stat().st_mtime_ns
        assert newer != before
    page.unlink()
    assert plan.pages.settings(FIRST) == before


def test_braces_in_the_output_path(bids):
    with pytest.raises(UsageError, match="brace"):
        layout_of(config(bids, output="/out{x}"))


def test_stage_file_changes_only_with_its_content(bids):
    plan = Plan.from_config(config(bids))
    path = plan.scan_stage_file("segment", FIRST)
    settings = json.loads(path.read_text())
    assert (settings["model"], settings["fast"], settings["ct"]) == ("tiny-random", False, False)
    assert len(settings["weights_sha256"]) == len(settings["definition_sha256"]) == 64
    inode = path.stat().st_ino
    assert Plan.from_config(config(bids, device="cpu", participants=["01"])).scan_stage_file("segment", FIRST) == path
    assert path.stat().st_ino == inode
    changed = Plan.from_config(config(bids, segment={"model": "tiny-random", "fast": True}))
    preview = changed.scan_stage_file("segment", FIRST, preview=True)
    assert preview != path
    assert path.stat().st_ino == inode
    assert changed.scan_stage_file("segment", FIRST) == path
    assert json.loads(path.read_text()) == {**settings, "fast": True} == json.loads(preview.read_text())


def test_titles_do_not_count_but_definitions_do(bids, tmp_path):
    from synthseg_core.models.registry import load_card

    source = load_card("tiny-random").source
    text = source.read_text().replace("../weights/", f"{source.parent.parent}/weights/")
    digests = {}
    for name, old, new in (
        ("same", "", ""),
        ("title", "title: RANDOM", "title: Other"),
        ("definition", "posterior_sigma_voxels: 0.5", "posterior_sigma_voxels: 0.6"),
    ):
        card = tmp_path / f"{name}.yaml"
        card.write_text(text.replace(old, new) if old else text)
        plan = Plan.from_config(config(bids, segment={"model": str(card)}))
        digests[name] = plan.segment.settings()["definition_sha256"]
    assert digests["same"] == digests["title"] != digests["definition"]


def test_models_that_cannot_segment_are_refused_before_any_job(bids):
    with pytest.raises(UsageError, match="a model for parcellation"):
        Plan.from_config(config(bids, segment={"model": "synthseg-parc-2.0"})).require_models()
