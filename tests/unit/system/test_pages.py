import sys

import pytest

from synthseg_core.errors import UsageError
from synthseg_core.system import pages


def test_every_text_is_escaped_and_a_missing_one_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "page.html").write_text('<p title="{{ word }}">{{ word }}{{ 1.23456 | number }}</p>')
    monkeypatch.setattr(pages, "resource", lambda *_: tmp_path)
    pages.write_page(tmp_path / "out.html", "page.html", {"word": '<script>"x"</script>'})
    text = (tmp_path / "out.html").read_text()
    assert "<script>" not in text
    assert text.count("&lt;script&gt;&#34;x&#34;") == 2
    assert "1.235" in text
    with pytest.raises(Exception, match="word"):
        pages.write_page(tmp_path / "out.html", "page.html", {})


def test_numbers_for_people():
    assert pages.number_text(1.5, 1) == "1.5"
    assert pages.number_text(None) == pages.number_text(float("nan")) == "–"


def test_without_jinja2_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UsageError, match=r"synthseg-bids\[reports\].*or leave it"):
        pages.page_template("scan.html", "leave it")
