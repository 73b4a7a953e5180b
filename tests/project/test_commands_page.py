"""docs/commands.md against the program: flags, defaults, kinds of scans, lines of Python."""

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
from synthseg_core.bids.search import SUFFIXES
from synthseg_core.cli.demo.__main__ import build_parser as build_demo_parser
from synthseg_core.cli.demo.phantoms import MODEL
from synthseg_core.cli.main import COMMANDS, build_parser
from synthseg_core.resources import resource
from synthseg_core.system.command_line import read_foreign_options
from tests.pages import ROOT, SPAN, anchors, blocks, rows, sections
from tests.phantoms.scans import phantom, write_nifti

PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
SECTIONS = sections(PAGE)
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Pages that tell how commands are called.
TELLING = "\n".join(
    (ROOT / page).read_text(encoding="utf-8")
    for page in (
        *("README.md", "docs/commands.md", "docs/outputs.md", "docs/coming-from-synthseg.md", "docs/questions.md"),
        "docs/architecture.md",
    )
)
# Flags of other programs that these pages speak of.
FOREIGN = {"--nproc-per-node", "--snakefile", "--workflow-profile"}
FLAG = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")


FOREIGN_OPTIONS = {
    path.stem: read_foreign_options(path) for path in sorted(resource("options").glob("*.tsv"))
}  # fmt: skip


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
DEMO = _subparsers(build_demo_parser())


def _words(parser: argparse.ArgumentParser) -> set[str]:
    """Flags, and names or choices of positional arguments."""
    words: set[str] = set()
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        words |= set(action.option_strings or action.choices or [action.metavar or action.dest])
    return {str(word) for word in words}


def _documented(command: str) -> set[str]:
    """First words of the spans in the first column of the tables below the headings that name the command."""
    texts = [text for heading, text in SECTIONS.items() if command in SPAN.findall(heading)]
    assert texts, f"no heading for {command}"
    return {span.split()[0] for text in texts for row in rows(text) for span in SPAN.findall(row[0])}


def _documented_actions(heading: str) -> dict[str, set[str]]:
    """Flags and positional arguments of actions that have a row each."""
    usages = [SPAN.findall(row[0])[0] for row in rows(SECTIONS[heading])]
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
    assert _documented_actions("`synthseg models`") == expected


def test_actions_of_the_demonstration():
    assert _documented_actions("The demonstration") == {action: _words(parser) for action, parser in DEMO.items()}


@pytest.mark.parametrize("command", FOREIGN_OPTIONS)
def test_options_of_other_programs_are_listed_with_what_to_do(command):
    title = command if command in PARSERS else f"synthseg {command}"
    table = rows(SECTIONS[f"In the words of {title}"])
    found = {option: (of, here) for options, of, here in table for option in SPAN.findall(options)}
    expected = {
        one.option: (one.program, f"`{one.instead.format('N')}`" if one.instead else one.advice)
        for one in FOREIGN_OPTIONS[command]
    }
    assert found == expected


def test_no_flag_is_mentioned_that_does_not_exist():
    parsers = [*PARSERS.values(), *DEMO.values()]
    known = {flag for parser in parsers for flag in parser._option_string_actions} | {"--version", "--worker"}
    known |= {one.option.rstrip("*") for options in FOREIGN_OPTIONS.values() for one in options}
    mentioned = {flag.replace("_", "-") for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", TELLING)}
    assert mentioned - {flag.replace("_", "-") for flag in known} == FOREIGN


def _command_lines() -> Iterator[list[str]]:
    for block in blocks(TELLING, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["python"] or (words and words[0].startswith("synthseg")):
                yield words


@pytest.mark.parametrize("words", list(_command_lines()), ids=" ".join)
def test_commands_can_be_typed_as_they_stand(words):
    if words[0] == "python":
        assert words[:3] == ["python", "-m", "synthseg_core.cli.demo"]
        build_demo_parser().parse_args(words[3:])
        return
    parser = build_app_parser() if words[0] == "synthseg-bids" else build_parser(words[1])
    parser.parse_args(words[1:])


def test_the_readme_names_every_command_and_leads_to_it():
    table = [row[0] for row in rows(sections(README)["Commands"])]
    found = [link for cell in table for link in re.findall(r"\[`([^`]+)`\]\(docs/commands\.md#([\w-]+)\)", cell)]
    names = [name.removeprefix("synthseg ") for name, _ in found]
    assert sorted(names) == sorted([*COMMANDS, "synthseg-bids"])
    for name, (_, anchor) in zip(names, found, strict=True):
        assert anchor in anchors(PAGE)
        assert anchor.removeprefix("synthseg-").startswith(name.removeprefix("synthseg-"))


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


def test_kinds_of_scans_are_those_that_are_searched():
    assert f"({', '.join(SUFFIXES)})" in " ".join(SECTIONS["`synthseg-bids`"].split())


def _scan(folder: Path) -> Path:
    return write_nifti(folder / "scan.nii.gz", phantom((1.5, 2.0, 3.0), (30, 33, 17)))


def test_python_lines_run(tmp_path, monkeypatch, capsys):
    """As printed, but with a smaller model."""
    (block,) = blocks(PAGE, "python")
    assert '"default"' in block
    scan = _scan(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(block.replace('"default"', f'"{MODEL}"'), "docs/commands.md", "exec"), {})
    found, expected = nib.load("dseg.nii.gz"), nib.load(scan)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.affine, expected.affine)
    assert capsys.readouterr().out.startswith("index\tname\themisphere\tsoft_volume_mm3\thard_volume_mm3\n")
