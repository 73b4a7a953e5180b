"""BIDS trees of empty files, described by short lists of paths."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

OWN = b'Made by synthseg-bids: {"Name": "synthseg-bids"}'
"""What passes for any file of an earlier run."""


def make_tree(root: Path, paths: Iterable[str], content: bytes = b"") -> Path:
    """Make files, each with ``content``; a path that ends in a slash makes an empty folder."""
    root.mkdir(parents=True, exist_ok=True)
    for path in paths:
        target = root / path
        if path.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return root


def contents(root: Path, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Return every file below a folder by its path, except those below the names in ``without``."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    relative = ((path.relative_to(root).as_posix(), path) for path in files)
    return {name: path.read_bytes() for name, path in relative if name.split("/")[0] not in without}
