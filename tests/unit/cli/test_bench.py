"""``synthseg bench``: what is measured, kept, compared and written into a page; what is refused before it runs."""

from __future__ import annotations

import json
import sys

import pytest

from synthseg_core.cli.main import main
from tests.phantoms.scans import phantom, write_nifti

FLAGS = ["--with", "--model tiny-random", "--with", "--model tiny-random --fast"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Measure a phantom once with two sets of flags beside a yardstick that copies the scan."""
    folder = tmp_path_factory.mktemp("bench")
    scan = write_nifti(folder / "scan.nii.gz", phantom(shape=(30, 34, 28)))
    page = folder / "page.md"
    page.write_text("before\n<!-- synthseg bench: begin -->\nold\n<!-- synthseg bench: end -->\nafter\n")
    copy = f"{sys.executable} -c 'import shutil, sys; shutil.copy(*sys.argv[1:])' {{scan}} {{out}}"
    words = ["--repeat", "2", "--threads", "1", "--yardstick", copy, "--history", str(folder / "history.json")]
    assert main(["bench", str(scan), *FLAGS, *words, "--page", str(page)]) == 0
    return folder


@pytest.fixture
def entry(measured):
    return json.loads((measured / "history.json").read_text())["results"][-1]


def test_every_set_is_measured_as_often_as_asked(entry):
    assert [one["name"] for one in entry["series"]] == [*FLAGS[1::2], "yardstick"]
    assert [len(one["runs"]) for one in entry["series"]] == [2, 2, 2]
    assert entry["threads"] == 1


def test_times_and_memory_are_those_of_the_process(entry):
    default, fast, yardstick = (one["runs"] for one in entry["series"])
    for run in (*default, *fast):
        assert 0 < sum(run["phases_s"].values()) < run["wall_s"] < 120
        assert {"load", "read", "conform", "network", "clean-up", "write"} <= {*run["phases_s"]}
        assert run["cpu_s"] > 0.2
        assert 1e8 < run["peak_bytes"] < 2e9
    assert all(run["cpu_s"] is None and run["wall_s"] < default[0]["wall_s"] for run in yardstick)


def test_machine_and_versions_are_kept(entry):
    assert {"processor", "cores", "memory_gib", "python", "torch", "synthseg"} == {*entry["machine"]}
    assert entry["machine"]["memory_gib"] > 1


def test_page_has_the_table_between_its_marks(measured):
    text = (measured / "page.md").read_text()
    assert text.startswith("before\n<!-- synthseg bench: begin -->\n")
    assert text.endswith("\n<!-- synthseg bench: end -->\nafter\n")
    assert "old" not in text
    assert "| `--model tiny-random --fast` |" in text
    assert "yardstick / this" in text


def test_history_grows_and_the_new_result_is_compared_with_the_last(measured, capsys):
    history = measured / "history.json"
    words = ["--with", "--model tiny-random", "--repeat", "1", "--threads", "1", "--history", str(history)]
    assert main(["bench", str(measured / "scan.nii.gz"), *words, "--compare", str(history)]) == 0
    said = capsys.readouterr().out
    assert "| `--model tiny-random` |" in said.partition("against")[2]
    assert len(json.loads(history.read_text())["results"]) == 2


def test_two_files_are_compared_by_medians(tmp_path, capsys):
    def written(name, walls, torch="2.13.0"):
        runs = [{"wall_s": wall, "cpu_s": 2 * wall, "peak_bytes": 2**30} for wall in walls]
        entry = {"series": [{"name": "a", "scans": 1, "runs": runs}], "machine": {"torch": torch}}
        (tmp_path / name).write_text(json.dumps({"results": [{"series": [], "machine": {}}, entry]}))
        return str(tmp_path / name)

    files = written("old.json", (8.0, 100.0, 6.0)), written("new.json", (4.0, 2.0, 9.0), "2.14.0")
    assert main(["bench", "--compare", *files]) == 0
    said = capsys.readouterr().out
    assert "| `a` | 2.00 | 2.00 | 1.00 |" in said
    assert "other machine or versions: torch: 2.13.0 before, 2.14.0 now" in said


def test_scans_of_a_folder_are_counted(tmp_path, capsys):
    for number in range(3):
        write_nifti(tmp_path / "scans" / f"{number}.nii.gz", phantom(shape=(20, 24, 18), seed=number))
    words = ["--with", "--model tiny-random --fast", "--repeat", "1", "--history", str(tmp_path / "h.json")]
    assert main(["bench", str(tmp_path / "scans"), *words]) == 0
    (series,) = json.loads((tmp_path / "h.json").read_text())["results"][0]["series"]
    assert series["scans"] == 3
    rate = float(capsys.readouterr().out.splitlines()[-1].split("|")[5])
    assert rate == pytest.approx(180 / series["runs"][0]["wall_s"], abs=0.1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["absent.nii.gz"], "absent.nii.gz: found nothing there; expected a scan or a folder"),
        (["SCAN", "--repeat", "0"], "--repeat: found 0; expected 1 or more"),
        (["SCAN", "--page", "PAGE"], "found no marks; expected <!-- synthseg bench: begin -->"),
        (["SCAN", "--page", "absent.md"], "absent.md: found no such file; expected a page with two marks in it"),
        (["SCAN", "--compare", "PAGE"], "expected"),
        ([], "SCAN: found none; expected a scan to segment, or --compare OLD NEW"),
        (["--compare", "PAGE"], "SCAN: found none"),
        (["SCAN", "--with", "--model absent"], "found exit status 2: synthseg predict: error: absent: found neither"),
        (["SCAN", "--yardstick", "false", "--with", "--model tiny-random"], "benchmark: false: found exit status 1"),
    ],
)
def test_what_cannot_be_measured_is_one_line(measured, tmp_path, capsys, words, said):
    (tmp_path / "page.md").write_text("no marks")
    known = {"SCAN": str(measured / "scan.nii.gz"), "PAGE": str(tmp_path / "page.md")}
    assert main(["bench", *(known.get(word, word) for word in words)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
