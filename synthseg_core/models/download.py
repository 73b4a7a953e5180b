"""Fetch published files: mirrors in order, resumable, checked by size and SHA-256, put in place in one step.

While a file arrives it is called ``NAME.part``, with ``NAME.part.json`` beside it, which says where the bytes came
from; both survive an interruption, so that the next call goes on. A lock file keeps parallel calls apart.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

from filelock import FileLock, Timeout

from synthseg_core.errors import FetchError, SynthSegError
from synthseg_core.models.card import WeightsFile
from synthseg_core.models.http import MirrorError, Policy, RangeError, Reply, TransientError, get, host_of
from synthseg_core.system.atomic import flush, output_error, write_json
from synthseg_core.system.file_identity import FileKind, identify, kind_of_bytes

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_NEVER_WEIGHTS = (FileKind.WEB_PAGE, FileKind.ANNEX_POINTER, FileKind.LFS_POINTER)
_LONGEST_WAIT_S = 30.0
# Where a card gives no size: no published network comes near it, and a server that never ends is stopped.
_LARGEST_BYTES = 8 << 30


class Watcher:
    """Told what happens; this one keeps silent."""

    def note(self, line: str) -> None:
        """Take one line of news."""

    def progress(self, received_bytes: int, size_bytes: int | None) -> None:
        """Take the bytes that are there of the whole, if its size is known."""


@dataclass(frozen=True)
class Fetched:
    """What a call did.

    Parameters
    ----------
    path
        The file, verified.
    mirror
        Host that served it; ``None`` if it was there already.
    """

    path: Path
    mirror: str | None


@dataclass(frozen=True)
class _Job:
    weights: WeightsFile
    target: Path
    policy: Policy
    watcher: Watcher
    checked_after: bool = False

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def origin(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part.json")

    def received(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.origin.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Origin:
    """Where the received bytes came from: the address now in use, the offset it began at, and its ETag."""

    mirror: tuple[str, ...]
    index: int = 0
    base: int = 0
    validator: str | None = None


def mirrors_of(weights: WeightsFile) -> tuple[tuple[str, ...], ...]:
    """Return the mirrors, each as the addresses of its parts (one for a file in one piece)."""
    return tuple((entry,) if isinstance(entry, str) else entry for entry in weights.urls)


def fetch(
    weights: WeightsFile,
    target: Path,
    *,
    policy: Policy | None = None,
    watcher: Watcher | None = None,
    checked_after: bool = False,
) -> Fetched:
    """Fetch a file unless it is there already.

    Parameters
    ----------
    weights
        Size, checksum and mirrors.
    target
        The file to make; missing folders are made. A file that is there but differs is replaced.
    policy
        Patience and number of tries; ``None``: the defaults.
    watcher
        Is told of progress; ``None``: nobody.
    checked_after
        The caller compares the file with another checksum, so that the rest of one without SHA-256 may be asked for.

    Raises
    ------
    FetchError
        If no mirror could serve the file; the reason of each is listed.
    OutputError
        If the file cannot be written.
    """
    job = _Job(weights, target, policy or Policy(), watcher or Watcher(), checked_after)
    try:
        if _is_there(job):
            return Fetched(target, None)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(job):
            return Fetched(target, None) if _is_there(job) else _from_any_mirror(job)
    except SynthSegError:
        raise
    except OSError as error:  # the network's errors are of other types by now
        raise output_error(target, error) from error


def _is_there(job: _Job) -> bool:
    weights = job.weights
    return job.target.is_file() and not identify(job.target).difference(weights.size_bytes, weights.sha256)


@contextmanager
def _locked(job: _Job) -> Iterator[None]:
    """Hold the lock of a target; the system gives it back when the process ends, however it ends."""
    lock = FileLock(job.target.with_name(f".{job.target.name}.lock"))
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            job.watcher.note(f"{job.target.name} is being fetched by another process; waiting for it")
            lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        job.watcher.note(f"{job.target.parent} has no file locks: do not fetch here twice at the same time")
    try:
        yield
    finally:
        lock.release()


def _from_any_mirror(job: _Job) -> Fetched:
    reasons = []
    for mirror in mirrors_of(job.weights):
        host = host_of(mirror[0])
        try:
            job.watcher.note(f"{job.target.name} from {host}")
            _from_mirror(job, mirror)
        except MirrorError as error:
            job.watcher.note(f"{host}: {error}")
            reasons.append(f"{host}: {error}")
        else:
            return Fetched(job.target, host)
    raise FetchError(
        job.target.name,
        found="; ".join(reasons) or "no mirror in its model card",
        expected=f"{_size_text(job.weights)} with SHA-256 {job.weights.sha256 or 'unknown'}",
        remedy="check the network and the proxy variables, or copy the file here by other means and "
        "run 'synthseg models import FOLDER'",
    )


def _size_text(weights: WeightsFile) -> str:
    return f"{weights.size_bytes} bytes" if weights.size_bytes is not None else "a file"


def _from_mirror(job: _Job, mirror: tuple[str, ...]) -> None:
    """Fetch, check and install; bytes gathered over several connections get a second chance in one."""
    pieced = _receive_all(job, mirror)
    difference = identify(job.part).difference(job.weights.size_bytes, job.weights.sha256)
    if difference and pieced:
        job.watcher.note(f"the continued download is damaged ({difference}); starting again")
        job.discard()
        _receive_all(job, mirror)
        difference = identify(job.part).difference(job.weights.size_bytes, job.weights.sha256)
    if difference:
        job.discard()
        raise MirrorError(difference)
    _install(job)


def _install(job: _Job) -> None:
    with job.part.open("rb+") as stream:
        flush(stream.fileno())
    job.part.replace(job.target)
    job.origin.unlink(missing_ok=True)


def _receive_all(job: _Job, mirror: tuple[str, ...]) -> bool:
    """Receive until all parts are there; say whether more than one connection was needed."""
    began = job.received()
    patience = _Patience(job.policy, began)
    connections = 0
    while (origin := _resumed(job, mirror)).index < len(mirror):
        connections += 1
        try:
            _receive(job, origin)
        except RangeError as fault:
            job.watcher.note(f"{host_of(mirror[0])}: {fault}; starting again")
            job.discard()
            patience.spend(fault, 0)
        except TransientError as fault:
            job.watcher.note(f"{host_of(mirror[0])}: {fault}")
            patience.spend(fault, job.received())
    return began > 0 or connections > len(mirror)


class _Patience:
    """Counts failures in a row; only bytes beyond the most ever received make it start counting again."""

    def __init__(self, policy: Policy, received: int) -> None:
        self._policy, self._most, self._failures = policy, received, 0

    def spend(self, fault: TransientError, received: int) -> None:
        """Wait before the next attempt; ``MirrorError`` when there were enough."""
        if received >= self._most + self._policy.progress_bytes:
            self._most, self._failures = received, 0
        self._failures += 1
        if self._failures >= self._policy.attempts:
            raise MirrorError(str(fault)) from fault
        time.sleep(min(self._policy.wait_s * 2 ** (self._failures - 1), _LONGEST_WAIT_S))


def _resumed(job: _Job, mirror: tuple[str, ...]) -> _Origin:
    """Return where to go on; bytes that cannot be continued from this mirror are thrown away."""
    received, size = job.received(), job.weights.size_bytes
    if received and (size is None or received <= size):
        stored = _stored_origin(job)
        if stored is not None and stored.mirror == mirror and _can_go_on(job, stored):
            return stored
        if len(mirror) == 1 and job.weights.sha256:
            # Another mirror's bytes of the same file: the checksum decides in the end.
            return _Origin(mirror, index=int(received == size))
    job.discard()
    return _Origin(mirror)


def _can_go_on(job: _Job, stored: _Origin) -> bool:
    """Say whether the rest can be asked for, and whether something would notice if it belonged to another file."""
    inside = job.received() - stored.base
    noticed = job.checked_after or job.weights.sha256 is not None or stored.validator is not None
    return inside == 0 or (inside > 0 and noticed)


def _stored_origin(job: _Job) -> _Origin | None:
    try:
        content = json.loads(job.origin.read_text(encoding="utf-8"))
        mirror = tuple(str(url) for url in content["mirror"])
        return _Origin(mirror, int(content["index"]), int(content["base"]), content["validator"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _receive(job: _Job, origin: _Origin) -> None:
    """Receive one part, or the rest of it, from one connection."""
    offset = job.received() - origin.base
    with get(origin.mirror[origin.index], offset, origin.validator, job.policy) as reply:
        first = next(reply.blocks, b"")
        _check_beginning(job, origin, reply, first)
        _check_space(job, origin.base + reply.start)
        write_json(job.origin, asdict(replace(origin, validator=reply.validator)))
        _append(job, origin.base + reply.start, first, reply.blocks)
    end = job.received()
    if reply.size_bytes is not None and end - origin.base < reply.size_bytes:
        raise TransientError(f"a connection cut after {end - origin.base} of {reply.size_bytes} bytes")
    write_json(job.origin, asdict(_Origin(origin.mirror, origin.index + 1, end)))


def _check_beginning(job: _Job, origin: _Origin, reply: Reply, first: bytes) -> None:
    kind = kind_of_bytes(first)
    if reply.start == 0 and (kind in _NEVER_WEIGHTS or (not first and reply.size_bytes == 0)):
        raise MirrorError(kind.value)
    size = job.weights.size_bytes
    if len(origin.mirror) > 1 or None in (size, reply.size_bytes) or size == reply.size_bytes:
        return
    fault = RangeError if reply.start else MirrorError
    raise fault(f"{reply.size_bytes} bytes instead of {size}")


def _check_space(job: _Job, received: int) -> None:
    """Refuse before the disk is full rather than after."""
    if job.weights.size_bytes and shutil.disk_usage(job.target.parent).free < job.weights.size_bytes - received:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _append(job: _Job, start: int, first: bytes, rest: Iterator[bytes]) -> None:
    """Write blocks behind the first ``start`` bytes of the part file."""
    most = job.weights.size_bytes or _LARGEST_BYTES
    with job.part.open("ab") as stream:
        stream.truncate(start)
        for block in chain((first,), rest):
            stream.write(block)
            start += len(block)
            if start > most:
                raise MirrorError(f"more than {most} bytes")
            job.watcher.progress(start, job.weights.size_bytes)
