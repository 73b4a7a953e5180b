"""Exception family: every message names what it is about, what was found, what was expected, and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import cast

# A log of a job can be long where libraries talk; its last line is near its end.
_TAIL_BYTES = 65536
# Errors that may be over at the next attempt: of disks and networks.
_PASSING = ("OutputError", "FetchError")


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
    """Why a job has no result: the one record of it, in logs (``--log-json``), failure tables and group tables.

    Parameters
    ----------
    scan
        The scan as the user named it; empty in logs, whose name says it.
    error
        Class of the error; ours for known ones.
    subject, found, expected, remedy
        The parts of a known error's message; an unknown one has no ``expected`` and no ``remedy``.
    """

    scan: str = field(default="", kw_only=True)
    error: str
    subject: str = ""
    found: str = ""
    expected: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, error: Exception, *, scan: str = "", subject: str = "") -> Failure:
        """Describe an error; ``subject`` is for those that name none."""
        if isinstance(error, SynthSegError):
            parts = {name: getattr(error, name) for name in ("subject", "found", "expected", "remedy")}
        else:
            parts = {"subject": subject, "found": str(error)}
        return cls(type(error).__name__, **parts, scan=scan)

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> Failure:
        """Read :meth:`record` back; older logs call what was found of an unknown error ``message``."""
        parts = {"error": "error", "found": record.get("message", ""), **record}
        return cls(**{one.name: str(parts.get(one.name, "")) for one in fields(cls)})

    @classmethod
    def in_log(cls, path: Path) -> Failure | None:
        """Return the failure that a job left in its log for machines, the last JSON line; ``None`` if it left none."""
        for line in reversed(last_lines(path)):
            try:
                record: object = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(record, dict):
                return cls.from_record(cast(dict[str, object], record)) if record else None
        return None

    def record(self) -> dict[str, str]:
        """Return the form for machines."""
        return {name: text for name, text in vars(self).items() if name != "scan" or text}

    @property
    def known(self) -> bool:
        """Whether the error is one of ours, which tell what to do."""
        return bool(self.remedy)

    @property
    def lasting(self) -> bool:
        """Whether another attempt would end in the same way: with more memory, or another disk, it may not."""
        return self.known and self.error not in _PASSING and "memory" not in self.found

    def error_again(self) -> SynthSegError:
        """Return a known failure as the error that it was, for a second attempt."""
        return SynthSegError(self.subject, found=self.found, expected=self.expected, remedy=self.remedy)

    @property
    def reason(self) -> str:
        """What was found, and for a known error what was expected and what to do; without line breaks."""
        text = f"found {self.found}; expected {self.expected}; {self.remedy}" if self.known else self.found
        return " ".join(text.split())

    def line(self) -> str:
        """Return the failure as one line for a person."""
        scan, subject = (" ".join(text.split()) for text in (self.scan, self.subject))
        if not self.known:
            return f"{scan}: unknown error {self.error}: {self.reason}"
        return f"{scan}: {self.reason}" if subject in ("", scan) else f"{scan}: {subject}: {self.reason}"


def last_lines(path: Path) -> list[str]:
    """Return the last lines of a log; none if it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace").split("\n")
    except OSError:
        return []
