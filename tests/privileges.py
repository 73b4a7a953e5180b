"""Permission tests that hold for root too, by giving up privileges for a while."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def ordinary_user() -> Iterator[Path]:
    """Yield a fresh folder owned by an ordinary user, and act as that user inside the block."""
    folder = Path(tempfile.mkdtemp(prefix="ordinary-user-"))
    was_root = os.geteuid() == 0
    if was_root:
        os.chown(folder, _NOBODY, -1)
        os.seteuid(_NOBODY)
    try:
        yield folder
    finally:
        if was_root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)
