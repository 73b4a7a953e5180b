"""Plain folders: what is left out of them is told."""

from synthseg_core.bids.folder_tree import folder_rows
from synthseg_core.bids.search import Search
from synthseg_core.bids.tally import Tally
from tests.phantoms.trees import make_tree

FILES = [
    "p1/T1.nii.gz",
    "ds/sub-01/anat/sub-01_T1w.nii.gz",
    "ds/sub-01/func/sub-01_task-rest_bold.nii.gz",
    "ds/sub-01/perf/sub-01_acq-x_T1w.nii.gz",
    "p2/T1.img",
    "p2/T1.hdr",
    "p3/series/0001.dcm",
]


def test_what_is_plainly_no_anatomy_is_counted(tmp_path):
    make_tree(tmp_path, FILES)
    tally = Tally()
    rows = folder_rows(tmp_path, Search(), tally)
    assert sorted(row.path for row in rows) == ["ds/sub-01/anat/sub-01_T1w.nii.gz", "p1/T1.nii.gz"]
    assert tally.other == {"bold": 1, "T1w": 1}
    assert tally.formats == {".img": 1, "DICOM": 1}


def test_who_asks_for_a_folder_gets_all_of_it(tmp_path):
    rows = folder_rows(make_tree(tmp_path, FILES), Search(layout="folder"), Tally())
    assert len(rows) == 4


def test_derivative_datasets_that_are_left_out_are_told(tmp_path):
    make_tree(tmp_path, ["a.nii", "x/made/b.nii"])
    make_tree(tmp_path, ["x/made/dataset_description.json"], b'{"DatasetType": "derivative"}')
    tally = Tally()
    assert len(folder_rows(tmp_path, Search(), tally)) == 1
    assert tally.notes == ["a derivative dataset is left out: x/made"]
