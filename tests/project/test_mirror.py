"""The tests mirror the rooms: a module's tests have its name, or a line of mirror.tsv says where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

import synthseg_core
from synthseg_core.system.tables import read_tsv

PACKAGE = Path(synthseg_core.__file__).parent
TESTS = Path(__file__).resolve().parents[1]
ELSEWHERE = {row["module"]: row for row in read_tsv(TESTS / "project" / "mirror.tsv", ("module", "tests", "word"))}
MOST_ELSEWHERE = 36


def _modules() -> list[str]:
    """Return the modules that hold code of their own, ``room/name``."""
    paths = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
    return sorted(
        path.with_suffix("").as_posix()
        for path in paths
        if path.name not in ("__init__.py", "__main__.py") and "bundle" not in path.parts[:-1]
    )


def _file(module: str) -> Path:
    room, _, name = module.rpartition("/")
    return TESTS / "unit" / room / f"test_{name}.py"


@pytest.mark.parametrize("module", _modules())
def test_module_has_its_tests(module):
    if module not in ELSEWHERE:
        assert _file(module).is_file(), f"no {_file(module).relative_to(TESTS)}, and no line in mirror.tsv"


@pytest.mark.parametrize("module", ELSEWHERE)
def test_tests_elsewhere_speak_of_the_module(module):
    """``word`` is what those tests import or call of it."""
    row = ELSEWHERE[module]
    assert module in _modules(), "there is no such module any more"
    assert not _file(module).is_file(), "it has tests of its own now: take its line out"
    text = (TESTS / row["tests"]).read_text(encoding="utf-8")
    assert row["word"] in text


def test_the_list_stays_short():
    assert len(ELSEWHERE) <= MOST_ELSEWHERE
