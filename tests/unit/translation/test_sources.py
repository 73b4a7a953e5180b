"""Which scans belong to a domain, and what is refused."""

from __future__ import annotations

import pytest

from synthseg_core.errors import InputError, UsageError
from synthseg_core.translation.sources import (
    Source,
    Wanted,
    find_sources,
    paired,
    read_participant_list,
    require_apart,
    sites_of,
)
from tests.phantoms.trees import make_tree


@pytest.fixture
def dataset(tmp_path):
    """Two participants with T1w and T2w, one of them of two acquisitions."""
    names = [
        *("sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz"),
        *("sub-02/ses-1/anat/sub-02_ses-1_acq-thick_T2w.nii.gz", "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz"),
    ]
    return make_tree(tmp_path / "bids", ["dataset_description.json", *names])


def _names(found):
    return [source.path.name for source in found.sources]


def test_entities_choose_among_the_scans_of_a_dataset(dataset):
    found = find_sources(Wanted("T2w", (dataset,), {"suffix": "T2w"}))
    assert [(one.domain, one.subject, one.session) for one in found.sources] == [
        *(("T2w", "sub-01", ""), ("T2w", "sub-02", "ses-1")),
    ]
    assert not found.notes
    assert _names(find_sources(Wanted("x", (dataset,), {"suffix": "T2w", "acq": "thick"}))) == [
        "sub-02_ses-1_acq-thick_T2w.nii.gz"
    ]
    assert _names(find_sources(Wanted("x", (dataset,), {"suffix": "T2w", "acq": ""}))) == ["sub-01_T2w.nii.gz"]


def test_several_kinds_are_told(dataset):
    (note,) = find_sources(Wanted("any", (dataset,), participants=frozenset({"sub-01"}))).notes
    assert note == "any: of several kinds: 1 T1w, 1 T2w"


def test_participants_without_a_scan_are_told(dataset):
    people = frozenset({"sub-01", "sub-77"})
    found = find_sources(Wanted("T1w", (dataset,), {"suffix": "T1w"}, participants=people))
    assert (_names(found), found.notes) == (["sub-01_T1w.nii.gz"], ("T1w: no scan of sub-77",))


def test_folders_tables_and_single_scans(tmp_path):
    folder = make_tree(tmp_path / "plain", ["anna/T1.nii", "ben/T1.nii"])
    table = tmp_path / "scans.csv"
    table.write_text("path,subject,session\nplain/anna/T1.nii,A,1\n")
    assert [one.subject for one in find_sources(Wanted("x", (folder,))).sources] == ["sub-anna", "sub-ben"]
    (listed,) = find_sources(Wanted("x", (table,))).sources
    assert (listed.subject, listed.session, listed.path) == ("sub-A", "ses-1", folder / "anna" / "T1.nii")
    single = make_tree(tmp_path / "one", ["sub-07_ses-2_T1w.nii.gz", "scan.nii"])
    paths = (single / "sub-07_ses-2_T1w.nii.gz", single / "scan.nii")
    assert [(one.subject, one.session) for one in find_sources(Wanted("x", paths)).sources] == [
        *(("sub-07", "ses-2"), ("sub-scan", "")),
    ]


def test_an_empty_domain_is_told_with_the_reason(dataset, tmp_path):
    with pytest.raises(InputError, match="FLAIR: found no scan in .*bids; expected scans in both domains"):
        find_sources(Wanted("FLAIR", (dataset,), {"suffix": "FLAIR"}))
    with pytest.raises(InputError, match="among 2 scans that fits the filter"):
        find_sources(Wanted("x", (dataset,), {"suffix": "T1w", "acq": "thin"}))
    (tmp_path / "list.txt").write_text("nothing.nii.gz\n")
    with pytest.raises(InputError, match="no usable scan .* no such file"):
        find_sources(Wanted("x", (tmp_path / "list.txt",)))


def test_unusable_scans_are_left_out_and_told(dataset):
    (dataset / "sub-03" / "anat").mkdir(parents=True)
    (dataset / "sub-03/anat/sub-03_T1w.nii.gz").symlink_to("nowhere")
    found = find_sources(Wanted("T1w", (dataset,), {"suffix": "T1w"}))
    assert len(found.sources) == 2
    assert found.notes[0].startswith("T1w: left out: sub-03/anat/sub-03_T1w.nii.gz: ")


def _source(domain, subject, session="", name=None):
    from pathlib import Path

    return Source(domain, subject, session, Path(f"/{name or domain + subject}.nii"))


def test_a_file_of_both_domains_is_refused():
    domains = {"a": [_source("a", "sub-1", name="x")], "b": [_source("b", "sub-1", name="x")]}
    with pytest.raises(InputError, match=r"/x\.nii: found the file in a and in b"):
        require_apart(domains)


def test_pairs_are_made_by_subject_and_session():
    domains = {
        "a": [_source("a", "sub-2"), _source("a", "sub-1")],
        "b": [_source("b", "sub-1"), _source("b", "sub-2")],
    }
    made = paired(domains)
    assert [one.subject for one in made["a"]] == [one.subject for one in made["b"]] == ["sub-1", "sub-2"]
    with pytest.raises(InputError, match="found only one domain of sub-3 ses-1"):
        paired({**domains, "b": [*domains["b"], _source("b", "sub-3", "ses-1")]})
    with pytest.raises(InputError, match="a: found several scans of sub-2"):
        paired({**domains, "a": [*domains["a"], _source("a", "sub-2", name="again")]})


def test_participants_of_a_list_or_table(tmp_path):
    path = tmp_path / "who.txt"
    for text in ("01\nsub-02\n", "participant_id\tage\nsub-01\t3\n02\t4\n"):
        path.write_text(text)
        assert read_participant_list(path) == {"sub-01", "sub-02"}
    path.write_text("participant_id\n")
    with pytest.raises(InputError, match="no participants"):
        read_participant_list(path)


def test_sites_come_from_participants_tables(dataset):
    (dataset / "participants.tsv").write_text("participant_id\tsite\nsub-01\tx\nsub-02\ty\n")
    assert sites_of([dataset], {"sub-01", "sub-02"}, "site") == {"sub-01": "x", "sub-02": "y"}
    with pytest.raises(UsageError, match="no scanner of sub-01, sub-02; expected one scanner for every subject"):
        sites_of([dataset], {"sub-01", "sub-02"}, "scanner")
