"""What a command depends on beside its words; a worker takes a job only where all of this is as in its own process.

Imported by thin clients: nothing here loads torch, numpy or the package's metadata.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PER_SCAN = ("segment", "parcellate", "qc", "resample", "translate")
"""The commands about one scan, which a worker runs; all others run in the process that was asked."""
ONE_THREAD = ("resample",)
"""Those whose results do not depend on the number of threads."""
ADDRESS = "SYNTHSEG_WORKER"
"""Environment variable in which the workflow tells its jobs the worker's socket."""

_PREFIXES = ("SYNTHSEG_", "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "TORCH", "PYTORCH_", "ATEN_", "THP_", "DNNL_")
_MORE_PREFIXES = ("ONEDNN_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_")
_NAMES = ("HOME", "XDG_CACHE_HOME")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_NAMESPACES = ("mnt", "user")


def is_per_scan(words: Sequence[str]) -> bool:
    """Say whether a command is about one scan: of ``translate`` only ``apply`` is."""
    return bool(words) and words[0] in PER_SCAN and (words[0] != "translate" or list(words[1:2]) == ["apply"])


def own_environment() -> dict[str, Any]:
    """Return everything about this process that must agree, ready for JSON; only while it has no other threads."""
    umask = os.umask(0)
    os.umask(umask)
    return {
        "working folder": os.getcwd(),  # noqa: PTH109 -- clients count in ms
        "umask": umask,
        "code": _code(),
        "user": [os.geteuid(), os.getegid()],
        "namespaces": [_namespace(name) for name in _NAMESPACES],
        "environment": {name: os.environ[name] for name in sorted(os.environ) if _matters(name)},
        "threads": {name: os.environ[name] for name in _THREADS if name in os.environ},
    }


def difference(own: Mapping[str, Any], other: Mapping[str, Any], *, threads_given: bool) -> str | None:
    """Say in a word what differs between two environments; ``None`` if nothing that matters does.

    Parameters
    ----------
    own
        Of the worker.
    other
        Of the client.
    threads_given
        The command says how many threads it wants, so that the variables do not.
    """
    compared = [name for name in own if not (name == "threads" and threads_given)]
    return next((name for name in compared if own[name] != other.get(name)), None)


def _code() -> str:
    """Tell this code from another version's or an edited one's by where it lies and when it was written."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 -- as above
    count = size = times = 0
    for entry in _sources(package):
        state = entry.stat()
        count, size, times = count + 1, size + state.st_size, times + state.st_mtime_ns
    return f"{sys.version} {sys.prefix} {package} {count} {size} {times}"


def _sources(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield entry
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _sources(entry.path)


def _namespace(name: str) -> str:
    """Return which view of files or users this process has; a container has one of its own."""
    try:
        return os.readlink(f"/proc/self/ns/{name}")  # noqa: PTH115 -- as above
    except OSError:  # not Linux
        return ""


def _matters(name: str) -> bool:
    if name == ADDRESS or name.endswith("_NUM_THREADS"):
        return False
    return name in _NAMES or name.startswith(_PREFIXES + _MORE_PREFIXES)
