"""README.md against the program: flags, defaults, commands, models, labels, names of files, links, code."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.app.arguments import build_parser as build_app_parser
from synthseg_core.bids.discovery import SUFFIXES
from synthseg_core.bids.names import PRODUCTS
from synthseg_core.cli.demo.phantoms import MODEL
from synthseg_core.cli.main import COMMANDS, build_parser
from synthseg_core.cli.models import _megabytes
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.registry import default_model, load_card, registered_models
from synthseg_core.reports import LONG_NAME, SCANS_NAME, WIDE_NAME
from tests.pages import ROOT, SPAN, blocks, rows, sections
from tests.phantoms.scans import phantom, write_nifti

README = (ROOT / "README.md").read_text(encoding="utf-8")
# Flags of other programs that the page speaks of.
FOREIGN = {"--cores", "--nproc-per-node", "--configfile", "--snakefile", "--workflow-profile", "--keepgeom"}
FLAG = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    action = next((a for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
    return {} if action is None else dict(action.choices)


def _parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of every command, by the words with which it is called."""
    parsers = {"synthseg-bids": build_app_parser()}
    for name in COMMANDS:
        parser = _subparsers(build_parser(name))[name]
        inner = _subparsers(parser)
        parsers |= {f"synthseg {name} {action}": p for action, p in inner.items()} or {f"synthseg {name}": parser}
    return parsers


PARSERS = _parsers()


def _words(parser: argparse.ArgumentParser) -> set[str]:
    """Flags, and names or choices of positional arguments."""
    words: set[str] = set()
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        words |= set(action.option_strings or action.choices or [action.metavar or action.dest])
    return {str(word) for word in words}


SECTIONS = sections(README)


def _documented(command: str) -> set[str]:
    """First words of the spans in the first column of the tables below the headings that name the command."""
    texts = [text for heading, text in SECTIONS.items() if command in SPAN.findall(heading)]
    assert texts, f"no heading for {command}"
    return {span.split()[0] for text in texts for row in rows(text) for span in SPAN.findall(row[0])}


def _documented_actions() -> dict[str, set[str]]:
    """Flags and positional arguments of the actions of ``synthseg models``."""
    usages = [SPAN.findall(row[0])[0] for row in rows(SECTIONS["`synthseg models`"])]
    found = {}
    for usage in usages:
        action, _, rest = usage.partition(" ")
        values = re.findall(r"--[\w-]+ ([A-Z]+)", rest)
        found[action] = set(FLAG.findall(rest)) | (set(re.findall(r"\b[A-Z]+\b", rest)) - set(values))
    return found


@pytest.mark.parametrize("command", [c for c in PARSERS if "models" not in c])
def test_tables_hold_exactly_the_arguments(command):
    assert _documented(command) == _words(PARSERS[command])


def test_actions_of_models():
    expected = {command.split()[2]: _words(parser) for command, parser in PARSERS.items() if " models " in command}
    assert _documented_actions() == expected


def test_no_flag_is_mentioned_that_does_not_exist():
    known = {flag for parser in PARSERS.values() for flag in parser._option_string_actions} | {"--version", "--worker"}
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", README)) - known == FOREIGN


def _command_lines() -> Iterator[list[str]]:
    for block in blocks(README, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            if words and words[0].startswith("synthseg"):
                yield words


@pytest.mark.parametrize("words", list(_command_lines()), ids=" ".join)
def test_commands_can_be_typed_as_they_stand(words):
    parser = build_app_parser() if words[0] == "synthseg-bids" else build_parser(words[1])
    parser.parse_args(words[1:])


def test_defaults_in_the_tables_are_those_of_the_program():
    for command in (c for c in PARSERS if "models" not in c):
        texts = [text for heading, text in SECTIONS.items() if command in SPAN.findall(heading)]
        for flags, default, *_ in (row for text in texts for row in rows(text)):
            action = PARSERS[command]._option_string_actions.get(SPAN.findall(flags)[0].split()[0])
            if action is None:
                continue
            assert action.required == (default == "required"), flags
            stated = SPAN.fullmatch(default)
            if stated and "/" not in stated[1] and action.default is not None:
                assert stated[1] == str(action.default), flags


def test_table_of_models():
    stated = {SPAN.findall(row[0])[0]: row for row in rows(SECTIONS["Models"])}
    assert set(stated) == set(registered_models())
    assert [name for name, row in stated.items() if "the default" in row[1]] == [default_model()]
    for name, (_, gives, size, licence) in stated.items():
        card = load_card(name)
        assert size.removeprefix("about ") == _megabytes(card.weights.size_bytes or 53e6).replace(".0 MB", " MB")
        assert set(licence.split("; ")) <= {"Apache-2.0", "FreeSurfer Software License"}
        assert all(part in card.weights.licence for part in licence.split("; "))
        if name in ("synthseg-1.0", "synthseg-2.0"):
            assert f"{len(card.labels) - 1} structures" in gives


def test_tables_of_labels():
    table = LabelTable.builtin("segmentation_2.0")
    names = dict(zip(table.names, table.labels, strict=True))
    cells = [row for row in rows(SECTIONS["Results"]) if row[1].isdecimal()]
    pairs = {row[0]: row[1:] for row in cells if len(row) == 3}
    alone = {row[0].removesuffix(" (not in 1.0)"): int(row[1]) for row in cells if len(row) == 2}
    stated = {
        f"{side} {name}": int(v)
        for name, values in pairs.items()
        for side, v in zip(("left", "right"), values, strict=True)
    }
    assert stated | alone == names
    assert set(names) - set(LabelTable.builtin("segmentation_1.0").names) == {"csf"}
    parcels = LabelTable.builtin("parcellation_2.0").labels[1:]
    assert (parcels[0], parcels[33], parcels[34], parcels[67]) == (1001, 1035, 2001, 2035)


def test_files_of_the_derivative_dataset():
    text = SECTIONS["Results"]
    assert all(f"`*_space-T1w{product.ending('T1w')}`" in text for product in PRODUCTS.values())
    assert all(f"`{name}.tsv`" in text for name in (SCANS_NAME, WIDE_NAME, LONG_NAME))
    assert f"({', '.join(SUFFIXES)})" in " ".join(SECTIONS["`synthseg-bids`"].split())


def test_plausible_volume_is_that_of_the_card():
    low, high = load_card("synthseg-2.0").plausible_total_ml
    assert f"{low} to {high} ml for 2.0" in README


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "config/README.md",
        "profiles/README.md",
        "docs/containers.md",
        "docs/performance.md",
        "docs/rulegraph.md",
        "docs/examples/own-model/README.md",
    ],
)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target
    headings = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in SECTIONS}
    if page == "README.md":
        assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_places_in_the_code_exist():
    places = [span for row in rows(SECTIONS["Where is what"]) for span in SPAN.findall(row[1])]
    assert len(places) > 10
    assert all((ROOT / place).exists() for place in places)


def _scan(folder: Path) -> Path:
    return write_nifti(folder / "scan.nii.gz", phantom((1.5, 2.0, 3.0), (30, 33, 17)))


def test_python_lines_run(tmp_path, monkeypatch, capsys):
    """As printed, but with a smaller model."""
    (block,) = blocks(README, "python")
    assert '"default"' in block
    scan = _scan(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(block.replace('"default"', f'"{MODEL}"'), "README.md", "exec"), {})
    found, expected = nib.load("dseg.nii.gz"), nib.load(scan)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.affine, expected.affine)
    assert capsys.readouterr().out.startswith("index\tname\themisphere\tsoft_volume_mm3\thard_volume_mm3\n")


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda page: page.name)
def test_decisions_speak_of_files_and_tests_that_exist(page):
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.name[:3]} ")
    for place in re.findall(r"`([\w./-]+(?:\.py|/))`", text):
        assert (ROOT / place).exists() or list((ROOT / "synthseg_core").rglob(place)), place
    for name in re.findall(r"`(test_\w+)`", text):
        assert any(f"def {name}(" in path.read_text() for path in (ROOT / "tests").rglob("test_*.py")), name


def test_decisions_are_numbered_once():
    numbers = [page.name[:3] for page in (ROOT / "docs" / "decisions").glob("*.md")]
    assert sorted(numbers) == [f"{number:03d}" for number in range(1, len(numbers) + 1)]
