"""Take pages written in Markdown apart, so that tests can compare them with the program."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SPAN = re.compile(r"`([^`\n]+)`")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(path for folder in ("config", "profiles", "docs") for path in (ROOT / folder).rglob("*.md"))]
)


def sections(page: str) -> dict[str, str]:
    """Text below each heading of level 2 and 3."""
    parts = re.split(r"(?m)^#{2,3} (.+)$", page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> list[list[str]]:
    """Cells of all tables, without headers and rules."""
    tables = re.findall(r"(?m)^\|.*\|\n\|[-|: ]+\|\n((?:\|.*\|\n?)+)", text)
    lines = [line for table in tables for line in table.splitlines()]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def blocks(text: str, language: str) -> list[str]:
    """Contents of the code blocks in one language."""
    return re.findall(rf"(?s)```{language}\n(.*?)```", text)


def anchors(text: str) -> set[str]:
    """Ends of addresses that lead to headings, as repository pages make them."""
    headings = re.findall(r"(?m)^#{1,6} (.+)$", re.sub(r"(?s)```.*?```", "", text))
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def links(text: str) -> list[tuple[str, str]]:
    """Path and anchor of every link and picture that stays in the repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?s)```.*?```", "", text))
    return [(path, anchor) for path, _, anchor in (target.partition("#") for target in targets) if "://" not in path]
