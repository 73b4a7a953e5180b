"""Command lines that take what users of similar programs type, or say in one line what to type instead.

Underscores and hyphens in the names of options are the same. No option may be shortened: what begins like an option, or
sounds like one, is asked back for and never guessed. Names that other programs have for an option, and what to do
instead of those that have no counterpart, are data: a table for each command.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

from synthseg_core.system.tables import read_tsv

_VALUE = "{}"
# How argparse begins what it says of words that are missing or left over.
_MISSING_OR_LEFT = ("the following arguments are required: ", "unrecognized arguments: ")
# En dash, em dash, minus.
_DASHES = "\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}"
# Names that differ by a slip of the fingers are at least so alike, of 1.
_ALIKE, _SUGGESTED = 0.7, 3


@dataclass(frozen=True)
class ForeignOption:
    """An option of another program.

    Parameters
    ----------
    option
        Its name; ``*`` stands for any ending.
    program
        Whose option it is.
    instead
        Our option that takes its place: ``--mem``, with its value in another unit ``--mem={}G``, or with a value of
        its own ``--device=cpu``. Empty: there is none.
    advice
        What to do instead, where there is none.
    """

    option: str
    program: str
    instead: str
    advice: str

    def in_our_words(self, value: str | None, words: Iterator[str]) -> list[str]:
        """Return what stands for the option, its value behind a ``=`` or in the words that follow."""
        if _VALUE in self.instead:
            return [self.instead.format(next(words, "") if value is None else value)]
        return [self.instead if value is None else f"{self.instead}={value}"]


def read_foreign_options(path: Path) -> tuple[ForeignOption, ...]:
    """Read a table with the columns option, program, instead, advice; one of the last two is empty."""
    rows = read_tsv(path, required=("option", "program", "instead", "advice"))
    return tuple(ForeignOption(*(row[key] for key in ("option", "program", "instead", "advice"))) for row in rows)


class Parser(argparse.ArgumentParser):
    """A parser as the module says; its attributes are set by whoever makes it.

    ``foreign`` holds options of other programs, ``order`` what to say where words are missing or too many.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "allow_abbrev": False})
        self.foreign: tuple[ForeignOption, ...] = ()
        self.order = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Parse what the user typed, in our own words."""
        words = list(sys.argv[1:] if args is None else args)
        # With commands, each has a parser of its own, which knows its options.
        return super().parse_known_args(words if self._subparsers else self._in_our_words(words), namespace)

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line."""
        line = " ".join(message.removeprefix("argument ").split())
        advice = self.order if line.startswith(_MISSING_OR_LEFT) and self.order else self._see_help()
        # What says what was found says what to do as well.
        self.exit(2, f"{self.prog}: error: {line if ': found ' in line else f'{line}; {advice}'}\n")

    def _in_our_words(self, words: Sequence[str]) -> list[str]:
        known = {_hyphens(option): option for option in self._option_string_actions}
        found: list[str] = []
        coming = iter(words)
        for word in coming:
            if word == "--":
                return [*found, word, *coming]
            self._refuse_dash(word, known)
            found += self._translated(word, known, coming) if _is_option(word) else [word]
        return found

    def _refuse_dash(self, word: str, known: Mapping[str, str]) -> None:
        """Notice an option from a page that made one dash of its two hyphens."""
        meant = f"--{word.lstrip(_DASHES)}"
        name = _hyphens(meant.partition("=")[0])
        if word[:1] in _DASHES and word and (name in known or self._foreign(name)):
            self.error(f"{word}: found a dash, which text programs make of two hyphens; write {meant}")

    def _translated(self, word: str, known: Mapping[str, str], coming: Iterator[str]) -> list[str]:
        name, equals, rest = word.partition("=")
        value = rest if equals else None
        name = _hyphens(name)
        if name in known:
            return [known[name] + equals + rest]
        foreign = self._foreign(name)
        number = re.fullmatch(r"(-[a-zA-Z])(\d+)", word)
        if foreign is None and number and number[1] not in known:  # -c4
            foreign, value = self._foreign(number[1]), number[2]
        if foreign is not None and foreign.instead:
            return foreign.in_our_words(value, coming)
        if foreign is not None:
            self.error(f"{name}: found an option of {foreign.program}; {foreign.advice}")
        if word.startswith("--"):
            self.error(f"{name}: found no such option; {self._advice(name, known.values())}")
        return [word]

    def _foreign(self, name: str) -> ForeignOption | None:
        return next((one for one in self.foreign if fnmatchcase(name, one.option)), None)

    def _advice(self, name: str, known: Iterable[str]) -> str:
        ours = {option.lower(): option for option in known if option.startswith("--")}
        others = {one.option.lower(): one.instead.split(f"={_VALUE}")[0] for one in self.foreign if one.instead}
        beginning = [option for option in ours if option.startswith(name.lower())]
        alike = beginning or get_close_matches(name.lower(), {**others, **ours}, n=_SUGGESTED, cutoff=_ALIKE)
        meant = list(dict.fromkeys({**others, **ours}[option] for option in alike))
        return f"did you mean {' or '.join(meant[:_SUGGESTED])}?" if meant else self._see_help()

    def _see_help(self) -> str:
        return f"see '{self.prog} --help'"


class Several(argparse.Action):
    """Takes the words of every mention, and parts of words that commas or spaces join; nothing at all is an error."""

    def __call__(self, _parser: Any, namespace: Any, values: Any, _option: str | None = None) -> None:
        """Add the parts to those of earlier mentions, each once."""
        parts = [part for value in values for part in re.split(r"[,\s]+", value) if part]
        if not parts:
            raise argparse.ArgumentError(self, f"found {' '.join(values)!r}; expected at least one {self.metavar}")
        known = getattr(namespace, self.dest) or []
        setattr(namespace, self.dest, list(dict.fromkeys([*known, *parts])))


def _hyphens(name: str) -> str:
    """Return the name of an option with hyphens for underscores."""
    return name.replace("_", "-")


def _is_option(word: str) -> bool:
    """Tell options from values, negative numbers among them."""
    return len(word) > 1 and word[0] == "-" and not re.match(r"-\.?\d", word) and " " not in word.partition("=")[0]
