"""Splits: shares, nobody in two of them, whole sites, and tables that leak."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg_core.errors import InputError, UsageError
from synthseg_core.translation.dataset import SPLITS
from synthseg_core.translation.splits import Ratios, draw_splits, read_splits, require_train

labels = st.integers(0, 60).map(lambda number: f"sub-{number:02d}")


@settings(deadline=None)
@given(st.sets(labels, min_size=1), st.sets(labels, min_size=1), st.integers(0, 5))
def test_a_subject_has_one_split_in_both_domains_and_every_domain_trains(first, second, seed):
    subjects = {"a": first, "b": second}
    split_of = draw_splits(subjects, Ratios(), seed)
    assert set(split_of) == first | second
    require_train(subjects, split_of)
    assert split_of == draw_splits({"a": sorted(first), "b": sorted(second, reverse=True)}, Ratios(), seed)


@pytest.mark.parametrize(
    ("count", "expected"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (10, (8, 1, 1)), (47, (37, 5, 5))]
)
def test_shares(count, expected):
    split_of = draw_splits({"a": [f"sub-{n}" for n in range(count)]}, Ratios(), 0)
    counts = Counter(split_of.values())
    assert tuple(counts[split] for split in SPLITS) == expected


def test_a_split_without_share_stays_empty_and_seeds_differ():
    subjects = {"a": [f"sub-{n}" for n in range(20)]}
    assert set(draw_splits(subjects, Ratios(0.9, 0.1, 0.0), 0).values()) == {"train", "val"}
    assert draw_splits(subjects, Ratios(), 0) != draw_splits(subjects, Ratios(), 1)


def test_whole_sites_stay_together():
    sites = {f"sub-{n:02d}": f"site-{n % 5}" for n in range(40)}
    split_of = draw_splits({"a": list(sites)[:30], "b": list(sites)[10:]}, Ratios(), 3, sites)
    for site in set(sites.values()):
        assert len({split_of[subject] for subject in sites if sites[subject] == site}) == 1
    assert len(set(split_of.values())) == 3


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.2), (1.2, -0.1, -0.1), (0.0, 0.5, 0.5)])
def test_impossible_ratios(shares):
    with pytest.raises(UsageError, match="expected three numbers that add up to 1"):
        Ratios(*shares)


def _table(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_splits(tmp_path):
    table = _table(tmp_path / "splits.tsv", "subject\tsplit\n01\ttrain\nsub-02\ttest\n09\tval\n")
    assert read_splits(table, ["sub-02", "sub-01"]) == {"sub-01": "train", "sub-02": "test"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("subject\tdomain\tsplit\n01\ta\ttrain\n01\tb\ttest\n", "found sub-01 in train and in test"),
        ("subject\tsplit\n01\ttraining\n", "'training' as split of sub-01; expected one of train, val, test"),
        ("subject\tsplit\n02\ttrain\n", "no split for sub-01"),
        ("person\tsplit\n01\ttrain\n", "no column participant_id or subject"),
    ],
)
def test_tables_that_leak_or_lack_something(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_splits(_table(tmp_path / "splits.tsv", text), ["sub-01"])


def test_a_domain_without_training_subjects():
    with pytest.raises(UsageError, match=r"b: found none of its subjects in train \(sub-2\)"):
        require_train({"a": ["sub-1"], "b": ["sub-2"]}, {"sub-1": "train", "sub-2": "val"})
