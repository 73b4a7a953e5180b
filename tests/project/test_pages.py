"""All pages: links and places lead somewhere, rooms and decisions are as they are, the site is whole."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from tests.pages import PAGES, ROOT, SPAN, anchors, blocks, links, rows, sections

PACKAGE = ROOT / "synthseg_core"


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for path, anchor in links(page.read_text(encoding="utf-8")):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_modules_that_a_page_names_exist(page):
    text = page.read_text(encoding="utf-8")
    for place in re.findall(r"\b(?:synthseg_core|tests|workflow|config|profiles|envs|docs)/[\w./-]*\w", text):
        assert (ROOT / place).exists() or (page.parent / place).exists(), place
    for module in set(re.findall(r"\bsynthseg_core(?:\.\w+)+", text)):
        path = ROOT / module.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), module


def test_places_in_the_code_exist():
    places = [
        span for row in rows(sections(text_of("CONTRIBUTING.md"))["Where is what"]) for span in SPAN.findall(row[1])
    ]
    assert len(places) > 20
    assert all((ROOT / place).exists() for place in places)


def test_rooms_are_those_of_the_package():
    page = sections(text_of("docs/architecture.md"))
    stated = {SPAN.findall(row[0])[0].removesuffix("/") for row in rows(page["Rooms"])}
    assert stated == {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"resources"}
    places = [span for row in rows(page["A scan's way"]) for span in SPAN.findall(row[1])]
    assert len(places) > 10
    assert all((PACKAGE / place).is_file() for place in places)


def test_order_of_rooms_is_the_one_that_is_enforced():
    (order,) = blocks(text_of("docs/architecture.md"), "text")
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (rooms,) = (contract for contract in contracts if contract["type"] == "layers")
    assert order.splitlines() == rooms["layers"]


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda page: page.name)
def test_decisions_speak_of_files_and_tests_that_exist(page):
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.name[:3]} ")
    for place in re.findall(r"`([\w./-]+(?:\.py|/))`", text):
        assert (ROOT / place).exists() or list((ROOT / "synthseg_core").rglob(place)), place
    for name in re.findall(r"`(test_\w+)`", text):
        assert any(f"def {name}(" in path.read_text() for path in (ROOT / "tests").rglob("test_*.py")), name


def test_decisions_are_numbered_once():
    numbers = [page.name[:3] for page in (ROOT / "docs" / "decisions").glob("*.md")]
    assert sorted(numbers) == [f"{number:03d}" for number in range(1, len(numbers) + 1)]


def test_the_site_is_whole_and_asks_no_other_computer(tmp_path):
    words = ["-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = {path.relative_to(tmp_path).with_suffix("") for path in tmp_path.rglob("*.html")}
    names = (page.relative_to(ROOT).with_suffix("") for page in PAGES)
    assert {name.with_name("index") if name.name == "README" else name for name in names} <= built
    pages = "\n".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html"))
    assert "```" not in pages
    assert not re.search(r"<code>(bash|python|text|yaml|json)\n", pages), "a block that only repository pages show"
    loaded = re.compile(r"""<(?:link|script|img)[^>]*(?:href|src)="(?:https?:)?//|url\(["']?(?:https?:)?//""")
    assert [path for path in tmp_path.rglob("*.*ml") if loaded.search(path.read_text(encoding="utf-8"))] == []
    assert [path for path in tmp_path.rglob("*.css") if loaded.search(path.read_text(encoding="utf-8"))] == []
