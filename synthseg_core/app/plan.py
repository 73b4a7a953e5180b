"""What a workflow configuration means: folders, scans, stages, targets. The Snakefile and the front door share it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from synthseg_core import __version__
from synthseg_core.app.layout import Layout
from synthseg_core.app.stages import SegmentStage, write_stage_file
from synthseg_core.discovery import Search
from synthseg_core.errors import InputError, UsageError
from synthseg_core.models import resolved_name
from synthseg_core.scans import ScanRow, find_scans, read_table, select, write_table


@dataclass(frozen=True)
class Plan:
    """A checked configuration; the scan table is made or read when it is first asked for.

    Parameters
    ----------
    dataset
        The scans' dataset, absolute.
    table
        The scan table.
    search
        What to look for in the dataset; ``None``: the table is there and is read as it is.
    participants, sessions
        Labels that this run is restricted to; empty: all.
    segment
        Options of the segmentation.
    """

    layout: Layout
    dataset: Path
    table: Path
    search: Search | None
    participants: tuple[str, ...]
    sessions: tuple[str, ...]
    segment: SegmentStage

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, head: bool = True) -> Plan:
        """Make a plan from a configuration that fits the schema.

        Parameters
        ----------
        head
            Whether this process may look for scans and write the table; others read what it wrote.
        """
        layout = layout_of(config)
        segment = SegmentStage(**config["segment"])
        dataset = Path(config["input"]).absolute()
        table = Path(config["scans"] or layout.scan_table).absolute()
        return cls(
            layout=layout,
            dataset=dataset,
            table=table,
            search=search_of(config, layout) if head and not config["scans"] else None,
            participants=tuple(config["participants"]),
            sessions=tuple(config["sessions"]),
            segment=replace(segment, model=resolved_name(segment.model)),
        )

    @cached_property
    def rows(self) -> tuple[ScanRow, ...]:
        """All rows of the scan table: found anew where the dataset can be seen, otherwise as written before."""
        if self.search is None or (self.table.is_file() and not self.dataset.is_dir()):
            return read_table(self.table)
        rows = tuple(_refusing_braces(row) for row in find_scans(self.dataset, self.search))
        write_table(self.table, rows)
        return rows

    @property
    def is_partial(self) -> bool:
        """Whether this run is about some participants or sessions only, perhaps beside others like it."""
        return bool(self.participants or self.sessions)

    @property
    def selected(self) -> tuple[ScanRow, ...]:
        """Rows that this run is about, unusable ones included."""
        return select(self.rows, self.participants, self.sessions)

    @cached_property
    def _usable(self) -> dict[str, ScanRow]:
        return {row.scan: row for row in self.rows if row.usable}

    def source_of(self, stem: str) -> str:
        """Return the image of a scan; ``InputError`` if the table does not have it."""
        return self._row_of(stem).source

    def source_uri(self, stem: str) -> str:
        """Return the BIDS URI of a scan; ``raw`` is explained in ``dataset_description.json``."""
        return f"bids:raw:{quote(self._row_of(stem).path)}"

    def _row_of(self, stem: str) -> ScanRow:
        if stem not in self._usable:
            raise InputError(
                stem,
                found="no usable scan of that name in the scan table",
                expected="a scan that the table lists without a problem",
                remedy=f"see {self.table}",
            )
        return self._usable[stem]

    def targets(self) -> list[str]:
        """Return every file that a run makes: the one place where optional results are decided.

        Raises
        ------
        InputError
            If there is nothing to segment.
        """
        if not any(row.usable for row in self.selected):
            raise InputError(
                self.dataset,
                found=f"no usable scan among {len(self.selected)} selected and {len(self.rows)} listed",
                expected="at least one",
                remedy=f"see the problems in {self.table}, and check the selection and the suffixes",
            )
        scans = (self.layout.segmentation(row.scan) for row in self.selected if row.usable)
        return [str(path) for paths in (self.layout.dataset_files, *scans) for path in paths]

    def stage_file(self, stage: str, *, preview: bool = False) -> Path:
        """Return the settings file of a stage, up to date with the configuration."""
        return write_stage_file(self.layout, stage, self._settings(stage), preview=preview)

    def _settings(self, stage: str) -> dict[str, Any]:
        if stage == "segment":
            return self.segment.settings()
        source = os.path.relpath(self.dataset, self.layout.output)
        return {"model": self.segment.model, "input": source, "version": __version__}


def layout_of(config: Mapping[str, Any]) -> Layout:
    """Return the folders that a configuration names, absolute."""
    output = Path(config["output"]).absolute()
    layout = Layout(output, Path(config["work"] or output / "work").absolute())
    if "{" in f"{layout.output}{layout.work}" or not f"{layout.output}{layout.work}".isprintable():
        raise UsageError(
            output,
            found="a brace or an unprintable character in the path",
            expected="a path that Snakemake can use as a pattern",
            remedy="choose another folder",
        )
    return layout


def search_of(config: Mapping[str, Any], layout: Layout) -> Search:
    """Return what a configuration looks for; a plain folder's search leaves the run's own folders out."""
    folders = (layout.output, layout.work)
    return Search(config["layout"], tuple(config["suffixes"]), tuple(config["datatypes"]), exclude=folders)


def _refusing_braces(row: ScanRow) -> ScanRow:
    """Snakemake takes braces in a path for wildcards, and cannot be told otherwise."""
    if "{" not in row.source or row.problem:
        return row
    return replace(row, problem="a brace in the path, which Snakemake cannot take; rename it")
