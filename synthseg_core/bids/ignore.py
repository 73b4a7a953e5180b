"""Patterns of ``.bidsignore``, which follow ``.gitignore``.

Written here and not by ``pathspec``, whose 1.1 takes ``x/keep.nii`` back where ``x/`` follows ``!keep.nii``: git and
the BIDS validator do not, since nothing in an ignored folder is looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.bids.search import DATATYPES, FOLDER_EXTENSIONS, Search, is_image
from synthseg_core.bids.tally import Tally
from synthseg_core.system.paths import is_file

# A word that no pattern has.
_NO_KIND = "unheardof"


@dataclass(frozen=True)
class IgnoreRule:
    """One line of the file; ``ignore`` is false where the line begins with an exclamation mark."""

    pattern: re.Pattern[str]
    ignore: bool


def read_bidsignore(root: Path) -> tuple[IgnoreRule, ...]:
    """Return the rules of a dataset; none if it has no such file."""
    path = root / ".bidsignore"
    if not is_file(path):
        return ()
    return parse_rules(path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines())


def parse_rules(lines: Iterable[str]) -> tuple[IgnoreRule, ...]:
    """Return one rule for each line that is neither empty nor a remark."""
    words = (line.strip() for line in lines)
    return tuple(_rule(word) for word in words if word and not word.startswith("#"))


def is_ignored(path: str, rules: Iterable[IgnoreRule]) -> bool:
    """Say whether a file, relative to the dataset with forward slashes, is ignored; the last matching line wins."""
    ignored = False
    for rule in rules:
        if rule.ignore != ignored and rule.pattern.match(path):
            ignored = rule.ignore
    return ignored


def without_ignored(
    rows: Iterable[ScanRow], rules: Sequence[IgnoreRule], search: Search, tally: Tally
) -> list[ScanRow]:
    """Return the rows of a dataset that its ``.bidsignore`` does not name, and count the others.

    Validators need files in ``.bidsignore`` that BIDS has no word for, such as CT. So where it leaves nothing of a kind
    that is asked for by name, by patterns that are about this kind, these are taken after all.
    """
    rows = list(rows)
    if not rules:
        return rows
    ignored = [row for row in rows if is_ignored(_place(row), rules)]
    named = {row.path for row in ignored}
    present = {row.suffix for row in rows if row.path not in named}
    asked = [row for row in ignored if _is_asked_for(row, rules, search) and row.suffix not in present]
    taken = {row.path for row in asked}
    tally.overruled.update(row.suffix for row in asked)
    tally.ignored.update(row.suffix or "other names" for row in ignored if row.path not in taken)
    return [row for row in rows if row.path not in named or row.path in taken]


def _place(row: ScanRow) -> str:
    """Return a path as patterns see it: that of a folder with a slash at its end."""
    return row.path if is_image(row.path.rpartition("/")[2], FOLDER_EXTENSIONS) else f"{row.path}/"


def _is_asked_for(row: ScanRow, rules: Sequence[IgnoreRule], search: Search) -> bool:
    """Say whether a scan is of a kind that is asked for by name, and is ignored for being of this kind."""
    if not (search.by_name and row.scan):
        return False
    folder, _, name = row.path.rpartition("/")
    above, _, datatype = folder.rpartition("/")
    place = folder if datatype in DATATYPES else f"{above}/{_NO_KIND}"
    return not is_ignored(f"{place}/{name.replace(row.suffix, _NO_KIND)}", rules)


def _rule(line: str) -> IgnoreRule:
    ignore = not line.startswith("!")
    glob = line.removeprefix("!")
    # A slash at the beginning or inside ties the pattern to the top of the dataset; otherwise any level will do.
    anchored = "/" in glob.rstrip("/")
    start = "" if anchored else "(?:.*/)?"
    # What matches a folder ignores everything inside it; a pattern that ends in a slash matches folders only.
    end = "/.*" if glob.endswith("/") else "(?:/.*)?"
    return IgnoreRule(_compiled(start, _translate(glob.strip("/")), end), ignore)


def _compiled(start: str, pattern: str, end: str) -> re.Pattern[str]:
    try:
        return re.compile(f"{start}{pattern}{end}\\Z", re.DOTALL)
    except re.error:  # such as [b-a], which matches nothing
        return re.compile(r"(?!)")


def _translate(glob: str) -> str:
    """Turn one pattern into a regular expression: ``*`` stays inside a folder, ``**`` as a whole name crosses them."""
    tokens = re.findall(r"(?:(?<=/)|^)\*\*/|/\*\*$|\*+|\?|\\.|\[\]?[^]/]+\]|.", glob)
    known = {"**/": "(?:.*/)?", "/**": "/.*", "?": "[^/]"}
    return "".join(_translated(token, known) for token in tokens)


def _translated(token: str, known: Mapping[str, str]) -> str:
    if token in known:
        return known[token]
    if token.startswith("*"):
        return "[^/]*"
    if token.startswith("\\"):
        return re.escape(token[-1])
    if len(token) > 1:
        return "[" + token[1:-1].replace("!", "^", 1).replace("\\", r"\\") + "]"
    return re.escape(token)
