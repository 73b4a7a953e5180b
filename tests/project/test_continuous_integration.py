""".github/workflows/ci.yml against the Makefile and the project."""

import re
import tomllib

import yaml

from tests.pages import ROOT

JOBS = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
STEPS = [step for job in JOBS.values() for step in job["steps"]]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _targets(job):
    commands = "\n".join(step.get("run", "") for step in job["steps"])
    return re.findall(r"\bmake ([\w-]+)", commands)


def test_jobs_call_make_as_people_do():
    assert {name: _targets(job) for name, job in JOBS.items()} == {"test": ["check", "test"], "slurm": ["test-slurm"]}
    targets = re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert {target for job in JOBS.values() for target in _targets(job)} <= set(targets)


def test_every_python_that_the_package_takes_is_tried():
    low, above = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups())
    assert JOBS["test"]["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(low, above)]
    given = {step["with"]["python-version"] for step in STEPS if "setup-python" in step.get("uses", "")}
    assert given == {"${{ matrix.python }}", f"3.{low}"}


def test_packages_for_slurm_are_those_of_the_other_script():
    (packages,) = re.findall(r"packages=\((.+)\)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    (install,) = (step["run"] for step in JOBS["slurm"]["steps"] if "apt-get install" in step.get("run", ""))
    assert install.endswith(packages.removeprefix("chromium "))  # a browser is on those machines


def test_actions_are_pinned_by_their_major_version():
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in used)
