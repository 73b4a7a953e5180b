"""The ``--labels`` option of commands that need a label list: a file, or a list of the package by name."""

from __future__ import annotations

from pathlib import Path

from synthseg_core.labels.lists import GenerationLabels


def label_list(text: str, classes: str = "class") -> GenerationLabels:
    """Read a label list; what has no folder and no extension is a name such as ``generation_54``."""
    return GenerationLabels.read(Path(text), classes) if Path(text).suffix else GenerationLabels.builtin(text, classes)
