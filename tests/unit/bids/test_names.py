import json
import re
from importlib.resources import files

import pytest
from hypothesis import given

from synthseg_core.bids.names import (
    ENTITIES,
    PRODUCTS,
    STAGES,
    STEM_PATTERN,
    BidsName,
    ScanName,
    derivative,
    label_from,
    parse_derivative,
    parse_name,
    parse_stem,
    report_name,
    stem_of_report,
)
from synthseg_core.errors import InputError
from tests.strategies import products, scan_names


def test_entity_order_is_that_of_the_specification():
    schema = json.loads((files("bidsschematools") / "data" / "schema.json").read_text())
    names = [schema["objects"]["entities"][key]["name"] for key in schema["rules"]["entities"]]
    assert list(ENTITIES) == names


def test_name_is_taken_apart():
    name = parse_name("sub-01_ses-pre+1_acq-mprage_run-2_T1w.nii.gz")
    assert name.entities == {"sub": "01", "ses": "pre+1", "acq": "mprage", "run": "2"}
    assert (name.suffix, name.extension) == ("T1w", ".nii.gz")


def test_entities_are_put_in_order():
    assert str(parse_name("run-2_sub-01_acq-a_T1w.nii")) == "sub-01_acq-a_run-2_T1w.nii"


def test_unknown_entities_stand_before_space():
    assert str(BidsName({"space": "T1w", "zzz": "1", "sub": "1"}, "dseg")) == "sub-1_zzz-1_space-T1w_dseg"


@pytest.mark.parametrize(
    "name",
    ["T1w.nii.gz", "sub-01.nii.gz", "sub-01_T1w_old.nii.gz", "sub-_T1w.nii", "sub-01__T1w.nii", "sub-0 1_T1w.nii"],
)
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match="not BIDS"):
        parse_name(name)


def test_repeated_key_is_refused():
    with pytest.raises(InputError, match="twice"):
        parse_name("sub-01_run-1_run-2_T1w.nii.gz")


def test_names_of_one_scan():
    stem = ScanName({"sub": "01", "ses": "2", "run": "1"}, "T1w").stem
    assert stem == "sub-01/ses-2/anat/sub-01_ses-2_run-1_space-T1w"
    assert {key: derivative(stem, key).removeprefix(stem) for key in PRODUCTS} == {
        "translated": "_desc-translated_T1w.nii.gz",
        "translated_sidecar": "_desc-translated_T1w.json",
        "dseg": "_seg-synthseg_dseg.nii.gz",
        "sidecar": "_seg-synthseg_dseg.json",
        "dseg_1mm": "_seg-synthseg_res-1mm_dseg.nii.gz",
        "sidecar_1mm": "_seg-synthseg_res-1mm_dseg.json",
        "mask": "_desc-brain_mask.nii.gz",
        "mask_sidecar": "_desc-brain_mask.json",
        "volumes": "_seg-synthseg_volumes.tsv",
        "posteriors_1mm": "_seg-synthseg_res-1mm_probseg.nii.gz",
        "posteriors_sidecar": "_seg-synthseg_res-1mm_probseg.json",
        "resampled": "_res-1mm_desc-preproc_T1w.nii.gz",
        "resampled_sidecar": "_res-1mm_desc-preproc_T1w.json",
        "parcels": "_seg-synthsegparc_dseg.nii.gz",
        "parcels_sidecar": "_seg-synthsegparc_dseg.json",
        "parcels_1mm": "_seg-synthsegparc_res-1mm_dseg.nii.gz",
        "parcels_sidecar_1mm": "_seg-synthsegparc_res-1mm_dseg.json",
        "parcel_volumes": "_seg-synthsegparc_volumes.tsv",
        "scores": "_desc-qc_scores.tsv",
        "scores_sidecar": "_desc-qc_scores.json",
        "head": "_seg-synthseghead_dseg.nii.gz",
        "head_sidecar": "_seg-synthseghead_dseg.json",
    }
    assert {PRODUCTS[key].stage for key in PRODUCTS} == set(STAGES)


def test_contrasts_of_one_session_stay_apart():
    stems = {ScanName({"sub": "01"}, suffix).stem for suffix in ("T1w", "T2w", "FLAIR")}
    assert len(stems) == 3


def test_chunk_follows_space():
    assert ScanName({"sub": "1", "chunk": "2"}, "T1w").stem.endswith("sub-1_space-T1w_chunk-2")


@given(scan_names(), scan_names())
def test_stems_are_injective(a, b):
    assert (a == b) == (a.stem == b.stem)


@given(scan_names(), products)
def test_derivatives_parse_back(scan, product):
    assert parse_derivative(derivative(scan.stem, product)) == (scan, product)


@given(scan_names(), scan_names(), products, products)
def test_derivatives_are_injective(a, b, first, second):
    assert ((a, first) == (b, second)) == (derivative(a.stem, first) == derivative(b.stem, second))


@given(scan_names(), products)
def test_wildcard_pattern_finds_the_stem(scan, product):
    pattern = f"(?P<scan>{STEM_PATTERN}){re.escape(PRODUCTS[product].ending(scan.suffix))}"
    match = re.fullmatch(pattern, derivative(scan.stem, product))
    assert match is not None
    assert match["scan"] == scan.stem


@given(scan_names())
def test_entity_order_of_derivatives(scan):
    name = derivative(scan.stem, "dseg_1mm").rpartition("/")[2]
    keys = [pair.partition("-")[0] for pair in name.split("_")[:-1]]
    known = [key for key in keys if key in ENTITIES]
    assert known == sorted(known, key=ENTITIES.index)
    assert set(keys) - set(ENTITIES) <= set(keys[: keys.index("space")])


@pytest.mark.parametrize("entities", [{"ses": "1"}, {"sub": "1", "space": "MNI"}, {"sub": "1", "desc": "preproc"}])
def test_scans_that_are_none(entities):
    with pytest.raises(InputError, match=r"no sub entity|the entity (space|desc)"):
        ScanName(entities, "T1w")


@pytest.mark.parametrize(
    "stem",
    ["sub-1/anat/sub-1_T1w", "sub-1/anat/sub-2_space-T1w", "anat/sub-1_space-T1w", "sub-1/ses-1/anat/sub-1_space-T1w"],
)
def test_stems_that_are_none(stem):
    with pytest.raises(InputError, match="no scan's derivatives"):
        parse_stem(stem)


def test_derivative_of_others_is_refused():
    with pytest.raises(InputError, match="no derivative of ours"):
        parse_derivative("sub-1/anat/sub-1_space-T1w_desc-other_mask.nii.gz")


def test_labels_from_any_text():
    assert label_from("a/b c_1-é.x") == "abc1ex"
    assert label_from("---") == ""


@given(scan_names(), scan_names())
def test_no_two_scans_share_the_name_of_a_report(one, other):
    assert (report_name(one.stem) == report_name(other.stem)) == (one.stem == other.stem)
    assert stem_of_report(report_name(one.stem)) == one.stem
    assert report_name(ScanName({"sub": "1"}, "CT", "ct").stem) == "sub-1_space-CT_ct"
