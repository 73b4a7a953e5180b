"""README.md against the program: models, make targets, length."""

from __future__ import annotations

import re

from synthseg_core.cli.models import _megabytes
from synthseg_core.models.registry import default_model, load_card, registered_models
from synthseg_core.networks.arrays import parameter_count
from tests.pages import ROOT, SPAN, blocks, rows, sections

README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTIONS = sections(README)


def test_it_is_short():
    assert len(README.splitlines()) < 200


def test_make_has_the_targets_that_it_names():
    targets = re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
    named = re.findall(r"(?m)^make ([\w-]+)", "\n".join(blocks(README, "bash")))
    assert named == ["demo", "test"]
    assert set(named) <= set(targets)


def test_table_of_models():
    stated = {SPAN.findall(row[0])[0]: row for row in rows(SECTIONS["Models"])}
    assert set(stated) == set(registered_models())
    assert [name for name, row in stated.items() if "the default" in row[1]] == [default_model()]
    for name, (_, gives, size, licence) in stated.items():
        card = load_card(name)
        if card.weights.archive is None:
            parameters = sum(parameter_count(spec.config) for spec in card.networks)
            assert size.removeprefix("about ") == _megabytes(
                card.weights.size_bytes or round(4 * parameters, -6)
            ).replace(".0 MB", " MB")
        assert set(licence.split("; ")) <= {"Apache-2.0", "FreeSurfer Software License"}
        assert all(part in card.weights.licence for part in licence.split("; "))
        if name in ("synthseg-1.0", "synthseg-2.0"):
            assert f"{len(card.labels) - 1} structures" in gives
