"""Pages of the site by their paths in the repository; ``mkdocs.yml`` names this hook."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

# What lies outside docs/ and belongs to the site: pages, and files to which pages link.
OUTSIDE = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "config/README.md",
    "profiles/README.md",
    "LICENSE",
    "CITATION.cff",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put ``docs/`` before the pages of that folder, and add those that lie outside it."""
    folder = Path(config.docs_dir)
    inside = [file for file in files if file.src_dir == config.docs_dir]
    paths = [*(f"{folder.name}/{file.src_uri}" for file in inside), *OUTSIDE]
    rest = [file for file in files if file.src_dir != config.docs_dir]
    placed = [File(path, str(folder.parent), config.site_dir, config.use_directory_urls) for path in paths]
    return Files([*placed, *rest])
