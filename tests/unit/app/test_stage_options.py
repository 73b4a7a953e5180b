"""Settings of stages: what changed is said by name."""

from synthseg_core.app.stage_options import changes


def test_what_changed_is_said_by_name():
    assert changes({"fast": False, "ct": False, "old": 1}, {"fast": True, "ct": False, "new": "x"}) == [
        "fast was false, is true",
        'new was absent, is "x"',
        "old was 1, is absent",
    ]
