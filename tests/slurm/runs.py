"""Runs of the front door on the SLURM of the tests, from shipped profiles with a few keys changed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.trees import contents, make_tree
from tests.slurm.cluster import Cluster
from tests.workflow.runs import ENVIRONMENT, REPOSITORY, app, run

SCANS = ("sub-01", "sub-02", "sub-03")
# Questions to SLURM as often as it can bear here, not as seldom as a cluster wants.
QUICK = {
    "slurm-init-seconds-before-status-checks": 1,
    "seconds-between-status-checks": 1,
    "default-resources": {"slurm_partition": "cpu"},
    "latency-wait": 5,
}


@dataclass(frozen=True)
class Site:
    """A folder with a dataset of phantoms and a profile, on a cluster."""

    cluster: Cluster
    folder: Path
    profile: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{self.cluster.environment['PATH']}"
        return {"PATH": path, "SLURM_CONF": self.cluster.environment["SLURM_CONF"]}

    def command(self, *words: str | Path) -> list[str]:
        fixed = ("--skip-bids-validation", "--profile", self.profile)
        return app(self.folder / "bids", self.out, *fixed, *words)

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return run(self.command(*words), self.folder, **self.environment)

    @contextmanager
    def running(self, *words: str) -> Generator[subprocess.Popen[bytes], None, None]:
        """Run in the background; whatever is left at the end is killed."""
        environment = {**ENVIRONMENT, **self.environment}
        with (
            (self.folder / "background.log").open("wb") as log,
            subprocess.Popen(
                self.command(*words), cwd=self.folder, env=environment, stdout=log, stderr=subprocess.STDOUT
            ) as process,
        ):
            try:
                yield process
            finally:
                kill_family(process.pid)

    def results(self) -> dict[str, bytes]:
        """Every file of the derivatives but logs, with times and host facts, and the work folder."""
        return contents(self.out, without=(".work", ".logs"))

    def segmented(self) -> dict[str, int]:
        """Scans that are segmented, and when that was."""
        return {path.name[:6]: path.stat().st_mtime_ns for path in self.out.rglob("sub-*_seg-synthseg_volumes.tsv")}


def make_site(cluster: Cluster, folder: Path, profile: str, changes: Mapping[str, Mapping[str, Any]]) -> Site:
    """Make a dataset of three phantoms, and a shipped profile with changes in its files."""
    bids = make_tree(folder / "bids", ["dataset_description.json"], b'{"Name": "x", "BIDSVersion": "1.11.1"}')
    for seed, name in enumerate(SCANS):
        write_nifti(
            bids / name / "anat" / f"{name}_T1w.nii.gz", phantom((2.0, 2.0, 2.5), shape=(17, 21, 15), seed=seed)
        )
    own = folder / "profile"
    own.mkdir()
    for path in (REPOSITORY / "profiles" / profile).glob("*.yaml"):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        (own / path.name).write_text(yaml.safe_dump({**values, **changes.get(path.name, {})}), encoding="utf-8")
    return Site(cluster, folder, own)


def break_scan(site: Site, name: str) -> None:
    """Make a scan unreadable."""
    (site.folder / "bids" / name / "anat" / f"{name}_T1w.nii.gz").write_bytes(b"")


def wait_for(condition: Callable[[], Any], what: str, process: subprocess.Popen[bytes]) -> Any:
    """Return the first answer that is true; fail if the process ends before, or after two minutes."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if answer := condition():
            return answer
        time.sleep(0.05)
    pytest.fail(f"{what} did not come; status {process.poll()}")


def kill_family(pid: int) -> None:
    """Kill a process and its descendants at once, the eldest first."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
