"""Quirks of the reference: off natively, all on in its name, and each of them has an effect somewhere."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import synthseg_core
from synthseg_core.quirks import NATIVE, REFERENCE, Quirks

NAMES = [field.name for field in fields(Quirks)]
CODE = "\n".join(
    path.read_text(encoding="utf-8")
    for path in Path(synthseg_core.__file__).parent.rglob("*.py")
    if path.name != "quirks.py"
)


@pytest.mark.parametrize("name", NAMES)
def test_quirk(name):
    assert getattr(NATIVE, name) is False
    assert getattr(REFERENCE, name) is True
    assert re.search(rf"\bquirks\.{name}\b", CODE), "nobody asks for it"
    assert re.search(rf"^    {name}\n        \S", Quirks.__doc__ or "", re.MULTILINE), "nobody says what it is"
