"""What must agree between client and worker."""

from __future__ import annotations

from synthseg_core.cli.worker.environment import difference, surroundings


def test_differences_that_matter(monkeypatch):
    own = surroundings()
    assert difference(own, surroundings(), threads_given=False) is None
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    monkeypatch.setenv("SYNTHSEG_WORKER", "/a/socket")
    assert difference(own, surroundings(), threads_given=True) is None
    assert difference(own, surroundings(), threads_given=False) == "threads"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert difference(own, surroundings(), threads_given=True) == "environment"
    assert difference(own, {}, threads_given=True) == "code"
