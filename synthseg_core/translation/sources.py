"""Which files belong to a domain: scans of BIDS datasets, folders and tables, chosen by entities and participants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from synthseg_core.bids.names import UNNAMED_SUFFIX, ScanName, parse_stem
from synthseg_core.bids.participant_table import read_participants
from synthseg_core.bids.path_names import bids_name, name_from_path
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.bids.scan_table import find_scans
from synthseg_core.bids.search import FOLDER_EXTENSIONS, Search, is_image
from synthseg_core.bids.tally import Tally
from synthseg_core.errors import Failure, InputError, SynthSegError, UsageError
from synthseg_core.system.delimited import absolute, read_records
from synthseg_core.system.processes import in_order
from synthseg_core.system.progress import OnProgress
from synthseg_core.system.words import counted, listed

_LEFT_OUT_SHOWN = 5


@dataclass(frozen=True)
class Source:
    """A file of a domain.

    Parameters
    ----------
    domain
        Name of the contrast.
    subject, session
        With ``sub-`` and ``ses-``; the session is empty where there is none.
    path
        Absolute.
    """

    domain: str
    subject: str
    session: str
    path: Path


@dataclass(frozen=True)
class Wanted:
    """What a domain is made of.

    Parameters
    ----------
    domain
        Name of the contrast.
    paths
        BIDS datasets, folders, tables (CSV, TSV, a path a line) or single scans.
    entities
        That names must have, such as ``suffix`` or ``acq``; an empty label: must not have.
    filter_file
        BIDS filter file, for BIDS datasets.
    participants
        Only these, with ``sub-``; empty: all.
    exclude
        Folders that are left out of the search.
    """

    domain: str
    paths: tuple[Path, ...]
    entities: Mapping[str, str] = field(default_factory=dict[str, str])
    filter_file: Path | None = None
    participants: frozenset[str] = frozenset()
    exclude: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Found:
    """The files of a domain, and what was left out or is worth knowing, a line each."""

    sources: tuple[Source, ...]
    notes: tuple[str, ...] = ()


def find_sources(wanted: Wanted) -> Found:
    """Find the scans of a domain.

    Raises
    ------
    InputError
        If there are none, or a path cannot be searched.
    """
    tally = Tally()
    rows = [row for path in wanted.paths for row in _rows(path, wanted, tally)]
    fitting = [row for row in rows if _fits(row, wanted)]
    unusable = [row for row in fitting if not row.usable]
    sources = {row.source: _source(wanted.domain, row) for row in fitting if row.usable}
    if not sources:
        raise _empty(wanted, rows, unusable)
    kinds = Counter(row.suffix for row in fitting if row.usable and row.suffix != UNNAMED_SUFFIX)
    mixed = [f"{wanted.domain}: of several kinds: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}"]
    left_out = [f"{wanted.domain}: left out: {row.path}: {row.problem}" for row in unusable]
    more = [f"{wanted.domain}: and {len(left_out) - _LEFT_OUT_SHOWN} more are left out"]
    absent = sorted(wanted.participants - {row.participant_id for row in fitting})
    notes = (
        *(f"{wanted.domain}: {note}" for note in tally.notes),
        *([f"{wanted.domain}: no scan of {listed(absent)}"] if absent else []),
        *(mixed if len(kinds) > 1 else []),
        *left_out[:_LEFT_OUT_SHOWN],
        *(more if len(left_out) > _LEFT_OUT_SHOWN else []),
    )
    ordered = sorted(sources.values(), key=lambda source: (source.subject, source.session, str(source.path)))
    return Found(tuple(ordered), notes)


def require_apart(domains: Mapping[str, Sequence[Source]]) -> None:
    """Refuse a file that is in both domains, with ``InputError``."""
    seen: dict[Path, str] = {}
    for name, sources in domains.items():
        for source in sources:
            if seen.setdefault(source.path, name) != name:
                raise InputError(
                    source.path,
                    found=f"the file in {seen[source.path]} and in {name}",
                    expected="files of one domain each",
                    remedy="tell the domains apart by folders, or with --filter",
                )


def faulty(
    read: Callable[[Path], object], sources: Iterable[Source], *, jobs: int = 1, progress: OnProgress | None = None
) -> list[Failure]:
    """Return what is wrong with files that cannot be used, without having written anything.

    Parameters
    ----------
    read
        Reads a file, a function of a module; ``SynthSegError`` where it cannot be used.
    sources
        Of all domains.
    jobs
        Files at once, each in a process of its own.
    progress
        Called with the number of files done and of all.
    """
    found = in_order(_fault, [(read, source.path) for source in sources], jobs=jobs, progress=progress)
    return [failure for failure in found if failure is not None]


def _fault(read: Callable[[Path], object], path: Path) -> Failure | None:
    try:
        read(path)
    except SynthSegError as error:
        return Failure.of(error, scan=str(path))
    return None


def paired(domains: Mapping[str, Sequence[Source]]) -> dict[str, tuple[Source, ...]]:
    """Return the files of both domains so that those of one number show the same subject and session.

    Raises
    ------
    InputError
        If one has no partner, or two of a domain have the same subject and session.
    """
    by_key = {name: {(one.subject, one.session): one for one in sources} for name, sources in domains.items()}
    for name, sources in domains.items():
        if len(by_key[name]) < len(sources):
            (subject, session), _ = Counter((one.subject, one.session) for one in sources).most_common(1)[0]
            raise _unpaired(name, f"several scans of {subject} {session}".rstrip(), "one for each subject and session")
    first, second = by_key.values()
    if lonely := sorted(first.keys() ^ second.keys()):
        texts = (" ".join(filter(None, key)) for key in lonely)
        raise _unpaired("pairs", f"only one domain of {listed(texts, 5)}", "a scan in both")
    return {name: tuple(keyed[key] for key in sorted(first)) for name, keyed in by_key.items()}


def read_participant_list(path: Path) -> frozenset[str]:
    """Return the participants of a table with a column ``participant_id``, or of a list of them, with ``sub-``."""
    records = read_records(path)
    header = [cell.casefold() for cell in records[0].cells] if records else []
    column = header.index("participant_id") if "participant_id" in header else 0
    rows = records[1:] if "participant_id" in header else records
    labels = {record.cells[column].strip() for record in rows if len(record.cells) > column}
    if not labels - {""}:
        raise InputError(path, found="no participants", expected="one a line", remedy="correct the list")
    return frozenset(with_prefix(label) for label in labels - {""})


def with_prefix(label: str) -> str:
    """Return a participant with ``sub-``."""
    return label if label.startswith("sub-") else f"sub-{label}"


def sites_of(paths: Iterable[Path], subjects: Collection[str], column: str) -> dict[str, str]:
    """Return where subjects were scanned, from the tables of participants of their datasets.

    Parameters
    ----------
    paths
        Of the domains; those that are folders have a ``participants.tsv``.
    subjects
        With ``sub-``.
    column
        Of the table.

    Raises
    ------
    InputError
        If the site of a subject is not known, or two tables contradict each other.
    """
    sites: dict[str, str] = {}
    tables = [path / "participants.tsv" for path in paths if (path / "participants.tsv").is_file()]
    for table in tables:
        for subject, cells in read_participants(table, set(subjects)).rows.items():
            site = cells.get(column, "")
            if site and sites.setdefault(subject, site) != site:
                raise _unknown_site(table, f"{site} for {subject}, elsewhere {sites[subject]}", column)
    if missing := sorted(set(subjects) - set(sites)):
        raise _unknown_site(tables[0] if tables else "participants.tsv", f"no {column} of {listed(missing, 5)}", column)
    return sites


def _rows(path: Path, wanted: Wanted, tally: Tally) -> list[ScanRow]:
    if path.is_file() and is_image(path.name, FOLDER_EXTENSIONS):
        return [_single(path)]
    search = Search(exclude=wanted.exclude, filter_file=wanted.filter_file)
    if suffix := wanted.entities.get("suffix"):
        search = replace(search, suffixes=(suffix,))
    if datatype := wanted.entities.get("datatype"):
        search = replace(search, datatypes=(datatype,))
    return list(find_scans(path, search, tally))


def _single(path: Path) -> ScanRow:
    """Name a file that was given itself."""
    path = absolute(path)
    said = bids_name(path.name) or name_from_path(path.name)
    if isinstance(said, ScanName):
        return ScanRow(said.stem, f"sub-{said.entities['sub']}", _session(said), said.suffix, path.name, str(path))
    name = ScanName({"sub": said.label}, said.suffix)
    return ScanRow(name.stem, f"sub-{said.label}", "", said.suffix, path.name, str(path))


def _session(name: ScanName) -> str:
    return f"ses-{name.entities['ses']}" if "ses" in name.entities else ""


def _fits(row: ScanRow, wanted: Wanted) -> bool:
    """Say whether a row has the entities; one without a usable name does, so that it is told."""
    if wanted.participants and row.participant_id not in wanted.participants:
        return False
    if not row.scan:
        return True
    known = {**parse_stem(row.scan).entities, "suffix": row.suffix}
    asked = {key: label for key, label in wanted.entities.items() if key != "datatype"}
    return all(known.get(key, "") == label for key, label in asked.items())


def _source(domain: str, row: ScanRow) -> Source:
    return Source(domain, row.participant_id, row.session_id, Path(row.source))


def _empty(wanted: Wanted, rows: Sequence[ScanRow], unusable: Sequence[ScanRow]) -> InputError:
    places = listed(str(path) for path in wanted.paths)
    if unusable:
        found = f"no usable scan in {places}: {unusable[0].path}: {unusable[0].problem}"
    else:
        without = f" among {counted(len(rows), 'scan')} that fits the filter" if rows else ""
        found = f"no scan in {places}{without}"
    return InputError(
        wanted.domain,
        found=found,
        expected="scans in both domains",
        remedy="check the paths, --filter and participants",
    )


def _unpaired(subject: str, found: str, expected: str) -> InputError:
    return InputError(subject, found=found, expected=expected, remedy="choose with --filter, or leave out --paired")


def _unknown_site(subject: object, found: str, column: str) -> UsageError:
    return UsageError(
        subject,
        found=found,
        expected=f"one {column} for every subject, in the participants.tsv of its dataset",
        remedy="complete the table, or split by subject",
    )
