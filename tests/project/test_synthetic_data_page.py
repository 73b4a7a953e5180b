"""docs/synthetic-data.md against the program: commands can be typed, columns and example tables are right."""

from __future__ import annotations

import shlex

import pytest

from synthseg_core.cli.main import build_parser
from synthseg_core.labels import known
from synthseg_core.labels.known import table_entries
from synthseg_core.synth import prior_estimation
from tests.pages import ROOT, SPAN, blocks, rows, sections

PAGE = (ROOT / "docs" / "synthetic-data.md").read_text(encoding="utf-8")
SECTIONS = sections(PAGE)


def _commands() -> list[list[str]]:
    lines = [line for block in blocks(PAGE, "bash") for line in block.replace("\\\n", " ").splitlines()]
    return [words for line in lines if (words := shlex.split(line)) and words[0] == "synthseg"]


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_commands_can_be_typed_as_they_stand(words):
    build_parser(words[1]).parse_args(words[1:])


def test_columns_of_lists_and_priors():
    stated = [span for row in rows(SECTIONS["The label list of your own maps"]) for span in SPAN.findall(row[0])]
    assert stated == [*known.FACTS, *known.COUNTS]
    line = next(line for line in PAGE.splitlines() if line.startswith("`block`"))
    assert SPAN.findall(line) == list(prior_estimation.ALL_COLUMNS)


def test_example_of_names_is_a_table(tmp_path):
    (text,) = blocks(SECTIONS["The label list of your own maps"], "text")
    (tmp_path / "names.tsv").write_text(text)
    entries = table_entries(tmp_path / "names.tsv")
    assert entries[7001].counterpart == 7002
    assert entries[7001].group == entries[7002].group
    assert entries[7010].output == 0
