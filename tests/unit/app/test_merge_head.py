"""The stage that puts tissues of the head around segmentations: what decides it, and its words."""

from __future__ import annotations

import pytest

from synthseg_core.app.merge_head import MergeHead
from synthseg_core.app.stage_options import SegmentSettings
from synthseg_core.errors import ModelError, UsageError
from synthseg_core.models.families import FAMILIES

NONE = {"model": None, "weights": None, "folds": None}
SEGMENT = SegmentSettings("tiny-random")


def test_without_a_model_there_is_no_such_stage():
    assert MergeHead.from_config(NONE) is None


def test_what_decides_the_results_is_the_head_model_by_content():
    head = MergeHead.from_config({**NONE, "model": "default"})
    settings = head.settings(SEGMENT)
    assert settings["model"] == "default-2mm"
    assert {len(settings[name]) for name in ("definition_sha256", "weights_sha256")} == {64}
    assert settings["ct"] is False
    assert head.settings(SegmentSettings("tiny-random", ct=True)) == {**settings, "ct": True}
    assert head.settings(SegmentSettings("tiny-random", fast=True)) == settings


def test_words_of_a_job():
    head = MergeHead("tiny-random-cortex", "/weights", (0, 2))
    words = ["--merge-head", "tiny-random-cortex", "--model", "tiny-random", "--ct", "--weights", "/weights"]
    assert head.words(SegmentSettings("tiny-random", ct=True)) == [*words, "--folds", "0", "2"]


def test_jobs_ask_for_what_the_head_model_needs():
    family = FAMILIES["nnunet-resenc"]
    assert MergeHead("siam-0.3", folds=(0,)).job_resources() == (family.job_mem_mb, family.job_minutes)
    assert MergeHead("tiny-random").job_resources() == (8000, 60)


def test_folds_of_a_model_that_has_none():
    with pytest.raises(ModelError, match="a request for --folds"):
        MergeHead("tiny-random", folds=(0,)).settings(SEGMENT)


def test_a_model_for_something_else():
    with pytest.raises((UsageError, ModelError)):
        MergeHead("tiny-random-parc").settings(SEGMENT)
