"""House rules that no linter checks: what an import loads, docstrings of public names, names and sizes of files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import synthseg_core

PACKAGE = Path(synthseg_core.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "bundle" not in path.relative_to(PACKAGE).parts)
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
FORBIDDEN_NAMES = re.compile(r"(^|_)(utils?|helpers?|misc)(_|$)")

# Modules outside the torch-free rooms (an import contract, see pyproject.toml) that load without torch all the same.
WITHOUT_TORCH = [
    *("app.main", "cli.main", "networks.config", "models.registry", "training.config"),
    *(f"segmentation.{name}" for name in ("channels", "class_maps", "cleanup", "components", "conform", "parcels")),
    *(f"segmentation.{name}" for name in ("record", "sidecars", "volumes")),
    *(
        f"translation.{name}"
        for name in ("contrast", "dataset", "dataset_writing", "preparing", "slices", "sources", "splits", "tiles")
    ),
    *(f"translation.{name}" for name in ("microscopy", "nnunet_dataset", "picture_dataset", "pictures", "tile_files")),
]
LIGHT = ["errors", "system.tables", "labels.table", "models.registry", "bids.scan_table", "bids.names"]


def _loaded_by(module: str) -> set[str]:
    """Top-level packages that are loaded after importing ``module`` in a fresh interpreter."""
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(run.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"torch", "nibabel", "snakemake", "snakebids", "numpy", "scipy", "pandas", "h5py"}
    assert not _loaded_by("synthseg_core") & heavy


def test_torch_free_modules_load_neither_torch_nor_snakemake():
    """All in one process, which is quick; only if that fails one by one, to name the culprit."""
    everything = ", ".join(f"synthseg_core.{module}" for module in WITHOUT_TORCH)
    if not _loaded_by(everything) & {"torch", "snakemake", "snakebids"}:
        return
    culprits = [m for m in WITHOUT_TORCH if _loaded_by(f"synthseg_core.{m}") & {"torch", "snakemake", "snakebids"}]
    pytest.fail(f"torch or snakemake is loaded by {', '.join(culprits)}")


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_do_not_load_nibabel(module):
    assert "nibabel" not in _loaded_by(f"synthseg_core.{module}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    faults = [*_naming(path), *_missing_docstrings(tree), *_missing_parameters(tree), *_sizes(tree, text)]
    assert not faults, "\n".join(faults)


def _naming(path: Path) -> Iterator[str]:
    if FORBIDDEN_NAMES.search(path.stem):
        yield f"{path.name} does not say what is in it"


def _missing_docstrings(tree: ast.Module) -> Iterator[str]:
    if not ast.get_docstring(tree):
        yield "the module has no docstring"
    for name, node in _public(tree):
        if not ast.get_docstring(node):
            yield f"{name} (line {node.lineno}) has no docstring"


def _missing_parameters(tree: ast.Module) -> Iterator[str]:
    """A docstring names all parameters, each once, or none."""
    for name, node in _public(tree):
        _, found, section = (ast.get_docstring(node) or "").partition("Parameters\n---")
        if not found or isinstance(node, ast.ClassDef):
            continue
        section = re.split(r"\n\n(?=[A-Z]\w+\n---)", section)[0]
        names = re.findall(r"\w+", " ".join(re.findall(r"^(\S[^:\n]*)", section, re.MULTILINE)))
        named = set(names)
        if twice := sorted({one for one in names if names.count(one) > 1}):
            yield f"{name} (line {node.lineno}) has a docstring that names twice: {', '.join(twice)}"
        arguments = {one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
        if missing := sorted(arguments - named - {"self", "cls"}):
            yield f"{name} (line {node.lineno}) has parameters that its docstring does not name: {', '.join(missing)}"


def _public(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Public functions and classes of a module, and public methods of public classes."""
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if named and not child.name.startswith("_"):
            yield prefix + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from _public(child, f"{prefix}{child.name}.")


def _sizes(tree: ast.Module, text: str) -> Iterator[str]:
    if (lines := text.count("\n")) > MAX_FILE_LINES:
        yield f"{lines} lines; at most {MAX_FILE_LINES}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{node.name} (line {node.lineno}) has {length} lines; at most {MAX_FUNCTION_LINES}"
