"""Checks of the files that a command is to write, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from synthseg_core.errors import UsageError
from synthseg_core.system.atomic import check_writable
from synthseg_core.system.paths import real_path


def flag(name: str) -> str:
    """Return the option that fills an argument."""
    return "--" + name.replace("_", "-")


def check_outputs(command: str, wanted: Mapping[str, Path | None], extensions: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse no output at all, unknown formats and closed folders.

    Parameters
    ----------
    wanted
        Output -> its file, ``None``: not wanted.
    extensions
        Output -> how the name of its file may end.
    """
    if not any(wanted.values()):
        flags = ", ".join(flag(name) for name in wanted)
        raise UsageError(
            f"synthseg {command}", found="no output", expected=f"at least one of {flags}", remedy="add one"
        )
    for name, path in wanted.items():
        if path is not None:
            check_extension(name, path, extensions[name])
            check_writable(path)


def check_extension(name: str, path: Path, extensions: tuple[str, ...]) -> None:
    """Refuse a name that is made for something else; capitals are the same extension."""
    if path.name.endswith((*extensions, *(extension.upper() for extension in extensions))):
        return
    expected = f"a name that ends with {', '.join(extensions)}"
    raise UsageError(flag(name), found=str(path), expected=expected, remedy="correct the name")


def refuse_repeats(inputs: Mapping[str, Path | None], outputs: Mapping[str, Path | None]) -> None:
    """Refuse one file in two roles, above all an output over an input; links and folders are followed.

    Parameters
    ----------
    inputs
        What the file is, in words -> its path.
    outputs
        Argument -> path.
    """
    taken = {real_path(path): words for words, path in inputs.items() if path is not None}
    for name, path in outputs.items():
        if path is None:
            continue
        if (other := taken.setdefault(real_path(path), flag(name))) != flag(name):
            raise UsageError(
                flag(name), found=f"{path}, which is {other} too", expected="a file of its own", remedy="rename one"
            )
