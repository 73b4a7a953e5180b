"""Who is in which split: whole subjects, or whole sites, the same in both domains."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthseg_core.errors import InputError, UsageError
from synthseg_core.system.tables import read_tsv
from synthseg_core.system.words import listed
from synthseg_core.translation.dataset import SPLITS
from synthseg_core.translation.sources import with_prefix


@dataclass(frozen=True)
class Ratios:
    """How much of the subjects goes into each split; the three add up to 1.

    Parameters
    ----------
    train, val, test
        Shares from 0 to 1.
    """

    train: float = 0.8
    val: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        shares = (self.train, self.val, self.test)
        if min(shares) < 0 or self.train == 0 or abs(sum(shares) - 1) > 1e-6:
            raise UsageError(
                "ratios",
                found=" ".join(f"{share:g}" for share in shares),
                expected="three numbers that add up to 1, the first above 0",
                remedy="correct them, for instance 0.8 0.1 0.1",
            )


def draw_splits(
    subjects: Mapping[str, Collection[str]], ratios: Ratios, seed: int, sites: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Draw the split of each subject.

    Those of both domains and those of only one are shared out separately, so that every domain has its share of each
    split. A group of three or more has somebody in every split whose ratio is not 0, one of two in train and the larger
    of the others.

    Parameters
    ----------
    subjects
        Of each domain; a label means the same person in both.
    ratios
        Shares of the splits.
    seed
        The same seed gives the same splits, in whatever order subjects are found.
    sites
        Where each subject was scanned; with it whole sites are shared out, none of which is in two splits.
    """
    units = {subject: sites[subject] if sites else subject for domain in subjects.values() for subject in domain}
    members: dict[tuple[str, ...], set[str]] = {}
    for unit in set(units.values()):
        domains = tuple(name for name in subjects if any(units[one] == unit for one in subjects[name]))
        members.setdefault(domains, set()).add(unit)
    split_of: dict[str, str] = {}
    for domains, group in sorted(members.items()):
        rng = np.random.default_rng([seed, *"/".join(domains).encode()])
        order = [str(unit) for unit in rng.permutation(sorted(group))]
        split_of |= dict(zip(order, _sequence(len(order), ratios), strict=True))
    return {subject: split_of[unit] for subject, unit in sorted(units.items())}


def read_splits(path: Path, subjects: Iterable[str]) -> dict[str, str]:
    """Read a table of splits.

    Parameters
    ----------
    path
        TSV with ``participant_id`` or ``subject``, and ``split``: train, val or test. More columns, such as a domain,
        change nothing: a subject has one split.
    subjects
        Those of the dataset.

    Raises
    ------
    InputError
        If a subject is missing or in two splits, or a cell is no split.
    """
    rows = read_tsv(path, ("split",))
    column = next((name for name in ("participant_id", "subject") if rows and name in rows[0]), None)
    if column is None:
        raise _bad_table(path, "no column participant_id or subject, or no rows", "the split of each subject")
    split_of: dict[str, str] = {}
    for row in rows:
        subject, split = with_prefix(row[column]), row["split"]
        if split not in SPLITS:
            raise _bad_table(path, f"{split!r} as split of {subject}", f"one of {', '.join(SPLITS)}")
        if split_of.setdefault(subject, split) != split:
            found = f"{subject} in {split_of[subject]} and in {split}"
            raise _bad_table(path, found, "a subject in one split, in both domains")
    if missing := sorted(set(subjects) - set(split_of)):
        raise _bad_table(path, f"no split for {listed(missing)}", "one for every subject")
    return {subject: split_of[subject] for subject in sorted(set(subjects))}


def require_train(subjects: Mapping[str, Collection[str]], split_of: Mapping[str, str]) -> None:
    """Refuse splits that leave a domain without anything to train on, with ``UsageError``."""
    for domain, members in subjects.items():
        if not any(split_of[subject] == "train" for subject in members):
            raise UsageError(
                domain,
                found=f"none of its subjects in train ({listed(sorted(members))})",
                expected="at least one",
                remedy="add subjects, or give a table of splits (--splits)",
            )


def _sequence(count: int, ratios: Ratios) -> list[str]:
    """Return how many units each split gets, as a list of splits: largest remainders, then nobody left out."""
    shares = np.array([ratios.train, ratios.val, ratios.test])
    counts = np.floor(shares * count + 1e-9).astype(int)
    remainders = shares * count - counts
    for place in np.argsort(-remainders, kind="stable")[: count - counts.sum()]:
        counts[place] += 1
    for place in sorted(np.flatnonzero(shares), key=lambda place: (place > 0, -shares[place])):
        if counts[place] == 0 and counts.max() > 1:
            counts[counts.argmax()] -= 1
            counts[place] += 1
    return [split for split, number in zip(SPLITS, counts, strict=True) for _ in range(number)]


def _bad_table(path: Path, found: str, expected: str) -> InputError:
    return InputError(path, found=found, expected=expected, remedy="correct the table of splits")
