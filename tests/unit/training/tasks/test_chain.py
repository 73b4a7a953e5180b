"""Networks that a chain is built on: what fits, and what is refused before any work."""

from __future__ import annotations

import pytest

from synthseg_core.errors import ModelError
from synthseg_core.labels.table import LabelTable
from synthseg_core.training.tasks.chain import link_of, require_grid
from tests.unit.training.tasks.small import experiment, first_model, groups_model, inputs, prepared

GROUPS = LabelTable.builtin("tissue_groups")


def test_a_link_is_named_as_in_the_chain(tmp_path):
    given = inputs(tmp_path, experiment("tiny_denoiser"), group_segmenter=groups_model(tmp_path))
    link = link_of(given, "group_segmenter", GROUPS)
    assert (link.spec.role, link.spec.prefix) == ("group_segmenter", "unet")
    assert link.arrays["head.weight"].shape == (5, 2, 1, 1, 1)
    assert link.record == {"model": "groups", "sha256": link.found.sha256}


def test_a_model_for_structures_is_no_first_network(tmp_path):
    structures = experiment("tiny", recipe={"output_column": "output"})
    card = first_model(prepared(tmp_path, structures), tmp_path / "structures")
    given = inputs(tmp_path, structures, group_segmenter=card)
    expected = "--group-segmenter structures: found a model for segmentation of 33 labels.*--task tissue_groups"
    with pytest.raises(ModelError, match=expected):
        link_of(given, "group_segmenter", GROUPS)


def test_a_segmenter_is_no_denoiser(tmp_path):
    given = inputs(tmp_path, experiment("tiny_robust"), denoiser=groups_model(tmp_path))
    with pytest.raises(ModelError, match="one network for denoising of the 5 tissue groups"):
        link_of(given, "denoiser", GROUPS)


def test_networks_of_another_grid_are_refused(tmp_path):
    given = inputs(tmp_path, experiment("tiny_denoiser"), group_segmenter=groups_model(tmp_path))
    link = link_of(given, "group_segmenter", GROUPS)
    require_grid(link, 4.0)
    with pytest.raises(ModelError, match="a network for voxels of 4 mm; expected 2 mm"):
        require_grid(link, 2.0)
