"""docs/rulegraph.md against the rules."""

import runpy

from tests.workflow.runs import REPOSITORY

SCRIPT = runpy.run_path(str(REPOSITORY / "workflow" / "rulegraph.py"))


def test_graph_in_the_documentation_is_that_of_the_rules():
    assert SCRIPT["PAGE"].read_text(encoding="utf-8") == SCRIPT["page"](), "run 'make rulegraph'"


def test_each_rule_has_one_node_and_its_number_of_jobs():
    jobs = {
        "nodes": [{"id": n, "value": {"rule": rule}} for n, rule in enumerate(["all", "b", "b", "a"])],
        "edges": [{"u": 1, "v": 0}, {"u": 2, "v": 0}, {"u": 3, "v": 1}, {"u": 3, "v": 2}],
    }
    assert SCRIPT["flowchart"](jobs) == [
        '    a["a: 1"]',
        '    all["all: 1"]',
        '    b["b: 2"]',
        "    a --> b",
        "    b --> all",
    ]
