import re
import sys

import pytest

from synthseg_core.cli.main import main
from synthseg_core.errors import UsageError
from synthseg_core.reports.scan_facts import ScanFacts
from synthseg_core.reports.scan_pictures import read_pictured
from synthseg_core.reports.viewer import write_viewer
from tests.phantoms.reports import write_segmented
from tests.unit.reports.test_scan_report import NAME, label_map


def test_page_opens_a_viewer_that_loads_nothing(tmp_path):
    write_segmented(tmp_path / "out", "01")
    assert main(["report", "--viewer", str(label_map(tmp_path / "out"))]) == 0
    viewer = (tmp_path / f"out/figures/{NAME}_viewer.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?:https?:|//)""", viewer)
    assert f'data-source="figures/{NAME}_viewer.html"' in (tmp_path / f"out/{NAME}.html").read_text()


def test_without_nilearn_the_message_says_what_to_install(tmp_path, monkeypatch):
    write_segmented(tmp_path / "out", "01")
    facts = ScanFacts.of_label_map(label_map(tmp_path / "out"))
    monkeypatch.setitem(sys.modules, "nilearn.plotting", None)
    with pytest.raises(UsageError, match=r"synthseg-bids\[reports\]"):
        write_viewer(facts, read_pictured(facts, None), "colour-blind")
