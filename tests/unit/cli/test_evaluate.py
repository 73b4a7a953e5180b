"""``synthseg evaluate``: from folders to tables, box plots and a page; words that say nothing are refused first."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.images.volume import Volume
from synthseg_core.system.tables import read_tsv
from tests.phantoms.label_maps import halves
from tests.phantoms.scans import oblique_affine, write_nifti

AFFINE = oblique_affine((1.0, 1.2, 0.9))
SCANS = 6


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Write references and two models: the good one is right, the poor one moves everything, by scan more or less."""
    folder = tmp_path_factory.mktemp("maps")
    for number in range(SCANS):
        truth = halves(seed=number % 3)
        poor = np.roll(truth, 1, axis=1)
        poor[:, :, : 2 + number % 2] = 0
        for name, data in (("truth", truth), ("good", truth), ("poor", poor)):
            write_nifti(folder / name / f"sub-{number}_dseg.nii.gz", Volume(data, AFFINE), "int16")
    return folder


@pytest.fixture(scope="module")
def evaluated(folders, tmp_path_factory):
    """Run the command once."""
    out = tmp_path_factory.mktemp("evaluation") / "out"
    models = (f"good={folders / 'good'}", f"poor={folders / 'poor'}")
    words = ["--reference", str(folders / "truth"), "--segmentation", *models, "--groups", "bilateral", "--jobs", "1"]
    assert main(["evaluate", *words, "--out", str(out)]) == 0
    return out


def test_the_long_table_has_a_row_for_everything(evaluated):
    rows = read_tsv(evaluated / "evaluation.tsv")
    singles = [row for row in rows if " " not in row["labels"]]
    assert len(singles) == 2 * SCANS * 5
    good = {row["dice"] for row in rows if row["model"] == "good" and row["remark"] == "n/a"}
    assert good == {"1.0"}
    assert {"left cerebral white matter", "cerebral white matter"} <= {row["structure"] for row in rows}
    assert all(float(row["volume_error_mm3"]) <= 0 for row in singles if row["model"] == "poor")


def test_every_column_is_explained(evaluated):
    facts = json.loads((evaluated / "evaluation.json").read_text())
    for name in ("evaluation.tsv", "tests.tsv"):
        header = (evaluated / name).read_text().partition("\n")[0].split("\t")
        assert list(facts["columns"][name]) == header
    assert (facts["scans"], facts["models"], facts["failed"]) == (SCANS, ["good", "poor"], 0)


def test_summary_and_tests_agree_with_the_long_table(evaluated):
    rows = read_tsv(evaluated / "evaluation.tsv")
    dice = [float(r["dice"]) for r in rows if (r["model"], r["labels"]) == ("poor", "41")]
    (mean,) = [
        float(row["mean"])
        for row in read_tsv(evaluated / "summary.tsv")
        if (row["model"], row["measure"], row["structure"]) == ("poor", "dice", "right cerebral white matter")
    ]
    assert mean == pytest.approx(np.mean(dice), abs=1e-5)
    tests = read_tsv(evaluated / "tests.tsv")
    last = [row for row in tests if row["measure"] == "dice"][-1]
    assert (last["structure"], last["scans"], float(last["p"])) == ("mean over structures", "6", 0.03125)
    assert float(last["median_difference"]) > 0


class _Links(HTMLParser):
    """Collects what a page loads or leads to, and its words."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words = ""

    def handle_starttag(self, tag, attrs):
        self.links += [
            value for key, value in attrs if key in ("href", "src", "xlink:href") and not value.startswith("#")
        ]

    def handle_data(self, data):
        self.words += f"{data} "


def test_the_page_opens_from_disk(evaluated):
    """It loads nothing, and what it leads to is there."""
    page = _Links()
    page.feed((evaluated / "evaluation.html").read_text())
    assert all((evaluated / link).exists() for link in page.links)
    words = re.sub(r"\s+", " ", page.words)
    assert "Evaluation of good, poor" in words
    assert "Differences between models" in words
    assert sorted(path.name for path in (evaluated / "figures").glob("dice.*")) == ["dice.png", "dice.svg"]


def test_the_same_maps_give_the_same_bytes(evaluated, folders, tmp_path):
    models = (f"good={folders / 'good'}", f"poor={folders / 'poor'}")
    words = ["--reference", str(folders / "truth"), "--segmentation", *models, "--groups", "bilateral", "--jobs", "1"]
    assert main(["evaluate", *words, "--out", str(tmp_path)]) == 0
    for path in evaluated.rglob("*.*"):
        assert (tmp_path / path.relative_to(evaluated)).read_bytes() == path.read_bytes()


def test_a_failed_pair_is_told_and_costs_no_other(folders, tmp_path, capsys):
    write_nifti(tmp_path / "s" / "sub-0_dseg.nii.gz", Volume(halves(), AFFINE), "int16")
    (tmp_path / "s" / "sub-1_dseg.nii.gz").write_bytes(b"no image")
    words = ["--reference", str(folders / "truth"), "--segmentation", str(tmp_path / "s"), "--unmatched", "skip"]
    assert main(["evaluate", *words, "--no-page", "--jobs", "1", "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert "FAILED sub-1 (s)" in said.err
    assert "sub-2_dseg.nii.gz has no partner and is left out" in said.err
    assert "s: mean Dice" in said.out
    assert [row["scan"] for row in read_tsv(tmp_path / "out" / "failures.tsv")] == ["sub-1 (s)"]
    assert not (tmp_path / "out" / "evaluation.html").exists()


def test_labels_by_value_by_table_and_from_a_file(folders, tmp_path, capsys):
    (tmp_path / "own.tsv").write_text("label\tname\n0\tbackground\n13\tnucleus\n")
    pair = ["--reference", str(folders / "truth" / "sub-0_dseg.nii.gz")]
    pair += ["--segmentation", str(folders / "poor" / "sub-0_dseg.nii.gz"), "--no-page", "--no-surfaces"]
    for words, names in (
        (["13", "52"], ["left pallidum", "right pallidum"]),
        ([str(tmp_path / "own.tsv")], ["nucleus"]),
    ):
        assert main(["evaluate", *pair, "--labels", *words, "--out", str(tmp_path / "out")]) == 0
        assert [row["structure"] for row in read_tsv(tmp_path / "out" / "evaluation.tsv")] == names
    assert main(["evaluate", *pair, "--labels", "13", "77", "--out", str(tmp_path / "out")]) == 2
    assert "77, in no reference and no segmentation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--reference with --segmentation, or --pairs"),
        (["--reference", "{}/truth"], "--reference with --segmentation, or --pairs"),
        (["--reference", "{}/truth", "--segmentation", "{}/good", "{}/good"], "the name good twice"),
        (["--reference", "{}/truth", "--segmentation", "{}/good", "--filter", "res"], "KEY=LABEL"),
        (["--reference", "{}/truth", "--segmentation", "{}/good", "--tests"], "1 model and 6 scans"),
        (["--reference", "{}/truth", "--segmentation", "{}/good", "--jobs", "0"], "--jobs"),
        (["--reference", "{}/truth", "--segmentation", "{}/good", "--compatibility", "reference"], "without --labels"),
        (["--reference", "{}/truth", "--segmentation", "{}/good", "--groups", "none.tsv"], "no readable table"),
    ],
)
def test_words_that_say_nothing(folders, tmp_path, capsys, words, said):
    words = [word.format(folders) for word in words]
    assert main(["evaluate", *words, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_too_few_scans_for_a_test_are_told(folders, tmp_path, capsys):
    maps = [folders / name / "sub-0_dseg.nii.gz" for name in ("truth", "good", "poor")]
    words = ["--reference", str(maps[0]), "--segmentation", f"a={maps[1]}", f"b={maps[2]}", "--no-page"]
    assert main(["evaluate", *words, "--no-surfaces", "--out", str(tmp_path)]) == 0
    assert "no tests between models, which need 6 scans; there are 1" in capsys.readouterr().err
    assert not (tmp_path / "tests.tsv").exists()


def test_compatibility_with_the_reference(folders, tmp_path):
    maps = [str(folders / name / "sub-0_dseg.nii.gz") for name in ("truth", "good")]
    words = ["--reference", maps[0], "--segmentation", maps[1], "--labels", "segmentation_2.0", "--no-page"]
    assert main(["evaluate", *words, "--compatibility", "reference", "--out", str(tmp_path)]) == 0
    rows = {row["labels"]: row for row in read_tsv(tmp_path / "evaluation.tsv")}
    assert 1 - 1e-5 < float(rows["2"]["dice"]) < 1 + 1e-9
    assert float(rows["17"]["dice"]) == 0
    assert float(rows["17"]["surface_maximum_mm"]) == pytest.approx(17 * 1.2, abs=1e-3)
