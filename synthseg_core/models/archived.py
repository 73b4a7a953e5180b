"""Get models that are published as archives of nnU-Net folders: found, downloaded, checked, unpacked, converted.

Nothing stands under a final name before all of it is done: the archive arrives as a ``.part``, it is unpacked under a
temporary name, and of the converted model the card comes last.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

from synthseg_core.errors import FetchError
from synthseg_core.models.archive import model_folder, unpacked
from synthseg_core.models.card import ArchiveFile, ModelCard, WeightsFile
from synthseg_core.models.download import Watcher, fetch
from synthseg_core.models.http import Policy
from synthseg_core.models.siam_folders import siam_folder
from synthseg_core.system.atomic import output_error, write_json
from synthseg_core.system.file_identity import sha256_of
from synthseg_core.system.settings import known_mapping

_BLOCK_BYTES = 1 << 20
# The archive, what is in it, and the converted folds, which are half of that.
_SPACE_FACTOR = 2.6


def install(card: ModelCard, store: Path, *, policy: Policy | None = None, watcher: Watcher | None = None) -> Path:
    """Put a model into the store and return its card there.

    Parameters
    ----------
    card
        The package's; it names the archive.
    store
        Where the model goes.
    policy, watcher
        As for :func:`synthseg_core.models.download.fetch`.

    Raises
    ------
    FetchError
        If no mirror could serve the archive, or it is another one than the published.
    InputError
        If it cannot be unpacked safely, or holds no such model.
    OutputError
        If there is no room, or nothing can be written.
    """
    from synthseg_core.models.nnunet_import import import_nnunet

    watcher = watcher or Watcher()
    if (folder := siam_folder(card)) is not None:
        watcher.note(f"{folder} is there: no download is needed")
        return import_nnunet(folder, store, template=card)
    archive = card.weights.archive
    assert archive is not None
    target = store / archive.file
    _require_space(archive, store)
    pinned = pinned_archive(archive, store)
    weights = WeightsFile(archive.file, pinned.size_bytes, pinned.sha256, archive.urls)
    fetch(weights, target, policy=policy, watcher=watcher, checked_after=archive.md5 is not None)
    _verify(archive, target)
    _pin(pinned, target)
    watcher.note(f"unpacking and converting {archive.file}")
    made = import_archive(target, store, template=card)
    target.unlink(missing_ok=True)
    return made


def import_archive(
    archive: Path, store: Path, *, template: ModelCard | None = None, name: str | None = None, **options: object
) -> Path:
    """Unpack an archive safely, convert the model in it, and return its card; options as of ``import_nnunet``."""
    from synthseg_core.models.nnunet_import import import_nnunet

    with unpacked(archive, store) as content:
        folder = model_folder(content)
        if name is None and template is None:
            name = folder.name if folder != content else archive.name.partition(".")[0]
        return import_nnunet(folder, store, template=template, name=name, **options)  # type: ignore[arg-type]


def pinned_archive(archive: ArchiveFile, store: Path) -> ArchiveFile:
    """Return an archive with size and SHA-256: the published ones, or those of the first verified download."""
    from dataclasses import replace

    if archive.sha256 is not None:
        return archive
    known = known_mapping(_pin_file(archive, store))
    return replace(archive, size_bytes=known.get("size_bytes", archive.size_bytes), sha256=known.get("sha256"))


def _pin(archive: ArchiveFile, file: Path) -> None:
    """Remember size and SHA-256 of an archive that was verified."""
    if archive.sha256 is None:
        content = {"size_bytes": file.stat().st_size, "sha256": sha256_of(file), "md5": archive.md5}
        write_json(_pin_file(archive, file.parent), content)


def _pin_file(archive: ArchiveFile, store: Path) -> Path:
    return store / f"{archive.file}.known.json"


def _verify(archive: ArchiveFile, file: Path) -> None:
    """Compare with the published MD5, where there is one and no SHA-256; a file that differs is removed."""
    if archive.md5 is None or archive.sha256 is not None:
        return
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    if digest.hexdigest() != archive.md5:
        file.unlink()
        raise FetchError(
            archive.file,
            found=f"MD5 {digest.hexdigest()[:12]}...",
            expected=f"MD5 {archive.md5[:12]}..., the published one",
            remedy="try again; if it stays, ask the publisher",
        )


def _require_space(archive: ArchiveFile, store: Path) -> None:
    """Refuse before the first byte rather than with a full disk."""
    size = archive.size_bytes or archive.about_bytes
    there = next(path for path in (store.absolute(), *store.absolute().parents) if path.is_dir())
    if size is not None and shutil.disk_usage(there).free < _SPACE_FACTOR * size:
        error = OSError(errno.ENOSPC, f"less than {_SPACE_FACTOR * size / 1e9:.0f} GB free")
        raise output_error(store, error)
    if not os.access(there, os.W_OK | os.X_OK):
        raise output_error(store, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
