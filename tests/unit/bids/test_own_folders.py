import pytest

from synthseg_core.bids.own_folders import LOGS, WORK, log_folder, work_folder

KINDS = [(work_folder, WORK, "work"), (log_folder, LOGS, "logs")]


@pytest.mark.parametrize(("folder", "name", "former"), KINDS)
def test_new_datasets_hide_them(folder, name, former, tmp_path):
    assert folder(tmp_path) == tmp_path / name
    (tmp_path / former).write_text("a file")
    assert folder(tmp_path) == tmp_path / name


@pytest.mark.parametrize(("folder", "name", "former"), KINDS)
def test_datasets_of_earlier_versions_keep_theirs_until_they_are_renamed(folder, name, former, tmp_path):
    (tmp_path / former).mkdir()
    assert folder(tmp_path) == tmp_path / former
    (tmp_path / former).rename(tmp_path / name)
    assert folder(tmp_path) == tmp_path / name
