"""``synthseg translate``: its actions."""

from __future__ import annotations

import pytest

from synthseg_core.cli.main import main


def test_help_lists_the_actions(capsys):
    with pytest.raises(SystemExit):
        main(["translate", "--help"])
    assert "make a dataset of two domains" in capsys.readouterr().out


def test_an_action_is_required(capsys):
    with pytest.raises(SystemExit) as left:
        main(["translate"])
    assert left.value.code == 2
    assert "ACTION" in capsys.readouterr().err
