from dataclasses import asdict, replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from synthseg_core.app.configuration import check_rows
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.errors import InputError
from tests.workflow.runs import REPOSITORY

SCHEMA = REPOSITORY / "workflow" / "schemas" / "scans.schema.yaml"
GOOD = ScanRow("sub-1/ses-2/anat/sub-1_ses-2_space-T1w", "sub-1", "ses-2", "T1w", "a.nii", "/a.nii", "", "card", "true")
SKIPPED = ScanRow("", "", "", "", "a.nii", "/a.nii", "no name")
CELLS = ["", "sub-1", "ses-2", "T1w", "a b", "/x", "sub-1/anat/sub-1_space-T1w", "true"]


def test_rows_that_fit():
    check_rows([GOOD, SKIPPED], SCHEMA)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"participant_id": "1"},
            "scan table, a.nii: found '1' as participant_id; expected Participant, with sub-; correct",
        ),
        ({"scan": "sub-1_T1w"}, "'sub-1_T1w' as scan"),
        ({"source": ""}, "'' as source"),
        ({"ct": "yes"}, "'yes' as ct"),
        ({"model": None}, "None as model"),
    ],
)
def test_rows_that_do_not_fit(change, message):
    with pytest.raises(InputError, match=message):
        check_rows([SKIPPED, replace(GOOD, **change)], SCHEMA)


@settings(deadline=None)
@given(st.sampled_from(sorted(asdict(GOOD))), st.sampled_from(CELLS))
def test_compiled_and_interpreted_schema_agree(column, cell):
    row = replace(GOOD, **{column: cell})
    fits = Draft202012Validator(yaml.safe_load(SCHEMA.read_text())).is_valid(asdict(row))
    try:
        check_rows([row], SCHEMA)
    except InputError:
        assert not fits
    else:
        assert fits
