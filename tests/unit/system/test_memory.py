"""Memory of the machine or container, and the refusal of what cannot fit."""

from __future__ import annotations

import os

import pytest

from synthseg_core.errors import InputError
from synthseg_core.system import memory

GIB = 2**30


def test_whole_machine_without_a_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (tmp_path / "absent",))
    assert memory.physical_bytes() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(("text", "limit"), [("1073741824\n", GIB), ("max\n", None), ("", None)])
def test_limit_of_a_container(monkeypatch, tmp_path, text, limit):
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    (tmp_path / "memory.max").write_text(text)
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (tmp_path / "memory.max",))
    assert memory.physical_bytes() == (whole if limit is None else min(limit, whole))


def test_budget_is_exact():
    memory.require(2 * GIB, "scan.nii", "a step", budget=2 * GIB)
    with pytest.raises(InputError, match=r"about 2.0 GiB \(a step\); expected at most 2.0 GiB"):
        memory.require(2 * GIB + 1, "scan.nii", "a step", budget=2 * GIB)


def test_without_a_budget_a_tenth_stays_free(monkeypatch):
    monkeypatch.setattr(memory, "physical_bytes", lambda: 10 * GIB)
    memory.require(9 * GIB, "scan.nii", "a step")
    with pytest.raises(InputError, match="at most 9.0 GiB"):
        memory.require(9 * GIB + 1, "scan.nii", "a step")
