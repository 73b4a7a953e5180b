"""Messages are one line with four parts, and have a machine-readable form."""

from __future__ import annotations

import json

import pytest

from synthseg_core import errors

FAMILY = [
    errors.UsageError, errors.InputError, errors.GeometryError, errors.ModelError, errors.WeightsError,
    errors.FetchError, errors.OutputError,
]  # fmt: skip


@pytest.mark.parametrize("kind", FAMILY)
def test_one_line_with_all_parts(kind):
    error = kind("scan.nii", found="two\nlines", expected="one", remedy="join them")
    assert str(error) == "scan.nii: found two lines; expected one; join them"
    assert isinstance(error, errors.SynthSegError)


def test_record_names_the_class_and_the_parts():
    failure = errors.Failure.of(errors.GeometryError("a.nii", found="x", expected="y", remedy="z"), subject="unused")
    assert failure.record() == {
        "error": "GeometryError", "subject": "a.nii", "found": "x", "expected": "y", "remedy": "z",
    }  # fmt: skip
    assert failure.known


def test_record_of_an_unknown_error_says_what_it_is_about():
    failure = errors.Failure.of(RuntimeError("out of\n luck"), scan="a.nii", subject="b.nii")
    assert failure.record() == {
        "scan": "a.nii", "error": "RuntimeError", "subject": "b.nii", "found": "out of\n luck", "expected": "",
        "remedy": "",
    }  # fmt: skip
    assert not failure.known
    assert failure.reason == "out of luck"
    assert failure.line() == "a.nii: unknown error RuntimeError: out of luck"


@pytest.mark.parametrize(
    "error", [errors.InputError("a", found="b\nc", expected="d", remedy="e"), MemoryError(), KeyError("k")]
)
def test_record_can_be_read_back(error):
    failure = errors.Failure.of(error, scan="s", subject="t")
    assert errors.Failure.from_record(failure.record()) == failure


def test_records_of_older_logs_are_read():
    failure = errors.Failure.from_record({"error": "RuntimeError", "subject": "a.nii", "message": "a\nbug"})
    assert (failure.error, failure.subject, failure.reason, failure.known) == ("RuntimeError", "a.nii", "a bug", False)
    assert errors.Failure.from_record({"message": "a bug"}).error == "error"


def test_a_failure_about_another_file_names_both():
    error = errors.OutputError("/out/a.nii.gz", found="a full disk", expected="space", remedy="free some")
    assert errors.Failure.of(error, scan="a.nii.gz").line() == (
        "a.nii.gz: /out/a.nii.gz: found a full disk; expected space; free some"
    )


def test_geometry_errors_are_input_errors():
    assert issubclass(errors.GeometryError, errors.InputError)
    assert issubclass(errors.OutputError, OSError)


@pytest.mark.parametrize(
    ("error", "found", "lasting"),
    [
        ("InputError", "an empty file", True),
        ("InputError", "too little memory for this scan", False),
        ("OutputError", "no space left on device", False),
        ("FetchError", "no connection", False),
    ],
)
def test_only_what_another_attempt_cannot_help_is_lasting(tmp_path, error, found, lasting):
    failure = errors.Failure(error, "a.nii", found, "a scan", "check it")
    (tmp_path / "log.json").write_text(json.dumps(failure.record()) + "\n")
    assert errors.Failure.in_log(tmp_path / "log.json") == failure
    assert failure.lasting is lasting
    assert failure.reason in str(failure.error_again())
    assert not errors.Failure("KeyError", "a.nii", "'x'").lasting
