"""Targets generate, train, validate and train_robust: plans for empty label maps, and real runs on tiny heads."""

import json
import re
from pathlib import Path

import pytest
import yaml

from synthseg_core.app.configuration import _with_defaults
from synthseg_core.app.training_plan import FAMILY, STAGES, SUPERVISED, TrainingPlan
from synthseg_core.cli import generate
from synthseg_core.cli.demo.heads import write_heads
from synthseg_core.cli.demo.parcels import write_parcel_heads
from synthseg_core.cli.main import main
from synthseg_core.errors import UsageError
from synthseg_core.images.reading import read_stored
from synthseg_core.models.registry import load_card
from synthseg_core.synth.sample_files import SamplePaths
from synthseg_core.system.tables import read_tsv
from synthseg_core.training.experiment import Experiment, preset_names
from synthseg_core.training.tasks import TASKS
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.trees import make_tree
from tests.workflow.runs import REPOSITORY, planned, snakemake

SCHEMA = REPOSITORY / "workflow" / "schemas" / "train.schema.yaml"
TINY = {
    "recipe": {"crop": {"shape": [16, 16, 16]}},
    "training": {"network": {"features": 2, "levels": 2}, "stages": [{"loss": "dice", "steps": 2}]},
    "validation": {"draws": 1},
}


def config(**values):
    training = {"output": "out put", "maps": "maps", "held_out": ["held/a.nii"], **values}
    return {"device": "cpu", "training": training}


@pytest.fixture
def maps(tmp_path):
    make_tree(tmp_path, ["maps/a.nii", "maps/b.nii", "held/a.nii"])
    return tmp_path


def plan(**values) -> TrainingPlan:
    """A plan with the defaults of the schema."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return TrainingPlan.from_config(_with_defaults(config(**values)["training"], schema))


def test_targets_of_their_own(maps):
    done = snakemake(maps, config(), "generate", "train", "validate", "--dry-run")
    assert done.returncode == 0, done.stdout
    assert planned(done.stdout) == {"generate": 1, "train": 1, "validate": 1}


@pytest.mark.parametrize(
    ("values", "message"),
    [({"train": {"typo": 1}}, "'typo' was unexpected"), ({"maps": None}, "training.maps: found no label maps")],
)
def test_faults_are_known_before_the_first_job(maps, values, message):
    done = snakemake(maps, config(**values), "train")
    assert done.returncode == 1
    assert message in done.stdout
    assert not (maps / "out put" / "train").exists()


def test_scans_need_a_preset_that_learns_from_them():
    with pytest.raises(UsageError, match=r"training\.train\.images: found pairs.tsv with the preset tiny"):
        plan(train={"images": "pairs.tsv"}).training_inputs()
    with pytest.raises(UsageError, match=r"training\.train\.images: found none with the preset supervised"):
        plan(train={"preset": "supervised"}).training_inputs()
    made = plan(maps=None, train={"preset": "supervised", "images": "pairs.tsv", "validation_images": "others.tsv"})
    tables = [str(Path(name).absolute()) for name in ("pairs.tsv", "others.tsv")]
    assert made.training_inputs() == tables
    assert made.flags("train") == ["--pairs", tables[0], "--validation-pairs", tables[1]]


def test_logs_lie_where_the_page_says(tmp_path):
    assert plan(output=str(tmp_path)).log("train") == tmp_path / ".logs" / "train.log"


def test_what_is_validated():
    with pytest.raises(UsageError, match=r"training\.held_out: found no label maps"):
        plan(held_out=None).validation_inputs()
    own = [path.rpartition("/")[2] for path in plan().validation_inputs()]
    assert own == ["card.yaml", "labels.tsv", "weights.safetensors", "a.nii"]
    assert plan(validate={"model": "tiny-random"}).validation_inputs() == [str(Path("held/a.nii").absolute())]


def begun(folder, **train):
    """A training that began with settings, and its plan with others."""
    before = plan(output=str(folder), train=TINY)
    make_tree(folder / "train", ["last.pt", "model/card.yaml", "model/labels.tsv", "model/weights.safetensors"])
    before.stage_file("train")
    return plan(output=str(folder), train={**TINY, **train})


@pytest.mark.parametrize(
    "change",
    [{"training": {**TINY["training"], "batch_size": 2}}, {"preset": "default_2mm"}, {"recipe": {}}],
    ids=lambda change: next(iter(change)),
)
def test_settings_that_cannot_change_are_refused(tmp_path, change):
    other = begun(tmp_path, **change)
    with pytest.raises(UsageError, match=f"training.{next(iter(change))}: found a change after the training"):
        other.stage_file("train", preview=True)


def test_a_training_can_be_prolonged_and_renamed(tmp_path):
    longer = {**TINY["training"], "stages": [{"loss": "dice", "steps": 9}], "device": "cpu"}
    path = begun(tmp_path, training=longer, name="other").stage_file("train")
    assert json.loads(path.read_text())["training"]["stages"][0]["steps"] == 9


def test_the_model_outlives_settings_that_are_refused(maps):
    begun(maps / "out put")
    done = snakemake(maps, config(train={**TINY, "preset": "default_2mm"}), "train")
    assert done.returncode == 1
    assert "training.preset: found a change" in done.stdout
    assert (maps / "out put" / "train" / "model" / "card.yaml").is_file()


def test_samples_training_and_scores(tmp_path):
    write_heads(tmp_path / "maps", 2, 4.0)
    write_heads(tmp_path / "held", 1, 4.0)[0].rename(tmp_path / "held" / "a.nii.gz")
    values = {"held_out": "held", "train": {**TINY, "name": "mine"}, "generate": {"recipe": "tiny", "samples": 2}}
    given = config(**values, validate={"recipe": "tiny", "draws": 1})
    done = snakemake(tmp_path, given, "generate", "train", "validate")
    out = tmp_path / "out put"
    logs = "\n".join(path.read_text() for path in sorted((out / ".logs").glob("*.log")))
    assert done.returncode == 0, done.stdout + logs
    assert (out / "generate" / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")
    image, labels = (read_stored(out / "generate" / f"sample-0002_{kind}.nii.gz") for kind in ("image", "labels"))
    assert image.shape == labels.shape
    assert load_card(out / "train" / "model" / "card.yaml").name == "mine"
    assert json.loads((out / "validate" / "validation.json").read_text())["model"]["name"] == "mine"
    assert {row["set"] for row in read_tsv(out / "validate" / "validation.tsv")} == {"synthetic"}
    assert planned(snakemake(tmp_path, given, "validate", "--dry-run").stdout) == {}
    done = snakemake(tmp_path, given, "generate", "validate", "--report", "report.html")
    assert done.returncode == 0, done.stdout
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "contact_sheet.png" in page
    assert "on scans that it was not trained on" in page


SMALL = {**TINY, "recipe": {"crop": {"shape": [24, 24, 24]}, "map_step": 1}}
FAMILY_CONFIG = {
    "name": "mine",
    "groups": {"preset": "tiny", **SMALL},
    "denoiser": {"preset": "tiny_denoiser", **SMALL},
    "segmenter": {"preset": "tiny_robust", **SMALL},
    "parcellation": {"preset": "tiny_parcellation", **SMALL},
    "quality": {
        "preset": "tiny_quality",
        "recipe": SMALL["recipe"],
        "training": {"stages": [{"loss": "squared_error", "steps": 2}]},
    },
}


def test_each_model_of_a_family_is_trained_after_those_that_it_builds_on(maps):
    done = snakemake(maps, config(robust=FAMILY_CONFIG), "train_robust", "--dry-run")
    assert done.returncode == 0, done.stdout
    assert planned(done.stdout) == {"train_member": 5, "train_robust": 1}
    family = plan(robust=FAMILY_CONFIG)
    assert family.members == ["groups", "denoiser", "segmenter", "parcellation", "quality"]
    flags = family.flags("robust_segmenter")
    for role, member in (("--group-segmenter", "groups"), ("--denoiser", "denoiser")):
        assert flags[flags.index(role) + 1] == str(family.model_of(f"robust_{member}")[0])
    assert "--group-segmenter" not in family.flags("robust_parcellation")


def test_parcels_and_scores_are_trained_only_if_asked_for():
    assert plan().members == ["groups", "denoiser", "segmenter"]
    assert plan().family_flags[1:] == ["--name", "my-family"]


@pytest.mark.slow
def test_a_family_from_label_maps_to_a_segmented_scan(tmp_path):
    write_parcel_heads(tmp_path, 2, 4.0)
    family = {member: FAMILY_CONFIG[member] for member in FAMILY_CONFIG}
    given = config(labels="labels.tsv", held_out=None, robust=family)
    done = snakemake(tmp_path, given, "train_robust")
    out = tmp_path / "out put"
    logs = "\n".join(path.read_text() for path in sorted((out / ".logs").glob("*.log")))
    assert done.returncode == 0, done.stdout + logs
    card = load_card(out / "robust" / "card.yaml")
    assert card.name == "mine"
    assert [spec.role for spec in card.networks] == ["group_segmenter", "denoiser", "segmenter"]
    assert planned(snakemake(tmp_path, given, "train_robust", "--dry-run").stdout) == {}
    scan = write_nifti(tmp_path / "scan.nii.gz", phantom((1.5, 1.0, 2.5)))
    words = ["predict", "--i", str(scan), "--o", str(tmp_path / "dseg.nii.gz"), "--robust", "--parc", "--cpu"]
    words += ["--qc", str(tmp_path / "qc.csv")]
    assert main([*words, "--model", str(card.source), "--vol", str(tmp_path / "vol.csv")]) == 0
    assert "ctx-lh-superiorfrontal" in (tmp_path / "vol.csv").read_text()
    assert len((tmp_path / "qc.csv").read_text().splitlines()) == 2


MEMBERS = [f"robust.{member}" for member in FAMILY]


def test_shipped_configuration_shows_every_key_and_the_defaults():
    text = (REPOSITORY / "config" / "train.yaml").read_text(encoding="utf-8")
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    shown = yaml.safe_load(re.sub(r"(?m)^( *)# (\w+: )", r"\1\2", text))
    page = (REPOSITORY / "config" / "README.md").read_text(encoding="utf-8")
    assert set(shown) == {"device", "training"}
    for name, part in schema["properties"].items():
        assert "description" in part
        keys = {f"{name}.{key}": inner for key, inner in part.get("properties", {}).items()} or {name: part}
        for key, inner in keys.items():
            assert f"`training.{key}`" in page, key
            value = shown["training"]
            for word in key.split("."):
                value = value[word]
            assert value == inner["default"] or key in ("maps", "held_out", *MEMBERS), key
    offered = schema["properties"]["train"]["properties"]["preset"]["enum"]
    alone = {name for name, task in TASKS.items() if not task.models}
    assert offered == [name for name in preset_names() if Experiment.preset(name).task in alone]
    assert [*SUPERVISED] == [name for name in offered if Experiment.preset(name).task == "supervised"]
    members = plan().options
    assert all(members[f"robust_{name}"]["preset"] in preset_names() for name in ("groups", "denoiser", "segmenter"))


def test_lists_that_are_kept_twice_agree():
    last = SamplePaths.numbered(plan().folder("generate"), 8)
    assert plan().samples[-3:] == [last.image, last.labels, last.record]
    assert plan().sheet.name == generate.SHEET
    assert STAGES == ("generate", "train", "validate")


def test_paths_with_spaces_and_values_reach_the_command_line():
    given = plan(
        maps=["a b.nii", "/c.nii"],
        held_out=None,
        labels="my list.tsv",
        unknown="background",
        generate={"recipe": "my.yaml", "samples": 3},
        train={"budget": "25m"},
        validate={"model": "c.yaml", "labelled": [["i", "l", "r"]]},
    )
    words = given.flags("train")
    assert words[1].endswith("/a b.nii")
    assert words[3:] == ["--ignore-unknown", "--budget", "25m"]
    assert given.settings("train")["labels"].endswith("/my list.tsv")
    assert given.flags("generate")[given.flags("generate").index("--recipe") + 1].startswith("/")
    scans = [word.rpartition("/")[2] for word in given.flags("validate")]
    assert scans == ["--model", "c.yaml", "--labelled", "i", "l", "r"]
    assert [path.rpartition("/")[2] for path in given.validation_inputs()] == ["c.yaml", "i", "l", "r"]
