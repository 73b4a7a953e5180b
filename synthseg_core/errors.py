"""Exception family: every message names what it is about, what was found, what was expected, and what to do."""

from __future__ import annotations

from dataclasses import dataclass


class SynthSegError(Exception):
    """Base of all known errors; the command line prints one line and exits with status 2.

    Parameters
    ----------
    subject
        The file, option or model that the message is about.
    found, expected, remedy
        The three remaining parts of the sentence, without a full stop.
    """

    def __init__(self, subject: object, *, found: str, expected: str, remedy: str) -> None:
        self.subject = str(subject)
        self.found = found
        self.expected = expected
        self.remedy = remedy
        super().__init__(" ".join(f"{self.subject}: found {found}; expected {expected}; {remedy}".split()))

    def record(self) -> dict[str, str]:
        """Return the machine-readable form used in failure tables and job logs."""
        return {
            "error": type(self).__name__,
            "subject": self.subject,
            "found": self.found,
            "expected": self.expected,
            "remedy": self.remedy,
        }


class UsageError(SynthSegError, ValueError):
    """An option or configuration that cannot be honoured."""


class InputError(SynthSegError, ValueError):
    """A file that is missing, unreadable, or not a scan."""


class GeometryError(InputError):
    """An affine, voxel size or shape that describes no usable space."""


class ModelError(SynthSegError, ValueError):
    """A model card, label table or request that contradicts itself."""


class WeightsError(ModelError):
    """Weights that are missing, damaged, or made for another network."""


class TrainingError(SynthSegError, ArithmeticError):
    """A training that cannot go on, such as one whose loss is no number."""


class FetchError(SynthSegError, OSError):
    """A download that no mirror could serve."""


class OutputError(SynthSegError, OSError):
    """A result that could not be written."""


@dataclass(frozen=True)
class Failure:
    """Why a scan has no result.

    Parameters
    ----------
    scan
        The scan as the user named it.
    error
        Class of the error; ours for known ones.
    subject, found, expected, remedy
        The parts of a known error's message; for an unknown one only ``found`` is filled.
    """

    scan: str
    error: str
    subject: str
    found: str
    expected: str
    remedy: str

    @classmethod
    def of(cls, scan: str, error: Exception) -> Failure:
        """Describe an error, without line breaks."""
        if isinstance(error, SynthSegError):
            parts = error.record()
        else:
            parts = {"error": type(error).__name__, "subject": "", "found": str(error), "expected": "", "remedy": ""}
        return cls(scan=scan, **{name: " ".join(text.split()) for name, text in parts.items()})

    def line(self) -> str:
        """Return the failure as one line for a person."""
        if not self.remedy:
            return f"{self.scan}: unknown error {self.error}: {self.found}"
        reason = f"found {self.found}; expected {self.expected}; {self.remedy}"
        return f"{self.scan}: {reason}" if self.subject in ("", self.scan) else f"{self.scan}: {self.subject}: {reason}"
