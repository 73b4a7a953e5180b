"""Write docs/rulegraph.md: which rule needs which, and how many jobs three scans make. ``make rulegraph`` runs it.

Nothing is computed: Snakemake plans for files without content.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "rulegraph.md"
_GREY = "grey_values: {quantiles: [-1, 1], mean: 0, std: 1}"
TRANSLATOR = f"""\
kind: translator
name: toy
method: affine
domains: [{{name: T1w, low: 0, high: 1, {_GREY}}}, {{name: T2w, low: 0, high: 1, {_GREY}}}]
plane: axial
spacing_mm: 1
"""
FILES = {
    "bids/sub-01/anat/sub-01_T1w.nii.gz": "",
    "bids/sub-01/anat/sub-01_FLAIR.nii.gz": "",
    "bids/sub-02/anat/sub-02_T1w.nii.gz": "",
    "maps/one.nii.gz": "",
    "others/two.nii.gz": "",
    "toy.yaml": TRANSLATOR,
}
HEAD = """\
# Rule graph

Which rule needs which, and how many jobs three scans make. Written by `make rulegraph`; a test fails when it is stale.
`group` and `group_report` are in no graph: they have no outputs, and gather what exists whenever they are asked for
([why](decisions/007-group-level.md)).
"""


@dataclass(frozen=True)
class Scenario:
    """A configuration, what it stands for, and the rules that are asked for."""

    title: str
    text: str
    config: Mapping[str, Any]
    targets: tuple[str, ...] = ()


SCENARIOS = (
    Scenario("Segmentation", "What is made where nothing else is asked for.", {"segment": {"model": "tiny-random"}}),
    Scenario(
        "All stages",
        "With `segment.posteriors`, `resample`, `parcellate`, `qc` and `merge_head`.",
        {
            "segment": {"model": "tiny-random-cortex", "posteriors": True},
            "resample": {"enabled": True},
            "parcellate": {"enabled": True},
            "qc": {"enabled": True},
            "merge_head": {"model": "tiny-random"},
        },
    ),
    Scenario(
        "Translated scans",
        "With `segment.translate_before`: each scan is brought to the contrast that the model knows.",
        {"segment": {"model": "tiny-random", "translate_before": "toy.yaml", "translate_to": "T1w"}},
    ),
    Scenario(
        "Training",
        "The targets of `config/train.yaml`, which are never part of a segmentation run.",
        {"training": {"output": "training", "maps": "maps", "held_out": "others"}},
        ("generate", "train", "validate"),
    ),
)


def page() -> str:
    """Return the text of the page."""
    with ThreadPoolExecutor(2) as pool:
        return "\n".join([HEAD, *pool.map(section, SCENARIOS)])


def section(scenario: Scenario) -> str:
    """Return the part of the page about one scenario."""
    graph = "\n".join(["flowchart TB", *flowchart(plan(scenario))])
    return f"## {scenario.title}\n\n{scenario.text}\n\n```mermaid\n{graph}\n```\n"


def flowchart(jobs: Mapping[str, Any]) -> list[str]:
    """Return a graph of jobs as lines of Mermaid: a node each rule, with its number of jobs, and what it needs."""
    rules = {node["id"]: node["value"]["rule"] for node in jobs["nodes"]}
    nodes = [f'    {rule}["{rule}: {number}"]' for rule, number in sorted(Counter(rules.values()).items())]
    edges = {f"    {rules[edge['u']]} --> {rules[edge['v']]}" for edge in jobs["edges"]}
    return nodes + sorted(edges)


def plan(scenario: Scenario) -> dict[str, Any]:
    """Return the jobs that Snakemake plans, as it writes them for D3."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in FILES.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        config = {"input": "bids", "output": "out", **scenario.config}
        Path(folder, "config.json").write_text(json.dumps(config), encoding="utf-8")
        snakefile = ROOT / "workflow" / "Snakefile"
        words = [
            "-m",
            "snakemake",
            *scenario.targets,
            "--d3dag",
            "--snakefile",
            snakefile,
            "--configfile",
            "config.json",
        ]
        done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
