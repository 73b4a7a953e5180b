"""Families of models: unknown ones are refused, and each checks its own cards."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from synthseg_core.errors import ModelError
from synthseg_core.models.families import FAMILIES
from synthseg_core.models.registry import load_card
from tests.phantoms.families import BANDS
from tests.phantoms.models import ROBUST, TINY, TinyModel


def _of_family(folder: Path, model: TinyModel, family: str) -> Path:
    path = model.write(folder)
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "family": family}))
    return path


def test_unknown_family(tmp_path):
    with pytest.raises(
        ModelError,
        match=r"tiny.yaml: found family 'nothing'; expected synthseg or basic-unet or nnunet-resenc;",
    ):
        load_card(_of_family(tmp_path, TINY, "nothing"))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_names_classes_that_exist(family):
    module, _, name = FAMILIES[family].segmenter.partition(":")
    assert isinstance(getattr(import_module(module), name), type)


def test_each_family_has_its_own_rules(tmp_path, monkeypatch):
    """Three networks in a row are SynthSeg's; four are nobody's; two input channels are no fault elsewhere."""
    monkeypatch.setitem(FAMILIES, "bands", BANDS)
    assert len(load_card(_of_family(tmp_path, ROBUST, "synthseg")).networks) == 3
    with pytest.raises(ModelError, match=r"robust.yaml: found 3 networks; expected one"):
        load_card(_of_family(tmp_path, ROBUST, "bands"))
    wide = replace(TINY.networks[0], config=replace(TINY.networks[0].config, in_channels=2))
    two_channels = replace(TINY, networks=(wide,))
    assert load_card(_of_family(tmp_path, two_channels, "bands")).networks == (wide,)
    with pytest.raises(ModelError, match="2 input channels of network segmenter; expected 1"):
        load_card(_of_family(tmp_path, two_channels, "synthseg"))
