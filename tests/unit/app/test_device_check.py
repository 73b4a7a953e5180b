"""Whether the device is there, asked in a process of its own."""

import pytest

from synthseg_core.app import preflight
from synthseg_core.app.preflight import require_device
from synthseg_core.errors import UsageError


@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_what_every_machine_has_is_not_asked_for(name, monkeypatch):
    monkeypatch.setattr(preflight, "_QUESTION", "raise SystemExit(3)")
    require_device(name)


def test_a_device_that_is_not_there_is_told():
    with pytest.raises(UsageError, match="--device: found .*cuda:77"):
        require_device("cuda:77")


def test_no_answer_is_no_consent(monkeypatch):
    monkeypatch.setattr(preflight, "_QUESTION", "raise SystemExit(3)")
    with pytest.raises(UsageError, match="status 3 when asking for cuda"):
        require_device("cuda")
