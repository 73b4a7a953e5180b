"""The example of translation runs as it stands, on phantom heads, for a few steps."""

from __future__ import annotations

import subprocess
import sys

import pytest

from synthseg_core.system.tables import read_tsv
from tests.pages import ROOT

SCRIPT = ROOT / "docs" / "examples" / "translation" / "demonstrate.py"


@pytest.mark.slow
def test_the_example_runs_from_end_to_end(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Before.\n\n<!-- translation example: begin -->\nold\n<!-- translation example: end -->\nAfter.\n")
    words = (sys.executable, SCRIPT, "--tiny", "--methods", "affine", "cycle", "--out", tmp_path, "--page", page)
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = read_tsv(tmp_path / "results.tsv", ("use", "method", "mean"))
    assert [row["method"] for row in rows] == ["none", "none", "affine", "affine", "cycle", "cycle"]
    assert rows[1]["gain"] == "+0.000"
    assert float(rows[-1]["gain"]) == pytest.approx(float(rows[-1]["mean"]) - float(rows[1]["mean"]), abs=2e-3)
    text = page.read_text()
    assert text.startswith("Before.")
    assert text.endswith("After.\n")
    assert f"| `cycle` | {rows[-1]['mean']} ({rows[-1]['gain']}) | {rows[-2]['mean']} ({rows[-2]['gain']}) |" in text
    assert "old" not in text
    assert (tmp_path / "comparison.png").stat().st_size > 10_000
