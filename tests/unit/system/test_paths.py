"""Questions about paths that a user typed are answered, whatever the path."""

from __future__ import annotations

import pytest

from synthseg_core.system.paths import is_broken_link, is_file, is_folder, real_path
from tests.privileges import ordinary_user


def test_files_and_folders(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert [is_file(tmp_path / name) for name in ("file", ".", "link", "none")] == [True, False, False, False]
    assert [is_folder(tmp_path / name) for name in ("file", ".", "link", "none")] == [False, True, False, False]
    assert [is_broken_link(tmp_path / name) for name in ("file", ".", "link", "none")] == [False, False, True, False]


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "a\0b"])
def test_names_that_nothing_can_have(tmp_path, name):
    assert not is_file(tmp_path / name)
    assert not is_folder(tmp_path / name)


def test_where_links_lead(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "circle").symlink_to("circle")
    assert real_path(tmp_path / "link") == real_path(tmp_path / "x" / ".." / "file") == real_path(tmp_path) / "file"
    assert real_path(tmp_path / "circle") == real_path(tmp_path) / "circle"


def test_what_may_not_be_looked_at():
    """Such a file is opened next, which says why it cannot be."""
    with ordinary_user() as folder:
        folder.chmod(0)
        assert is_file(folder / "inside")
        assert not is_folder(folder / "inside")
