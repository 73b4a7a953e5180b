"""Fixtures: reference data found by environment variable, reference weights made once a session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C; some test it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Workers side by side share the cores; threads of one would wait for those of the others, with torch even longer than
# they compute. Before torch is imported, and for all that tests start.
if (_workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // _workers, 1)))


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory):
    """Leave the cache of the user who runs the tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set")
    path = Path(value).resolve()
    if not path.is_dir():
        pytest.fail(f"{variable} is set to {value}, which is not a folder")
    return path


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder with goldens and the script that makes weights."""
    return _folder("SYNTHSEG_REFERENCE")


@pytest.fixture(scope="session")
def goldens(reference: Path) -> Path:
    """Stored results of the reference implementation."""
    return reference / "goldens"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder with real scans and label maps."""
    return _folder("SYNTHSEG_TEST_DATA")


@pytest.fixture(scope="session")
def reference_weights(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the five reference weight files (random, official layout), made and checked once."""
    folder = tmp_path_factory.mktemp("reference_weights")
    subprocess.run(
        [sys.executable, str(reference / "make_reference_weights.py"), str(folder), "--check"],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A golden that skips although the data are there is a failure: it proves nothing."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and "golden" in item.keywords and os.environ.get("SYNTHSEG_REFERENCE"):
        report.outcome = "failed"
        report.longrepr = f"golden skipped although SYNTHSEG_REFERENCE is set: {report.longrepr}"


def pytest_terminal_summary(terminalreporter):
    """Say how many goldens ran."""
    passed = sum("golden" in r.keywords for r in terminalreporter.stats.get("passed", []))
    failed = sum("golden" in r.keywords for r in terminalreporter.stats.get("failed", []))
    skipped = sum("golden" in r.keywords for r in terminalreporter.stats.get("skipped", []))
    terminalreporter.write_line(f"goldens: {passed} passed, {failed} failed, {skipped} skipped")
