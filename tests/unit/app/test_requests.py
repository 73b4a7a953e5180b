"""The file that says what a job is asked for: what it holds, how old it is, and when a scan is read for it."""

import os
import time

import pytest

from synthseg_core.app.requests import Job, Request, date_back, judge, remove_broken_link, seen_scan, settle
from synthseg_core.reports.origins import Basis
from synthseg_core.system.file_identity import SeenFile, sha256_of

ANCIENT_NS = 86_400 * 10**9


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.nii"
    path.write_bytes(b"scan")
    return path


def job(folder, **settings):
    outputs = [folder / "a", folder / "b"]
    return Job(folder / "requests" / "x.json", str(folder / "scan.nii"), settings, {}, outputs, [], [], Basis())


def test_what_is_written_is_read(tmp_path, scan):
    seen = SeenFile.at(str(scan))
    request = Request({"fast": True}, {"fast": False}, seen, 7)
    (tmp_path / "x.json").write_text(request.text())
    assert Request.read(tmp_path / "x.json") == request


@pytest.mark.parametrize("text", [None, "", "[1]", '{"settings": ', "{}"])
def test_a_torn_request_counts_as_none(tmp_path, text):
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    assert Request.read(tmp_path / "x.json") is None


def test_a_request_is_older_than_everything_until_other_settings_are_asked_for(tmp_path, scan):
    asked = job(tmp_path, size=1)
    settle(asked, judge(asked))
    for path in asked.outputs:
        path.write_bytes(b"x")
    assert asked.request.stat().st_mtime_ns == ANCIENT_NS
    assert judge(asked).reason == ""
    other = job(tmp_path, size=2)
    assert judge(other).reason == "size was 1, is 2"
    settle(other, judge(other))
    newer = other.request.stat().st_mtime_ns - min(path.stat().st_mtime_ns for path in other.outputs)
    assert 0 < newer < 10**9  # by the clock of the results, whatever that of this computer says
    settle(asked, judge(asked))
    assert asked.request.stat().st_mtime_ns == ANCIENT_NS


def test_a_scan_is_read_only_if_it_may_be_another(scan):
    text, here = str(scan), SeenFile.at(str(scan))
    later = time.time_ns() + 10**9
    assert seen_scan(text, None, [], 0) == here  # no results yet
    assert seen_scan(text, here, ["a"], later).sha256 == "a"  # seen before there were results
    assert seen_scan(text, None, ["a"], later).sha256 == "a"  # older than they are
    assert seen_scan(text, None, ["a"], 1).sha256 == sha256_of(scan)
    os.utime(scan, ns=(5, 5))
    assert seen_scan(text, here, ["a"], later).sha256 == sha256_of(scan)
    scan.unlink()
    assert seen_scan(text, here, ["a"], later) is None


def test_a_new_input_is_no_newer_than_it_has_to_be(tmp_path, scan):
    date_back(scan, [tmp_path / "gone"])
    assert scan.stat().st_mtime_ns == ANCIENT_NS
    (tmp_path / "a").write_bytes(b"")
    os.utime(tmp_path / "a", ns=(10**18, 10**18))
    date_back(scan, [tmp_path / "a", tmp_path / "gone"])
    assert 0 < scan.stat().st_mtime_ns - 10**18 < 10**9


def test_only_links_to_nowhere_are_removed(tmp_path, scan):
    (tmp_path / "link").symlink_to(scan)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "broken").symlink_to("gone")
    for name in ("scan.nii", "link", "loop", "broken", "absent"):
        remove_broken_link(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"scan.nii", "link"}
