"""What the translation part of a configuration means: files, flags that the command takes, settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from synthseg_core.app.configuration import _with_defaults
from synthseg_core.app.translation_plan import TranslationPlan
from synthseg_core.cli.main import build_parser
from synthseg_core.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = yaml.safe_load((ROOT / "workflow" / "schemas" / "translate.schema.yaml").read_text(encoding="utf-8"))
DOMAINS = {"T1w": {"paths": ["raw"], "filter": {"suffix": "T1w", "acq": ""}}, "CT": {"paths": "ct", "ct": True}}


def plan(tmp_path, **dataset) -> TranslationPlan:
    """A plan with the defaults of the schema."""
    given = {"output": str(tmp_path / "out"), "dataset": {"domains": DOMAINS, **dataset}}
    return TranslationPlan.from_config(_with_defaults(given, SCHEMA))


def parsed(made: TranslationPlan):
    """What the command makes of the flags."""
    return build_parser("translate").parse_args(["translate", "dataset", *made.dataset_flags, "--out", "x"])


def test_flags_of_scans(tmp_path):
    args = parsed(plan(tmp_path, participants=["sub-01", "sub-02"], plane="coronal", spacing=1.5, splits="splits.tsv"))
    raw = str(Path("raw").absolute())
    assert args.domain == [["T1w", raw], ["CT", str(Path("ct").absolute())]]
    assert args.filter == [["T1w", "suffix=T1w", "acq="]]
    assert (args.ct, args.ct_window, args.plane, args.spacing) == (["CT"], [0.0, 80.0], "coronal", 1.5)
    assert (args.participants, args.splits) == (["sub-01", "sub-02"], Path("splits.tsv").absolute())
    assert (args.pictures, args.paired, args.ratios) == (False, False, [0.8, 0.1, 0.1])


def test_flags_of_pictures(tmp_path):
    domains = {"SEM": {"paths": ["a", "b"], "pixel_size": [0.1, 0.2]}, "TEM": {"paths": "c", "scale": 0.5}}
    args = parsed(plan(tmp_path, domains=domains, pictures=True, exclude=["masks"], subject_pattern="(rat)"))
    assert args.pictures
    assert (args.pixel_size, args.scale) == ([["SEM", "0.1", "0.2"]], [["TEM", "0.5"]])
    assert (args.exclude, args.subject_pattern, args.spacing) == (["masks"], "(rat)", None)


def test_files_of_a_dataset(tmp_path):
    made = plan(tmp_path)
    assert [path.name for path in made.dataset][-2:] == ["manifest.tsv", "dataset.json"]
    assert made.required_images() == [str(Path(name).absolute()) for name in ("raw", "ct")]


def test_settings_change_with_what_decides_the_dataset(tmp_path):
    path = plan(tmp_path).stage_file("dataset")
    before = path.read_bytes()
    assert plan(tmp_path).stage_file("dataset").read_bytes() == before
    assert plan(tmp_path, seed=1).stage_file("dataset").read_bytes() != before


@pytest.mark.parametrize("domains", [{}, {"T1w": {"paths": ["a"]}}])
def test_two_domains_are_needed(tmp_path, domains):
    with pytest.raises(UsageError, match=r"translation\.dataset\.domains: found .* expected two contrasts"):
        plan(tmp_path, domains=domains).required_images()


def _plan(tmp_path, **stages):
    given = {"output": str(tmp_path / "out"), "dataset": {"domains": DOMAINS}, **stages}
    return TranslationPlan.from_config(_with_defaults(given, SCHEMA))


def _words(action, *words):
    return build_parser("translate").parse_args(["translate", action, *map(str, words)])


def test_flags_of_a_training(tmp_path):
    made = _plan(tmp_path, train={"preset": "tiny", "method": "cycle", "steps": 3, "settings": {"seed": 4}})
    args = _words("train", *made.train_flags, "--dataset", "d", "--out", "o")
    assert (args.preset, args.method, args.steps, args.budget) == ("tiny", "cycle", 3, None)
    assert made.changes_file().read_text() == '{\n  "seed": 4\n}\n'
    assert made.card == tmp_path / "out" / "train" / "translator" / "translator.yaml"


def test_flags_of_translated_scans(tmp_path):
    stage = {"to": "T1w", "scans": "raw", "filter": {"suffix": "CT"}, "labels": ["seg"], "samples": 3}
    stage["planes"] = ["axial", "sagittal"]
    made = _plan(tmp_path, translate=stage)
    args = _words("scans", *made.translate_flags, "--translator", made.translator, "--out", "o")
    assert args.scans == [Path("raw").absolute()]
    assert (args.filter, args.labels, args.to, args.samples) == (["suffix=CT"], [Path("seg").absolute()], "T1w", 3)
    assert args.translator == made.card
    assert args.planes == ["axial", "sagittal"]
    own = _plan(tmp_path, translate={**stage, "translator": "mine.yaml"})
    assert own.translator == str(Path("mine.yaml").absolute())


def test_flags_and_tables_of_an_evaluation(tmp_path):
    made = _plan(tmp_path, evaluate={"scans": ["raw"], "labels": ["seg"]}, translate={"to": "T1w"})
    args = _words("evaluate", *made.evaluate_flags, "--translator", "t", "--out", "o")
    assert (args.split, args.to, args.labels) == ("test", "T1w", [Path("seg").absolute()])
    assert [path.name for path in made.evaluation] == ["images.tsv", "anatomy.tsv", "downstream.tsv"]
    images = _plan(tmp_path)
    assert [path.name for path in images.evaluation] == ["images.tsv"]
    assert images.scored_dataset == images.dataset
    assert _plan(tmp_path, evaluate={"split": None}).scored_dataset == []


@pytest.mark.parametrize(
    ("stage", "message"),
    [({}, r"translation\.translate\.to: found none"), ({"to": "T1w"}, r"translation\.translate\.scans: found none")],
)
def test_scans_and_a_direction_are_needed(tmp_path, stage, message):
    with pytest.raises(UsageError, match=message):
        _plan(tmp_path, translate=stage).required_scans()


def test_a_training_on_translated_scans_needs_labels(tmp_path):
    with pytest.raises(UsageError, match=r"translation\.translate\.labels: found none"):
        _plan(tmp_path, translate={"to": "T1w", "scans": ["raw"]}).labelled()
    made = _plan(tmp_path, translate={"to": "T1w", "scans": ["raw"], "labels": ["seg"]})
    assert made.labelled() == tmp_path / "out" / "translated" / "provenance.tsv"
