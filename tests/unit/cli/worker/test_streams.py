"""Parts of the worker without a worker: models that stay loaded, threads of a job, and its streams."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading

import pytest
import torch

from synthseg_core.cli.worker.job import Gate, JobTimer
from synthseg_core.cli.worker.server import _settle_threads
from synthseg_core.models.loading import load_models, shelf
from synthseg_core.models.registry import load_card
from synthseg_core.system.atomic import write_text
from synthseg_core.system.timing import collected_here, current, give_way
from tests.phantoms.models import TINY


class GoneError(BaseException):
    """As raised for a client that has gone."""


def gone():
    raise GoneError


# Turns


def test_job_without_a_client_writes_nothing(tmp_path):
    (tmp_path / "old").write_text("old")
    with collected_here(JobTimer(Gate(1, frozenset()), gone)):
        for name in ("old", "new"):
            with pytest.raises(GoneError):
                write_text(tmp_path / name, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "old"


def test_collector_belongs_to_its_thread():
    own = JobTimer(Gate(1, frozenset()), gone)
    found = []
    with collected_here(own):
        thread = threading.Thread(target=lambda: found.append(current()))
        thread.start()
        thread.join()
        assert current() is own
    assert found != [own]
    give_way()


# Models


@pytest.fixture
def keeping(monkeypatch):
    """Models are kept during the test."""
    monkeypatch.setattr(shelf, "capacity", 2)
    monkeypatch.setattr(shelf, "_models", [])
    monkeypatch.setattr(shelf, "_checked", {})


def test_nothing_is_kept_by_default(tmp_path):
    card = load_card(TINY.write(tmp_path))
    assert load_models(card).segmentation is not load_models(card).segmentation


def test_same_model_is_loaded_once(keeping, tmp_path):
    path = TINY.write(tmp_path)
    first = load_models(load_card(path)).segmentation
    assert load_models(load_card(path)).segmentation is first


def test_changed_weights_or_card_are_loaded_again(keeping, tmp_path):
    path = TINY.write(tmp_path)
    first = load_models(load_card(path)).segmentation
    other = tmp_path / "other"
    shutil.copytree(tmp_path, other, ignore=shutil.ignore_patterns("other"))
    (tmp_path / "tiny.yaml").write_text(
        (tmp_path / "tiny.yaml").read_text().replace("voxel_size_mm: 1.0", "voxel_size_mm: 2.0")
    )
    assert load_models(load_card(path)).segmentation.card.grid.voxel_size_mm == 2.0
    weights = tmp_path / "tiny.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    changed = load_models(load_card(path)).segmentation
    assert changed.weights.sha256 != first.weights.sha256
    assert load_models(load_card(other / "tiny.yaml")).segmentation.weights.sha256 == first.weights.sha256


def test_least_recently_used_model_goes(keeping, tmp_path):
    paths = [TINY.write(tmp_path / name) for name in "abc"]
    a, b = (load_models(load_card(path)).segmentation for path in paths[:2])
    assert load_models(load_card(paths[0])).segmentation is a
    load_models(load_card(paths[2]))
    assert load_models(load_card(paths[0])).segmentation is a
    assert load_models(load_card(paths[1])).segmentation is not b


# Threads, folders, streams


def test_every_job_has_its_own_number_of_threads():
    found = {}

    def job(count, ready, go):
        _settle_threads(3)
        default = torch.get_num_threads()
        torch.set_num_threads(count)
        ready.set()
        go.wait()
        found[count] = default, torch.get_num_threads()

    before = torch.get_num_threads()
    go = threading.Event()
    threads = []
    for count in (2, 1, 4):
        ready = threading.Event()
        threads.append(threading.Thread(target=job, args=(count, ready, go)))
        threads[-1].start()
        ready.wait()
    go.set()
    for thread in threads:
        thread.join()
    torch.set_num_threads(before)
    assert found == {count: (3, count) for count in (1, 2, 4)}


STREAMS = """
import os, sys, threading, warnings
from synthseg_core.cli.worker.streams import JobStreams

streams = JobStreams()
streams.install()

def job(number):
    out, err = (os.open(f"{number}{kind}", os.O_CREAT | os.O_WRONLY) for kind in ("out", "err"))
    with streams.of_client([out, err], [("utf-8", "strict"), ("ascii", "backslashreplace")]):
        barrier.wait()
        for _ in range(3):
            print("täst", number)
            warnings.warn("careful")
        barrier.wait()

barrier = threading.Barrier(2)
threads = [threading.Thread(target=job, args=(number,)) for number in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("own")
"""


def test_streams_and_warnings_of_two_jobs(tmp_path):
    done = subprocess.run([sys.executable, "-c", STREAMS], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("own\n", "")
    for number in range(2):
        assert (tmp_path / f"{number}out").read_text("utf-8") == f"täst {number}\n" * 3
        assert (tmp_path / f"{number}err").read_text().count("UserWarning: careful") == 1
