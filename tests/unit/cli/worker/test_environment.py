"""What must agree between client and worker."""

from __future__ import annotations

import os

from synthseg_core.cli.worker.environment import difference, is_per_scan, own_environment


def test_differences_that_matter(monkeypatch):
    own = own_environment()
    assert difference(own, own_environment(), threads_given=False) is None
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    monkeypatch.setenv("SYNTHSEG_WORKER", "/a/socket")
    assert difference(own, own_environment(), threads_given=True) is None
    assert difference(own, own_environment(), threads_given=False) == "threads"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert difference(own, own_environment(), threads_given=True) == "environment"
    assert difference(own, {}, threads_given=True) == "working folder"


def test_folder_and_umask_must_agree(tmp_path, monkeypatch):
    own = own_environment()
    former = os.umask(0o077)
    try:
        assert difference(own, own_environment(), threads_given=True) == "umask"
    finally:
        os.umask(former)
    monkeypatch.chdir(tmp_path)
    assert difference(own, own_environment(), threads_given=True) == "working folder"


def test_of_the_translations_only_that_of_one_scan_is_for_a_worker():
    assert is_per_scan(["segment", "scan.nii.gz"])
    assert is_per_scan(["translate", "apply", "scan.nii.gz"])
    assert not any(map(is_per_scan, ([], ["translate"], ["translate", "train"], ["group", "out"])))
