"""Whether the results of a job are what is asked for, decided by what they say of themselves, never by the scan's time.

Snakemake makes an output again if an input is newer. Times of scans tell nothing: files are moved, copied with their
times, exchanged, and clocks differ. So no scan is an input. Each job has a small file of its own in their place, its
request, and here is decided how old that file is: older than everything as long as the results are those of this scan
and these settings, just newer than the oldest of them when they are not. It says what was asked for, and how the
scan's file looked, so that the content is read again only when the file is not the same.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthseg_core.app.stage_options import changes
from synthseg_core.reports.origins import Basis, SidecarFacts, read_sidecar
from synthseg_core.system.atomic import output_error
from synthseg_core.system.file_identity import SeenFile
from synthseg_core.system.paths import is_broken_link
from synthseg_core.system.settings import known_mapping
from synthseg_core.system.words import counted

NOT_MADE = "not made yet"
# Older than any result: the second day of 1970.
_ANCIENT_NS = 86_400 * 10**9
# Newer than a result by this much: more than file systems round away.
_NEWER_NS = 10**6


@dataclass(frozen=True)
class Job:
    """One job of the workflow over one scan.

    Parameters
    ----------
    request
        Its input file, which says what is asked for.
    scan
        The scan's file; empty for jobs that are made from a segmentation alone.
    settings
        What decides the results beside scan and segmentation, as plain values.
    former
        These settings as an earlier version recorded them, for results without a request; empty: unknown.
    outputs
        Files that it makes.
    copies
        Those of them without which the results are complete.
    sidecars
        Those of them that say what they were made from, each with its stage.
    basis
        The segmentation that is asked for, or that the results have to be made from.
    """

    request: Path
    scan: str
    settings: Mapping[str, Any]
    former: Mapping[str, Any]
    outputs: Sequence[Path]
    copies: Collection[Path]
    sidecars: Sequence[tuple[Path, str]]
    basis: Basis


@dataclass(frozen=True)
class Request:
    """What the file of a job says.

    Parameters
    ----------
    settings
        As in :class:`Job`.
    made
        Settings that results were made with which are out of date because of others; empty: none are.
    scan
        The scan's file when it was last looked at; ``None``: not there, or not needed.
    asked_ns
        When results were last found out of date: no two requests to make something again are alike.
    """

    settings: Mapping[str, Any]
    made: Mapping[str, Any]
    scan: SeenFile | None
    asked_ns: int = 0

    @classmethod
    def read(cls, path: Path) -> Request | None:
        """Read a request; ``None`` where there is none of use."""
        content = known_mapping(path)
        if "settings" not in content:
            return None
        scan = SeenFile.from_content(content.get("scan"))
        return cls(content["settings"], content.get("made") or {}, scan, content.get("asked_ns", 0))

    def text(self) -> str:
        """Return the content of the file."""
        scan = self.scan.content() if self.scan else None
        content = {"settings": self.settings, "made": self.made, "scan": scan, "asked_ns": self.asked_ns}
        return json.dumps(content, indent=1) + "\n"


@dataclass(frozen=True)
class Verdict:
    """Whether a job has to run.

    Parameters
    ----------
    missing
        Outputs that are not there, links to nowhere included.
    outdated
        How the results differ from what is asked for; empty where they are all there and do not.
    oldest_ns
        Time of the oldest output; 0: there is none.
    request
        What the file of the job has to say.
    settled
        Whether it says so already, and Snakemake will come to the same verdict.
    """

    missing: tuple[Path, ...]
    outdated: str
    oldest_ns: int
    request: Request
    settled: bool = False

    @property
    def reason(self) -> str:
        """Why the job runs; empty if it does not."""
        if not self.missing:
            return self.outdated
        if not self.oldest_ns:
            return NOT_MADE
        first = next((path for path in self.missing if path.is_symlink()), self.missing[0])
        more = f" and {counted(len(self.missing) - 1, 'more file')}" if len(self.missing) > 1 else ""
        name = first.name.rpartition("_space-")[2].partition("_")[2]
        return f"{name}{more}: {'a link to a file that is not there' if first.is_symlink() else 'missing'}"


def judge(job: Job) -> Verdict:
    """Look at the results of a job, at what they say of themselves and at the scan; nothing is written."""
    times = {path: _time_ns(path) for path in job.outputs}
    missing = tuple(path for path, time_ns in times.items() if not time_ns and path not in job.copies)
    oldest_ns = min((time_ns for time_ns in times.values() if time_ns), default=0)
    known, known_ns = Request.read(job.request), _time_ns(job.request)
    told = [read_sidecar(path, stage) for path, stage in job.sidecars if times.get(path)]
    recorded = [facts.basis.scan_sha256 for facts in told if facts.basis.scan_sha256]
    seen = seen_scan(job.scan, known.scan if known else None, recorded, oldest_ns) if job.scan else None
    basis = replace(job.basis, scan_sha256=seen.sha256 or None) if seen else job.basis
    made = job.former if known is None else known.made if known_ns > oldest_ns else known.settings
    outdated = "" if missing else _outdated(job, told, basis, made)
    request = Request(job.settings, made if outdated else {}, seen, known.asked_ns if known else 0)
    settled = request == known and (known_ns > oldest_ns if outdated else known_ns == _ANCIENT_NS)
    plain = max(times.values(), default=0) <= time.time_ns() and (
        all(times.values()) or not any(path.is_symlink() for path, time_ns in times.items() if not time_ns)
    )
    return Verdict(missing, outdated, oldest_ns, request, settled and plain)


def settle(job: Job, verdict: Verdict) -> None:
    """Write the file of a job, and see to it that Snakemake comes to the same verdict.

    Links to nowhere among the outputs are removed, for Snakemake would stop at the first. Results from the future are
    dated now: what is made from them would be older than they are.

    Raises
    ------
    OutputError
        If the work folder cannot be written to.
    """
    if verdict.settled:
        return
    for path in job.outputs:
        remove_broken_link(path)
    oldest_ns = min(filter(None, map(_not_from_the_future, job.outputs)), default=0)
    former_ns = _time_ns(job.request)
    if not verdict.outdated:
        request, time_ns = verdict.request, _ANCIENT_NS
    elif former_ns > oldest_ns and _without_scan(Request.read(job.request)) == _without_scan(verdict.request):
        request, time_ns = verdict.request, former_ns  # asked for already
    else:
        request, time_ns = replace(verdict.request, asked_ns=time.time_ns()), oldest_ns + _NEWER_NS
    try:
        _write(job.request, request.text(), time_ns)
    except OSError as error:
        raise output_error(job.request, error) from error


def seen_scan(scan: str, known: SeenFile | None, recorded: Sequence[str], oldest_ns: int) -> SeenFile | None:
    """Look at the file of a scan, and into it only where it may not be the one that results were made from.

    Parameters
    ----------
    scan
        Its path.
    known
        How it looked before the results were made, or when they were last compared with it.
    recorded
        SHA-256 of the files that results were made from, as their sidecars tell.
    oldest_ns
        Time of the oldest result.
    """
    here = SeenFile.at(scan)
    if here is None or not recorded:
        return known if here and known and known.is_still(here) else here
    if known is not None and known.is_still(here):
        # Seen before there were results, and unchanged: the results are of this file.
        return known if known.sha256 else replace(here, sha256=recorded[0])
    is_theirs = known is None and here.older_than(oldest_ns)
    return replace(here, sha256=recorded[0] if is_theirs else here.read_sha256(scan))


def changed_scan(scan: str, request: Path, sidecar: Path) -> str:
    """Say how a segmentation differs from the scan as it is now; empty if it does not, or the scan is not there.

    Parameters
    ----------
    scan
        Path of the scan.
    request
        What the segmentation was asked for with.
    sidecar
        What says how it was made.
    """
    basis = read_sidecar(sidecar).basis
    if basis.scan_sha256 is None:
        return ""
    known = Request.read(request)
    seen = seen_scan(scan, known.scan if known else None, [basis.scan_sha256], _time_ns(sidecar))
    return basis.difference(Basis(seen.sha256 or None)) if seen else ""


def remove_broken_link(path: Path) -> None:
    """Remove a link that leads nowhere; anything else stays."""
    if is_broken_link(path):
        path.unlink()


def date_back(path: Path, outputs: Sequence[Path]) -> None:
    """Let an input that was written just now be newer than the oldest output, and no newer than it has to be."""
    oldest_ns = min(filter(None, map(_not_from_the_future, outputs)), default=0)
    time_ns = oldest_ns + _NEWER_NS if oldest_ns else _ANCIENT_NS
    os.utime(path, ns=(time_ns, time_ns))


def _outdated(job: Job, told: Sequence[SidecarFacts], basis: Basis, made: Mapping[str, Any]) -> str:
    """Say how results differ from what is asked for; what sidecars tell counts more than what was asked before."""
    for facts in told:
        if difference := facts.basis.difference(basis):
            return difference
    wanted = dict(job.settings)
    for facts in told:
        own = facts.generated_by
        pairs = {"model": own.model, "weights_sha256": own.weights_sha256}
        told_now = {key: value for key, value in pairs.items() if value and key in wanted}
        if differences := changes(told_now, {key: wanted[key] for key in told_now}):
            return differences[0]
    decided = [key for key in ("model", "weights_sha256") if any(facts.generated_by.weights_sha256 for facts in told)]
    decided += [key for key in ("fast", "ct") if any(getattr(facts.basis, key) is not None for facts in told)]
    rest = {key: value for key, value in wanted.items() if key not in decided}
    before = {key: made[key] for key in rest if key in made}
    return "; ".join(changes(before, rest)) if before else ""


def _without_scan(request: Request | None) -> Request | None:
    """Return what a request asks for: with which settings, and of which content."""
    if request is None:
        return None
    sha256 = request.scan.sha256 if request.scan else ""
    return replace(request, scan=SeenFile(0, 0, 0, 0, sha256), made={})


def _write(path: Path, text: str, time_ns: int) -> None:
    """Write a request where it differs; a torn one counts as none, so nobody waits for the disk."""
    state = path.stat() if path.is_file() else None
    if state is None or path.read_text(encoding="utf-8", errors="replace") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_broken_link(path)
        path.write_text(text, encoding="utf-8")
    elif state.st_mtime_ns == time_ns:
        return
    os.utime(path, ns=(time_ns, time_ns))


def _not_from_the_future(path: Path) -> int:
    """Return the time of a file, ns; one that is yet to come becomes the present."""
    time_ns = _time_ns(path)
    if time_ns <= time.time_ns():
        return time_ns
    try:
        os.utime(path)
    except OSError:  # somebody else's
        return time_ns
    return _time_ns(path)


def _time_ns(path: Path) -> int:
    """Return the time of a file, ns; 0 if it is not there."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 -- large datasets ask for a hundred thousand
    except OSError:
        return 0
