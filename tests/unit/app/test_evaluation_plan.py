"""The target evaluate: the words it gives to ``synthseg evaluate``, and one call from label maps to the page."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from synthseg_core.app.bundle import config_schema
from synthseg_core.app.configuration import _with_defaults
from synthseg_core.app.evaluation_plan import EvaluationPlan
from synthseg_core.app.layout import Layout
from synthseg_core.cli.evaluate import add_arguments
from synthseg_core.errors import UsageError
from synthseg_core.images.volume import Volume
from synthseg_core.system.tables import read_tsv
from tests.phantoms.label_maps import halves
from tests.phantoms.scans import oblique_affine, write_nifti
from tests.workflow.runs import snakemake

OUTPUT = Path("/data/out/synthseg")


def plan(**options) -> EvaluationPlan:
    """A plan with the defaults of the schema."""
    schema = yaml.safe_load(config_schema().read_text())["properties"]["evaluate"]
    return EvaluationPlan(Layout(OUTPUT, OUTPUT / "work"), _with_defaults(options, schema))


def parsed(words):
    import argparse

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([*words, "--out", "x"])


def test_own_label_maps_come_first_and_on_their_own_grid():
    args = parsed(plan(reference="/true", models={"other": "/else"}).words())
    assert args.segmentation == ["synthseg=/data/out/synthseg", "other=/else"]
    assert (args.reference, args.filter, args.unmatched) == (Path("/true"), ["res="], "skip")
    assert (args.labels, args.groups, args.no_surfaces) == (None, [], False)


def test_every_option_reaches_the_command():
    options = {"labels": [17, 53], "groups": ["tissues"], "surfaces": False, "resample": "segmentation"}
    args = parsed(
        plan(reference="/true", segmentation_filter={"seg": "synthseg"}, unmatched="refuse", **options).words()
    )
    assert (args.labels, args.groups, args.no_surfaces) == (["17", "53"], ["tissues"], True)
    assert (args.resample, args.unmatched, args.segmentation_filter) == ("segmentation", "refuse", ["seg=synthseg"])


def test_results_lie_beside_the_dataset_or_where_asked():
    assert plan().folder == Path("/data/out/synthseg-evaluation")
    assert plan(output="/elsewhere").folder == Path("/elsewhere")


def test_without_a_reference():
    with pytest.raises(UsageError, match=r"evaluate.reference: found no reference"):
        plan().words()


def test_the_target_compares_what_is_there_and_segments_nothing(tmp_path):
    """One scan has a label map and a reference; the other has neither yet."""
    labels = Volume(halves(), oblique_affine((1.0, 1.2, 0.9)))
    for participant in ("01", "02"):
        (tmp_path / f"bids/sub-{participant}/anat").mkdir(parents=True)
        (tmp_path / f"bids/sub-{participant}/anat/sub-{participant}_T1w.nii.gz").touch()
    name = "sub-01_space-T1w_seg-synthseg{}_dseg.nii.gz"
    write_nifti(tmp_path / "out/sub-01/anat" / name.format(""), labels, "int16")
    write_nifti(tmp_path / "out/sub-01/anat" / name.format("_res-1mm"), labels, "int16")
    write_nifti(tmp_path / "manual/sub-01_dseg.nii.gz", labels, "int16")
    config = {
        "input": "bids",
        "output": "out",
        "segment": {"model": "tiny-random"},
        "evaluate": {"reference": "manual"},
    }
    done = snakemake(tmp_path, config, "evaluate")
    assert done.returncode == 0, done.stdout
    rows = read_tsv(tmp_path / "out-evaluation" / "evaluation.tsv")
    assert {(row["model"], row["scan"], row["dice"]) for row in rows} == {("out", "sub-01", "1.0")}
    assert (tmp_path / "out-evaluation" / "evaluation.html").is_file()
    assert not list((tmp_path / "out").rglob("sub-02*"))
