"""Settings of stages: what changed is said by name."""

import pytest

from synthseg_core.app.layout import Layout
from synthseg_core.app.stage_options import changes, write_stage_file
from synthseg_core.errors import InputError


def test_what_changed_is_said_by_name():
    assert changes({"fast": False, "ct": False, "old": 1}, {"fast": True, "ct": False, "new": "x"}) == [
        "fast was false, is true",
        'new was absent, is "x"',
        "old was 1, is absent",
    ]


def test_settings_that_nobody_can_read_are_told(tmp_path):
    layout = Layout(tmp_path, tmp_path / "work")
    path = write_stage_file(layout, "qc", {"model": "x"})
    assert write_stage_file(layout, "qc", {"model": "x"}) == path
    path.write_text("{")
    with pytest.raises(InputError, match="no readable settings of a stage"):
        write_stage_file(layout, "qc", {"model": "x"})
