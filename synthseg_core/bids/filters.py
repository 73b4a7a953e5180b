"""BIDS filter files: which kinds of scans are asked for, and by which entities.

References
----------
The form is that of fMRIPrep, ``--bids-filter-file``, and so is what it means for kinds that a file does not name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from synthseg_core.bids.search import SUFFIXES, Search
from synthseg_core.errors import InputError
from synthseg_core.system.settings import read_mapping

ANY = "*"
_OPTIONAL = "?"
# What other programs call in their filter files what is no anatomical scan.
OTHER_KINDS = ("bold", "sbref", "fmap", "dwi", "asl", "m0scan", "pet", "meg", "eeg", "ieeg", "roi", "xfm")
# Keys of file names, for which pybids has longer ones.
_LONG = {
    **{"sub": "subject", "ses": "session", "acq": "acquisition", "ce": "ceagent", "rec": "reconstruction"},
    **{"dir": "direction", "mod": "modality", "trc": "tracer", "seg": "segmentation", "nuc": "nucleus"},
    **{"voi": "volume", "stain": "staining"},
}


# How fMRIPrep writes such words where JSON has none, in its own configuration and in ours.
_WORD = re.compile(r"<?Query\.(NONE|ANY|REQUIRED|OPTIONAL)(?:: \d+>)?")


@dataclass(frozen=True)
class Query:
    """One kind of scan that is asked for.

    Parameters
    ----------
    name
        In the filter file.
    filters
        Entities and the values that will do; ``None`` among them: the entity may be absent; ``*``: any value.
    """

    name: str
    filters: Mapping[str, tuple[Any, ...]]


def read_queries(path: Path, search: Search) -> tuple[Query, ...]:
    """Read a filter file, as fMRIPrep does: it limits the kinds that it names, and leaves the others as they are.

    Kinds of other data types than the search's are left out.

    Parameters
    ----------
    path
        JSON or YAML.
    search
        What is looked for without a filter.

    Raises
    ------
    InputError
        If it is no JSON or YAML, or does not map names to entities.
    """
    content = read_mapping(path, "filter", _CORRECT_FILTER)
    if not content:
        raise _bad_filter(path, "no names of kinds")
    queries: list[Query] = []
    named: set[str] = set()
    for name, filters in content.items():
        if not isinstance(filters, dict):
            raise _bad_filter(path, f"{filters!r} as {name}")
        query = _query(path, str(name), cast(dict[Any, Any], filters), search)
        if set(query.filters["datatype"]) & set(search.datatypes):
            queries.append(query)
            named |= _kinds_named(str(name), query, search)
    others = tuple(suffix for suffix in search.suffixes if suffix not in named)
    return (*queries, default_query(replace(search, suffixes=others))) if others else tuple(queries)


def _kinds_named(name: str, query: Query, search: Search) -> set[str]:
    """Return the suffixes that an entry is about: its own, and that of its name; all if it has neither."""
    suffixes = query.filters["suffix"]
    if ANY in suffixes:
        return set(search.suffixes)
    return {*suffixes, *(suffix for suffix in search.suffixes if suffix.lower() == name.lower())}


_FILTER = 'JSON or YAML such as {"t1w": {"suffix": "T1w", "session": null}}'
_CORRECT_FILTER = "correct the filter file"


def _bad_filter(path: Path, found: str) -> InputError:
    return InputError(path, found=found, expected=_FILTER, remedy=_CORRECT_FILTER)


def default_query(search: Search) -> Query:
    """Return what our own search looks for."""
    return Query("scans", {"datatype": search.datatypes, "suffix": search.suffixes, "part": (None, "mag")})


def _query(path: Path, name: str, filters: Mapping[Any, Any], search: Search) -> Query:
    """Complete the entities of one kind: by its name if that is a kind of scan, otherwise as our own search does."""
    given = {_long(key): _values(path, f"{name}.{key}", value) for key, value in filters.items()}
    given = {key: tuple(_label(key, value) for value in values) for key, values in given.items()}
    given = {key: values for key, values in given.items() if _OPTIONAL not in values}
    query = dict(default_query(search).filters)
    kinds = {suffix.lower(): suffix for suffix in (*SUFFIXES, *search.suffixes)}
    if name.lower() in kinds:
        query["suffix"] = (kinds[name.lower()],)
    elif name.lower() in OTHER_KINDS and not {"datatype", "suffix"} <= given.keys():
        query["datatype"] = ()
    if ANY in given.get("datatype", ()):
        given["datatype"] = search.datatypes
    return Query(name, {**query, **given})


def _long(key: Any) -> str:
    return _LONG.get(str(key), str(key))


def _label(key: str, value: Any) -> Any:
    """Read the words of fMRIPrep, and labels that were written with their keys."""
    if not isinstance(value, str):
        return value
    if word := _WORD.fullmatch(value):
        return {"NONE": None, "OPTIONAL": _OPTIONAL}.get(word[1], ANY)
    short = next((short for short, long in _LONG.items() if long == key), key)
    return value.removeprefix(f"{short}-")


def _values(path: Path, place: str, value: Any) -> tuple[Any, ...]:
    values = tuple(cast(list[Any], value)) if isinstance(value, list) else (value,)
    for one in values:
        if isinstance(one, bool) or not isinstance(one, str | int | None):
            raise _bad_filter(path, f"{one!r} as {place}, perhaps a word without quotes")
    return values
