"""A segmentation model and its companions in one folder."""

from __future__ import annotations

from dataclasses import replace

import pytest

from synthseg_core.cli.main import main
from synthseg_core.errors import ModelError
from synthseg_core.models.combining import combine
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from tests.phantoms.scans import phantom, write_nifti


def test_the_whole_offers_what_its_companions_do(tmp_path):
    parts = {task: load_card(f"tiny-random-{short}") for task, short in (("parcellation", "parc"), ("quality", "qc"))}
    card = combine(replace(load_card("tiny-random-cortex"), companions={}), parts, tmp_path / "whole", "whole")
    assert card.companions == {"parcellation": "parcellation/card.yaml", "quality": "quality/card.yaml"}
    models = load_models(card, parcellation=True, quality=True)
    assert models.companions == {"parcellation", "quality"}
    assert models.segmentation.weights.path.parent == tmp_path / "whole"
    moved = (tmp_path / "whole").rename(tmp_path / "moved")
    scan = write_nifti(tmp_path / "scan.nii.gz", phantom((1.5, 1.0, 2.5)))
    words = ["predict", "--i", str(scan), "--o", str(tmp_path / "out.nii.gz"), "--parc", "--cpu"]
    assert main([*words, "--model", str(moved / "card.yaml"), "--qc", str(tmp_path / "qc.csv")]) == 0
    assert len((tmp_path / "qc.csv").read_text().splitlines()) == 2


def test_parcels_keep_a_coarse_model_on_its_grid(tmp_path):
    coarse = load_card("tiny-random-cortex")
    coarse = replace(coarse, companions={}, grid=replace(coarse.grid, voxel_size_mm=2.0, answer_voxel_size_mm=1.0))
    parcels = load_card("tiny-random-parc")
    with pytest.raises(ModelError, match="voxels of 1 mm beside a segmentation at 2 mm"):
        combine(coarse, {"parcellation": parcels}, tmp_path / "whole", "whole")
    parcels = replace(parcels, grid=coarse.grid)
    card = combine(coarse, {"parcellation": parcels}, tmp_path / "whole", "whole")
    assert card.grid.answer_mm == card.grid.voxel_size_mm == 2.0


def test_nothing_is_written_where_models_do_not_fit(tmp_path):
    segmenter, parcels = load_card("tiny-random-cortex"), load_card("tiny-random-parc")
    with pytest.raises(ModelError, match="a model for parcellation; expected a model for quality"):
        combine(segmenter, {"quality": parcels}, tmp_path / "whole", "whole")
    with pytest.raises(ModelError, match="a model for parcellation; expected a segmentation model"):
        combine(parcels, {"parcellation": parcels}, tmp_path / "whole", "whole")
    ungrouped = replace(segmenter, labels=replace(segmenter.labels, qc_groups=()))
    with pytest.raises(ModelError, match="no groups for quality scores; expected a column qc_group with groups 0 to 3"):
        combine(ungrouped, {"quality": load_card("tiny-random-qc")}, tmp_path / "whole", "whole")
    assert not (tmp_path / "whole").exists()


def test_the_command(tmp_path, capsys):
    assert main(["models", "combine", "tiny-random", "--out", str(tmp_path / "alone"), "--name", "mine"]) == 0
    assert load_card(tmp_path / "alone" / "card.yaml").name == "mine"
    assert "it offers: segmentation\n" in capsys.readouterr().out
    words = ["models", "combine", "tiny-random-cortex", "--quality", "tiny-random-qc", "--out", str(tmp_path / "both")]
    assert main(words) == 0
    assert load_card(tmp_path / "both" / "card.yaml").name == "both"
    assert "it offers: segmentation, parcellation, quality" in capsys.readouterr().out
