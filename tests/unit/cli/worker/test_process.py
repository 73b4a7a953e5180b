"""The process of the worker: its folder and its end."""

from __future__ import annotations

import sys
import threading

import pytest

from synthseg_core.cli.worker.process import Place


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads share their working folder")
def test_thread_goes_to_another_folder_alone(tmp_path):
    here = Place.here()
    found = []

    def job():
        found.append(Place(str(tmp_path), 0o077).enter(here))
        found.append(Place.here())

    thread = threading.Thread(target=job)
    thread.start()
    thread.join()
    assert found == [None, Place(str(tmp_path), 0o077)]
    assert Place.here() == here
