"""Settings of stages: what changed is said by name."""

from dataclasses import replace

import pytest

from synthseg_core.app.layout import Layout
from synthseg_core.app.stage_options import SegmentSettings, changes, definition_sha256, write_stage_file
from synthseg_core.errors import InputError, ModelError, UsageError
from synthseg_core.models.families import FAMILIES
from synthseg_core.models.nnunet_import import import_nnunet
from synthseg_core.models.registry import load_card
from synthseg_core.translation.card import write_translator
from tests.phantoms.nnunet import TrainedFolder
from tests.phantoms.translation import matching_card


def test_what_changed_is_said_by_name():
    assert changes({"fast": False, "ct": False, "old": 1}, {"fast": True, "ct": False, "new": "x"}) == [
        "fast was false, is true",
        'new was absent, is "x"',
        "old was 1, is absent",
    ]


def test_settings_that_nobody_can_read_are_told(tmp_path):
    layout = Layout(tmp_path, tmp_path / "work")
    path = write_stage_file(layout, "qc", {"model": "x"})
    assert write_stage_file(layout, "qc", {"model": "x"}) == path
    path.write_text("{")
    with pytest.raises(InputError, match="no readable settings of a stage"):
        write_stage_file(layout, "qc", {"model": "x"})


def test_options_of_folds_are_known_before_any_job(tmp_path, monkeypatch):
    """In words and in records only where they are given; nothing of them for other models."""
    monkeypatch.setenv("SYNTHSEG_MODELS", str(tmp_path / "store"))
    card = import_nnunet(TrainedFolder(folds=("0", "1")).write(tmp_path / "tissue"), tmp_path / "store")
    plain = SegmentSettings("tissue")
    assert plain.flags() == ["--model", "tissue"]
    assert set(plain.settings()) == {"model", "definition_sha256", "weights_sha256", "fast", "ct"}
    full = SegmentSettings(str(card), folds=(1, 0), mode="float32", voxel_scale=1.4, skip_resampling=True)
    assert full.flags()[2:] == [
        *("--folds", "1", "0", "--mode", "float32", "--voxel-scale", "1.4"),
        "--skip-resampling",
    ]
    assert full.settings() == {
        **plain.settings(),
        "folds": [0, 1],
        "mode": "float32",
        "voxel_scale": 1.4,
        "skip_resampling": True,
    }
    assert len({plain.digest(), full.digest()}) == 2
    with pytest.raises(UsageError, match="--folds: found 5"):
        SegmentSettings("tissue", folds=(5,)).settings()
    with pytest.raises(ModelError, match="model tiny-random: found a request for --voxel-scale"):
        SegmentSettings("tiny-random", voxel_scale=1.4).settings()
    for task in ("parcellation", "quality"):
        with pytest.raises(
            ModelError, match=f"model tissue: found a request for {task}; expected what it offers: nothing"
        ):
            plain.companion_settings(task)


def test_a_changed_plan_is_another_model(tmp_path):
    """What decides results is in the digest of a card; its title is not."""
    card = load_card(import_nnunet(TrainedFolder().write(tmp_path / "tissue"), tmp_path))
    assert card.plan is not None
    turned = replace(card, plan=replace(card.plan, orientation="RAS"))
    assert definition_sha256(replace(card, title="x")) == definition_sha256(card) != definition_sha256(turned)


def test_a_translation_before_is_known_by_the_content_of_its_card(tmp_path):
    write_translator(matching_card(tmp_path / "toy"))
    card = str(tmp_path / "toy" / "translator.yaml")
    plain, full = (
        SegmentSettings("tiny-random"),
        SegmentSettings("tiny-random", translate_before=card, translate_to="dark"),
    )
    assert full.flags() == plain.flags()
    assert full.translation_flags() == ["--translator", card, "--to", "dark"]
    added = full.settings()
    assert {name: added.pop(name) for name in ("translate_to",)} == {"translate_to": "dark"}
    assert len(added.pop("translator_sha256")) == 64
    assert added == plain.settings()
    assert plain.digest() != full.digest()
    with pytest.raises(ModelError, match="found no domain t3"):
        SegmentSettings("tiny-random", translate_before=card, translate_to="t3").settings()
    with pytest.raises(UsageError, match="--translate-before: found it alone"):
        SegmentSettings("tiny-random", translate_before=card).settings()
    with pytest.raises(UsageError, match="the translator knows whether"):
        SegmentSettings("tiny-random", ct=True, translate_before=card, translate_to="dark").settings()


def test_jobs_ask_for_what_their_model_takes(tmp_path, monkeypatch):
    """An nnU-Net for time by the fold; a scan with a model of its own for what that one takes."""
    monkeypatch.setenv("SYNTHSEG_MODELS", str(tmp_path / "store"))
    import_nnunet(TrainedFolder(folds=("0", "1", "2")).write(tmp_path / "tissue"), tmp_path / "store")
    family = FAMILIES["nnunet-resenc"]
    assert SegmentSettings("tiny-random").job_resources() == (8000, 60)
    assert SegmentSettings("tissue").job_resources() == (family.job_mem_mb, 3 * family.job_minutes)
    assert SegmentSettings("tissue", folds=(0, 2)).job_resources()[1] == 2 * family.job_minutes
    assert SegmentSettings("tissue", fast=True).job_resources()[1] == family.job_minutes
    assert SegmentSettings("siam-0.3").job_resources()[1] >= 5 * 60  # three to five hours of one core
