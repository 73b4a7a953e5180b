"""A worker for the tests of a module, and scans for its jobs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.trees import contents
from tests.unit.cli.worker.worker_process import PROGRAM, run, segment, worker


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The working folder, with scans; the names of sockets must be short, so it is not below pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="synthseg-test-"))
    for seed, name in enumerate(("one", "two")):
        write_nifti(folder / f"{name}.nii.gz", phantom((2.0, 2.0, 2.5), shape=(17, 21, 15), seed=seed))
    (folder / "empty.nii.gz").write_bytes(b"")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def shared(home):
    """The socket of a worker for all tests that leave it alive."""
    with worker(home / "shared.sock"):
        yield home / "shared.sock"


@pytest.fixture
def copy(home, tmp_path):
    """A folder of the test's own with the scans."""
    return Path(shutil.copytree(home, tmp_path / "scans", ignore=shutil.ignore_patterns("*.sock", "*.log")))


@pytest.fixture(scope="module")
def expected(home, tmp_path_factory):
    """What a process of its own makes of the first scan, and says of it where its folder is called FOLDER."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copy(home / "one.nii.gz", folder)
    done = run([*PROGRAM, *segment(folder / "one.nii.gz")], home)
    assert done.returncode == 0, done.stderr
    return contents(folder), done.stderr.replace(str(folder), "FOLDER")
