import pytest

from synthseg_core.cli.main import main
from synthseg_core.system.tables import format_tsv
from tests.phantoms.reports import FAULTS, write_segmented, write_tables

GOOD = 30


@pytest.fixture(scope="package")
def reported(tmp_path_factory):
    """Thirty good segmentations and four that are wrong, each in its way; with all reports. To be read only."""
    dataset = tmp_path_factory.mktemp("reported") / "out"
    rows = [write_segmented(dataset, f"{number:02d}") for number in range(1, GOOD + 1)]
    rows += [write_segmented(dataset, f"{90 + place}", fault) for place, fault in enumerate(FAULTS)]
    raw = dataset.parent / "raw"
    people = [{"participant_id": row.participant_id, "age": 20 + place, "sex": "FM"[place % 2], "note": "<b>'\"</b>"}
              for place, row in enumerate(rows)]  # fmt: skip
    (raw / "participants.tsv").write_text(format_tsv(people, list(people[0])))
    write_tables(dataset, rows)
    maps = sorted(dataset.glob("sub-*/anat/*_seg-synthseg_dseg.nii.gz"))
    assert main(["report", *map(str, maps)]) == 0
    assert main(["report", "--group", str(dataset)]) == 0
    return dataset
