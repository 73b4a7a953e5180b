"""Which label map is compared with which: by name, from tables; what does not match is said before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthseg_core.errors import InputError, UsageError
from synthseg_core.evaluation.pairing import (
    Pairing,
    pairs_from_folders,
    pairs_from_table,
    require_all_matched,
    with_masks,
    with_posteriors,
)


def tree(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def matched(pairing: Pairing) -> list[tuple[str, str, str]]:
    return [(pair.scan, pair.reference.name, pair.segmentation.name) for pair in pairing.pairs]


def test_plain_names_match_if_one_goes_on_after_the_other(tmp_path):
    truth = tree(tmp_path / "truth", "case1.nii.gz", "case10.nii.gz", "other.mgz", "note.txt", ".hidden.nii")
    found = tree(tmp_path / "found", "case1_synthseg.nii.gz", "case10_synthseg.nii.gz", "other.nii.gz")
    pairing = pairs_from_folders(truth, {"m": found})
    assert matched(pairing) == [
        ("case1", "case1.nii.gz", "case1_synthseg.nii.gz"),
        ("case10", "case10.nii.gz", "case10_synthseg.nii.gz"),
        ("other", "other.mgz", "other.nii.gz"),
    ]
    require_all_matched(pairing)


def test_derivative_datasets_match_by_entities(tmp_path):
    """T1w and FLAIR of one session stay apart; another pipeline that has no space entity matches too."""
    ours = tree(
        tmp_path / "ours",
        "sub-01/anat/sub-01_space-T1w_seg-synthseg_dseg.nii.gz",
        "sub-01/anat/sub-01_space-T1w_desc-brain_mask.nii.gz",
        "sub-01/anat/sub-01_space-FLAIR_seg-synthseg_dseg.nii.gz",
        "sub-02/ses-a/anat/sub-02_ses-a_space-T1w_seg-synthseg_dseg.nii.gz",
        "work/sub-09_dseg.nii.gz",
    )
    again = tree(tmp_path / "again", *(str(path.relative_to(ours)) for path in ours.rglob("sub-*_dseg.nii.gz")))
    assert [row[0] for row in matched(pairs_from_folders(ours, {"m": again}))] == [
        "sub-01_space-FLAIR",
        "sub-01_space-T1w",
        "sub-02_ses-a_space-T1w",
    ]
    other = tree(tmp_path / "other", "sub-02/ses-a/anat/sub-02_ses-a_desc-aseg_dseg.nii.gz")
    pairing = pairs_from_folders(other, {"m": ours})
    assert [(pair.scan, pair.segmentation.name) for pair in pairing.pairs] == [
        ("sub-02_ses-a", "sub-02_ses-a_space-T1w_seg-synthseg_dseg.nii.gz")
    ]
    assert len(pairing.unmatched) == 2


def test_the_segmentation_whose_name_is_most_alike_is_meant(tmp_path):
    truth = tree(tmp_path / "truth", "sub-1/anat/sub-1_space-T1w_seg-synthseg_res-1mm_dseg.nii.gz")
    found = tree(
        tmp_path / "found",
        "sub-1/anat/sub-1_space-T1w_seg-synthseg_dseg.nii.gz",
        "sub-1/anat/sub-1_space-T1w_seg-synthseg_res-1mm_dseg.nii.gz",
        "sub-1/anat/sub-1_space-T1w_seg-synthsegparc_res-1mm_dseg.nii.gz",
    )
    (pair,) = pairs_from_folders(truth, {"m": found}).pairs
    assert pair.segmentation.name == "sub-1_space-T1w_seg-synthseg_res-1mm_dseg.nii.gz"


def test_two_references_of_a_scan_ask_for_a_choice(tmp_path):
    names = [f"sub-1/anat/sub-1_space-T1w_seg-synthseg{res}_dseg.nii.gz" for res in ("", "_res-1mm")]
    truth, found = tree(tmp_path / "truth", *names), tree(tmp_path / "found", *names)
    with pytest.raises(InputError, match=r"second reference of one scan.*--filter or --segmentation-filter KEY=LABEL"):
        pairs_from_folders(truth, {"m": found})
    for res, name in (("1mm", names[1]), ("", names[0])):
        (pair,) = pairs_from_folders(truth, {"m": found}, {"res": res}).pairs
        assert str(pair.segmentation).endswith(name)
    with pytest.raises(InputError, match="no label maps with res=2mm"):
        pairs_from_folders(truth, {"m": found}, {"res": "2mm"})


def test_runs_and_sessions_do_not_match_each_other(tmp_path):
    truth = tree(tmp_path / "truth", "sub-1_run-1_dseg.nii.gz")
    found = tree(tmp_path / "found", "sub-1_run-2_dseg.nii.gz", "sub-1_dseg.nii.gz")
    assert pairs_from_folders(truth, {"m": found}).pairs == ()


def test_two_segmentations_that_fit_alike_are_no_guess(tmp_path):
    truth = tree(tmp_path / "truth", "sub-1_dseg.nii.gz")
    found = tree(tmp_path / "found", "sub-1_desc-a_dseg.nii.gz", "sub-1_desc-b_dseg.nii.gz")
    with pytest.raises(InputError, match=r"two segmentations that fit, sub-1_desc-a.* and sub-1_desc-b"):
        pairs_from_folders(truth, {"m": found})


def test_segmentations_may_be_asked_for_by_entities_of_their_own(tmp_path):
    truth = tree(tmp_path / "truth", "sub-1_dseg.nii.gz")
    found = tree(tmp_path / "found", "sub-1_seg-a_dseg.nii.gz", "sub-1_seg-b_dseg.nii.gz")
    (pair,) = pairs_from_folders(truth, {"m": found}, {}, {"seg": "b"}).pairs
    assert pair.segmentation.name == "sub-1_seg-b_dseg.nii.gz"


def test_one_segmentation_for_two_references_is_no_guess(tmp_path):
    truth = tree(tmp_path / "truth", "a_1.nii", "a_1_2.nii")
    found = tree(tmp_path / "found", "a_1_2_seg.nii")
    with pytest.raises(InputError, match=r"a name that fits a_1.nii and a_1_2.nii"):
        pairs_from_folders(truth, {"m": found})


def test_single_files_are_a_pair(tmp_path):
    truth, found = tree(tmp_path, "a.nii") / "a.nii", tree(tmp_path, "b.nii") / "b.nii"
    assert matched(pairs_from_folders(truth, {"m": found})) == [("a", "a.nii", "b.nii")]


def test_what_has_no_partner_is_named(tmp_path):
    truth = tree(tmp_path / "truth", "a.nii", "b.nii")
    found = tree(tmp_path / "found", "a.nii", "c.nii", "d.nii", "e.nii")
    with pytest.raises(UsageError, match=r"4 label maps without partner: b.nii, c.nii, d.nii and 1 more.*skip"):
        require_all_matched(pairs_from_folders(truth, {"m": found}))
    with pytest.raises(UsageError, match="no segmentation whose name fits"):
        require_all_matched(pairs_from_folders(tree(tmp_path / "x", "y.nii"), {"m": found}))


@pytest.mark.parametrize("make", [False, True])
def test_folders_without_label_maps(tmp_path, make):
    if make:
        tree(tmp_path / "empty", "readme.txt")
    with pytest.raises(InputError, match="no label maps" if make else "no such file or folder"):
        pairs_from_folders(tmp_path / "empty", {"m": tmp_path})


def table(folder: Path, *lines: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_names_everything(tmp_path):
    tree(tmp_path, "t/a.nii", "s/x.nii", "s/y.nii", "m.nii")
    pairs = pairs_from_table(
        table(tmp_path, "Scan,Model,reference,segmentation,mask", "A,1,t/a.nii,s/x.nii,m.nii", "A,2,t/a.nii,s/y.nii,")
    ).pairs
    assert [(p.scan, p.model, p.segmentation, p.mask) for p in pairs] == [
        ("A", "1", tmp_path / "s/x.nii", tmp_path / "m.nii"),
        ("A", "2", tmp_path / "s/y.nii", None),
    ]
    short = pairs_from_table(table(tmp_path, "reference\tsegmentation", "t/a.nii\ts/x.nii")).pairs
    assert [(p.scan, p.model) for p in short] == [("a", "segmentation")]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["reference,model", "t/a.nii,x"], "also segmentation"),
        (["reference,segmentation"], "no rows"),
        (["reference,segmentation", "t/a.nii,s/absent.nii"], "s/absent.nii in column segmentation on line 2"),
        (["reference,segmentation", ",s/x.nii"], "an empty cell in column reference on line 2"),
        (["reference,segmentation", "t/a.nii,s/x.nii", "t/a.nii,s/y.nii"], "2 rows for scan a and model segmentation"),
        (["reference,segmentation", "t/a.nii,s/x.nii,too,many"], "4 cells for 2 columns on line 2"),
    ],
)
def test_faults_of_a_table(tmp_path, lines, found):
    tree(tmp_path, "t/a.nii", "s/x.nii", "s/y.nii")
    with pytest.raises(InputError) as error:
        pairs_from_table(table(tmp_path, *lines))
    assert found in str(error.value)


def test_posteriors_by_name_for_the_models_that_have_some(tmp_path):
    truth, ours, theirs = (tree(tmp_path / name, "a.nii", "b.nii") for name in ("t", "s", "u"))
    pairing = pairs_from_folders(truth, {"ours": ours, "theirs": theirs})
    soft = tree(tmp_path / "soft", "a_post.nii", "b_post.nii")
    found = {(pair.scan, pair.model): pair.posteriors for pair in with_posteriors(pairing, {"ours": soft}).pairs}
    assert (found["a", "ours"], found["b", "ours"]) == (soft / "a_post.nii", soft / "b_post.nii")
    assert (found["a", "theirs"], found["b", "theirs"]) == (None, None)
    with pytest.raises(InputError, match="no posteriors for b.nii"):
        with_posteriors(pairing, {"ours": tree(tmp_path / "few", "a_post.nii")})
    with pytest.raises(UsageError, match="found the name other; expected models that are compared: ours, theirs"):
        with_posteriors(pairing, {"other": soft})


def test_masks_by_name_or_one_for_all(tmp_path):
    truth, found = tree(tmp_path / "t", "a.nii", "b.nii"), tree(tmp_path / "s", "a.nii", "b.nii")
    pairing = pairs_from_folders(truth, {"m": found})
    masks = tree(tmp_path / "masks", "a_mask.nii", "b_mask.nii")
    assert [pair.mask for pair in with_masks(pairing, masks).pairs] == [masks / "a_mask.nii", masks / "b_mask.nii"]
    assert {pair.mask for pair in with_masks(pairing, masks / "a_mask.nii").pairs} == {masks / "a_mask.nii"}
    with pytest.raises(InputError, match=r"no mask for b.nii"):
        with_masks(pairing, tree(tmp_path / "few", "a_mask.nii"))
