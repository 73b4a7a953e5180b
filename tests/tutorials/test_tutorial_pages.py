"""Pages of the tutorials: commands can be typed, recipes are recipes, links lead somewhere, each page has a script."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from synthseg_core.app.arguments import build_parser as build_app_parser
from synthseg_core.cli.demo.__main__ import build_parser as build_demo_parser
from synthseg_core.cli.demo.heads import write_heads
from synthseg_core.cli.main import build_parser
from synthseg_core.labels.known import table_entries
from synthseg_core.synth import read_recipe
from synthseg_core.synth.priors import IntensityPriors
from synthseg_core.synth.recipe_file import recipe_names
from tests.pages import ROOT, SPAN, blocks, rows
from tests.tutorials.scripts import FOLDER, load, stems

PAGES = sorted(FOLDER.glob("*.md"))
TEXTS = {page.stem: page.read_text(encoding="utf-8") for page in PAGES}


def _lines(language: str) -> list[tuple[str, str]]:
    return [
        (stem, line) for stem, text in TEXTS.items() for block in blocks(text, language) for line in block.splitlines()
    ]


def _all(language: str) -> list[tuple[str, str]]:
    return [(stem, block) for stem, text in TEXTS.items() for block in blocks(text, language)]


def test_every_page_has_its_script_and_is_linked():
    assert stems(".md") == stems(".py")
    numbers = [int(stem.partition("_")[0]) for stem in stems(".md")]
    assert len(set(numbers)) == len(numbers)
    assert sorted(numbers) == list(range(1, 13))
    assert all(f"({stem}.md)" in TEXTS["README"] for stem in stems(".md"))
    assert all(f"python docs/tutorials/{stem}.py --tiny" in TEXTS[stem] for stem in stems(".md"))


@pytest.mark.parametrize(("stem", "line"), _lines("bash"))
def test_commands_can_be_typed_as_they_stand(stem, line):
    match shlex.split(line):
        case ["synthseg-bids", *words]:
            build_app_parser().parse_args(words)
        case ["synthseg", command, *words]:
            build_parser(command).parse_args([command, *words])
        case ["python", "-m", "synthseg_core.cli.demo", *words]:
            build_demo_parser().parse_args(words)
        case ["python", script, *words]:
            assert (ROOT / script).parent == FOLDER
            load((ROOT / script).stem)["build_parser"]().parse_args(words)
        case other:
            pytest.fail(f"{stem}: who runs {other}?")


@pytest.mark.parametrize(("stem", "block"), _all("yaml"))
def test_recipes_are_recipes(stem, block, tmp_path):
    table = next(ROOT.glob("synthseg_core/resources/synth/t1_priors.tsv")).read_text()
    (tmp_path / "priors.tsv").write_text(table)
    (tmp_path / "recipe.yaml").write_text(block)
    recipe = read_recipe(tmp_path / "recipe.yaml")
    assert recipe != read_recipe(yaml.safe_load(block)["preset"])
    if stem == "06_priors":
        assert recipe.mixture.priors == IntensityPriors.builtin()


@pytest.mark.parametrize("name", ["05_contrast_and_resolution", "06_priors", "07_partial_volume"])
def test_scripts_use_the_recipes_of_their_pages(name):
    assert yaml.safe_load(load(name)["RECIPE"]) in [yaml.safe_load(block) for _, block in _all("yaml")]


def test_settings_in_lines_are_settings():
    found = [
        span for text in TEXTS.values() for span in SPAN.findall(text) if re.fullmatch(r"(mixture|crop): \{.*\}", span)
    ]
    assert len(found) >= 2
    for span in found:
        read_recipe("advanced", yaml.safe_load(span))


def test_names_in_the_page_about_labels_are_those_of_the_script(tmp_path):
    (block,) = blocks(TEXTS["08_own_labels"], "text")
    assert block == load("08_own_labels")["NAMES"]
    (tmp_path / "names.tsv").write_text(block)
    assert table_entries(tmp_path / "names.tsv")[7001].counterpart == 7002


def test_all_presets_are_explained():
    assert {span for row in rows(TEXTS["02_parameters"]) for span in SPAN.findall(row[0])} >= set(recipe_names())


def test_numbers_about_partial_volume_are_those_of_the_preset():
    cells = {SPAN.findall(row[0])[0]: row[1:] for row in rows(TEXTS["07_partial_volume"])}
    pv, official = read_recipe("pv"), read_recipe("official")
    for recipe, column in ((pv, 0), (official, 1)):
        assert recipe.order in cells["order"][column]
        assert recipe.background.mode in cells["background.mode"][column]
        assert cells["resolution.blur_range"][column].startswith(f"{recipe.resolution.blur_range:g}")
        assert f"{recipe.mixture.means[0]:g} to {recipe.mixture.means[1]:g}" in cells["mixture"][column]
        assert f"{recipe.mixture.stds[0]:g} to {recipe.mixture.stds[1]:g}" in cells["mixture"][column]
    assert pv.resolution.spacing_mm == ((6, 1, 1),)


def test_lines_of_python_make_a_sample(tmp_path, monkeypatch):
    (block,) = blocks(TEXTS["01_samples"], "python")
    write_heads(tmp_path / "maps", 1, voxel_size_mm=4.0)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(block, "01_samples.md", "exec"), names)
    assert names["sample"].image.shape[1:] == names["sample"].labels.shape
