"""Messages are one line with four parts, and have a machine-readable form."""

from __future__ import annotations

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
    error = errors.GeometryError("a.nii", found="x", expected="y", remedy="z")
    assert error.record() == {
        "error": "GeometryError", "subject": "a.nii", "found": "x", "expected": "y", "remedy": "z",
    }  # fmt: skip


def test_geometry_errors_are_input_errors():
    assert issubclass(errors.GeometryError, errors.InputError)
    assert issubclass(errors.OutputError, OSError)
