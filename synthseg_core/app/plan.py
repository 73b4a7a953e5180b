"""What a workflow configuration means: folders, scans, stages, targets. The Snakefile and the front door share it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from synthseg_core import __version__
from synthseg_core.app.jobs import Jobs, segment_job_of, stage_settings
from synthseg_core.app.layout import Layout, require_own_output
from synthseg_core.app.merge_head import MergeHead
from synthseg_core.app.no_scans import no_usable_scan
from synthseg_core.app.report_plan import Pages, Reports
from synthseg_core.app.requests import date_back, remove_broken_link
from synthseg_core.app.stage_options import SegmentSettings, write_stage_file
from synthseg_core.bids.description import dataset_file_names
from synthseg_core.bids.discovery import dataset_of
from synthseg_core.bids.names import STAGES, derivative, products_of
from synthseg_core.bids.own_folders import work_folder
from synthseg_core.bids.scan_row import ScanRow, pointer_problem
from synthseg_core.bids.scan_table import (
    absent_labels,
    find_scans,
    home_of,
    read_table,
    select,
    source_uri,
    write_table,
)
from synthseg_core.bids.search import Search
from synthseg_core.bids.tally import Tally
from synthseg_core.errors import InputError, SynthSegError, UsageError
from synthseg_core.models.registry import resolved_name
from synthseg_core.system.paths import is_allowed, is_broken_link

# With one of these, pybids searches.
_PYBIDS_KEYS = ("bids_filter_file", "bids_database")


@dataclass(frozen=True)
class Selection:
    """Which scans of the table a run is about, by labels without ``sub-`` and ``ses-``; empty: all.

    Parameters
    ----------
    participants, sessions
        Those that are taken.
    exclude_participants
        Those that are not.
    """

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    exclude_participants: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Selection:
        """Take the selection from a configuration that fits the schema."""
        return cls(*(tuple(config[key]) for key in ("participants", "sessions", "exclude_participants")))

    @property
    def is_partial(self) -> bool:
        """Whether a run is about some participants or sessions only, perhaps beside others like it."""
        return bool(self.participants or self.sessions)

    def of(self, rows: Iterable[ScanRow]) -> tuple[ScanRow, ...]:
        """Return the rows that are selected."""
        return select(rows, self.participants, self.sessions, exclude_participants=self.exclude_participants)


@dataclass(frozen=True)
class Plan:
    """A checked configuration; the scan table is made or read when it is first asked for.

    Parameters
    ----------
    asked
        The input as it was given, absolute.
    dataset
        The scans' dataset, absolute: the input, or the only dataset in it.
    table
        The scan table.
    search
        What to look for in the dataset; ``None``: the table is there and is read as it is.
    selection
        Which scans this run is about.
    segment
        Options of the segmentation.
    stages
        Those that are asked for, in their order; see ``synthseg_core.bids.names.STAGES``.
    quality_threshold
        Scans with a quality score below are flagged.
    reports
        Pages to look at.
    head
        Model whose tissues go around the segmentation; ``None``: none.
    """

    layout: Layout
    asked: Path
    dataset: Path
    table: Path
    search: Search | None
    selection: Selection
    segment: SegmentSettings
    stages: tuple[str, ...]
    quality_threshold: float
    reports: Reports
    head: MergeHead | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, head: bool = True) -> Plan:
        """Make a plan from a configuration that fits the schema.

        Parameters
        ----------
        config
            As ``config/config.yaml`` describes it.
        head
            Whether this process may look for scans and write the table; others read what it wrote.
        """
        layout = layout_of(config)
        return cls(
            layout=layout,
            asked=Path(config["input"]).absolute(),
            dataset=dataset_of(Path(config["input"]).absolute(), config["layout"], (layout.output, layout.work)),
            table=Path(config["scans"] or layout.scan_table).absolute(),
            search=search_of(config, layout) if head and not config["scans"] else None,
            selection=Selection.from_config(config),
            segment=SegmentSettings.from_config(config["segment"]),
            stages=stages_of(config),
            quality_threshold=config["qc"]["threshold"],
            reports=Reports(**config["report"]),
            head=MergeHead.from_config(config["merge_head"]),
        )

    @cached_property
    def rows(self) -> tuple[ScanRow, ...]:
        """All rows of the scan table: found anew where the dataset can be seen, otherwise as written before.

        The table is written where there is something to do; where there is not, what an earlier run wrote stays.
        """
        if self.search is not None and any(row.usable for row in self.selection.of(self.listed)):
            write_table(self.table, self.listed)
        return self.listed

    @cached_property
    def listed(self) -> tuple[ScanRow, ...]:
        """The same rows, and nothing is written."""
        if self.search is None or (self.table.is_file() and not self.dataset.exists()):
            return read_table(self.table)
        return self.found

    @cached_property
    def found(self) -> tuple[ScanRow, ...]:
        """Rows of the dataset as it is now; none if there is nothing to search."""
        if self.search is None:
            return ()
        return tuple(self._judged(row) for row in find_scans(self.dataset, self.search, self.tally))

    @cached_property
    def tally(self) -> Tally:
        """What the search saw and did not list."""
        inside = self.dataset != self.asked
        return Tally(notes=[f"read is {self.dataset}, the only BIDS dataset in {self.asked}"] if inside else [])

    def like(self, other: Plan) -> Plan:
        """Take over what a plan of the same dataset has found, so that it is searched once; return this plan."""
        vars(self).update({name: value for name, value in vars(other).items() if name in ("found", "tally")})
        return self

    @cached_property
    def absent(self) -> tuple[str, ...]:
        """Participants and sessions that this run is to be about and that no image has, with their prefixes."""
        selection = self.selection
        return absent_labels(selection.of(self.listed), selection.participants, selection.sessions)

    @cached_property
    def selected(self) -> tuple[ScanRow, ...]:
        """Rows that this run is about, unusable ones included."""
        return self.selection.of(self.rows)

    @cached_property
    def usable(self) -> tuple[ScanRow, ...]:
        """Rows that this run is about and that can be given to the workflow."""
        return tuple(row for row in self.selected if row.usable)

    @cached_property
    def _by_stem(self) -> dict[str, ScanRow]:
        return {row.scan: row for row in self.rows if row.usable}

    def row_of(self, stem: str) -> ScanRow:
        """Return the row of a scan; ``InputError`` if the table does not have it."""
        if stem not in self._by_stem:
            raise InputError(
                stem,
                found="no usable scan of that name in the scan table",
                expected="a scan that the table lists without a problem",
                remedy=f"see {self.table}",
            )
        return self._by_stem[stem]

    def scan_of(self, stem: str) -> str:
        """Return the image of a scan."""
        return self.row_of(stem).source

    @property
    def segment_job(self) -> tuple[str, ...]:
        """Stages that the ``segment`` job does; each of the others has a job of its own."""
        return segment_job_of(self.stages)

    @property
    def optional(self) -> tuple[str, ...]:
        """Outputs of the ``segment`` job that not every run makes, by name."""
        return products_of("posteriors") if "posteriors" in self.stages else ()

    def options_of(self, stem: str) -> SegmentSettings:
        """Return the options of the segmentation of one scan."""
        return self.segment.for_scan(self.row_of(stem))

    def segment_words(self, stem: str) -> list[str]:
        """Return the options of ``synthseg segment`` for one scan."""
        seen = ["--translated", self.translated_of(stem)] if "translate" in self.stages else []
        return [*self.options_of(stem).flags(), "--source", self._uri(stem), *seen]

    def translate_words(self, stem: str) -> list[str]:
        """Return the options of ``synthseg translate apply`` for one scan."""
        return [*self.options_of(stem).translation_flags(), "--source", self._uri(stem)]

    def translated_of(self, stem: str) -> str:
        """Return the translation of a scan, which is segmented in place of it."""
        return str(self.layout.derivative(stem, "translated"))

    def optional_words(self, paths: Mapping[str, str]) -> list[str]:
        """Return more options of ``synthseg segment``: the paths of those outputs that not every run makes."""
        return [word for name in self.optional for word in (f"--{name.replace('_', '-')}", paths[name])]

    def parcellate_words(self, stem: str) -> list[str]:
        """Return the options of ``synthseg parcellate`` for one scan."""
        words = self.options_of(stem).model_flags()
        return [*words, "--source", self._uri(stem), "--segmentation-source", _own_uri(stem)]

    def merge_words(self, stem: str) -> list[str]:
        """Return the options of ``synthseg merge`` for one scan."""
        options = self.options_of(stem)
        words = self.head.words(options) if self.head else []
        return [*words, "--source", self._uri(stem), "--segmentation-source", _own_uri(stem)]

    def resample_words(self, stem: str) -> list[str]:
        """Return the options of ``synthseg resample`` for one scan."""
        return ["--source", self._uri(stem)]

    def report_words(self, stem: str) -> list[str]:
        """Return the words of ``synthseg report`` for one scan."""
        label_map = str(self.layout.derivative(stem, "dseg"))
        return [label_map, "--scan", self.scan_of(stem), *self.reports.flags(self.quality_threshold)]

    def qc_words(self, stem: str) -> list[str]:
        """Return the options of ``synthseg qc`` for one scan."""
        return self.options_of(stem).model_flags()

    def _uri(self, stem: str) -> str:
        """Return what sidecars call a scan; ``raw`` is explained in ``dataset_description.json``."""
        return source_uri(self.row_of(stem))

    def targets(self, *, preview: bool = False) -> list[str]:
        """Return what Snakemake is asked for: the one place where optional results are decided.

        Parameters
        ----------
        preview
            For dry runs, which cannot remove the links to nowhere that Snakemake would stop at.

        Raises
        ------
        InputError
            If there is nothing to segment.
        """
        files = [path for path in map(str, self.dataset_files) if not (preview and is_broken_link(path))]
        return [*files, *self.scan_targets(preview=preview)]

    def scan_targets(self, *, preview: bool = False) -> list[str]:
        """Return the targets that are made from scans; raises as :meth:`targets`.

        Of each job its first file stands for all of them, so that Snakemake has a target a job and not a dozen. Where
        the first file is there and others are missing, these are named too, or nobody would notice.
        """
        self.require_scans()
        stems = [row.scan for row in self.usable]
        hidden = self.with_broken_links() if preview else ()
        for stem in hidden:
            print(f"not in Snakemake's list, for links to nowhere among its results: {stem}", file=sys.stderr)
        seen = [stem for stem in stems if stem not in hidden]
        jobs = (files for stem in seen for files in self._jobs_of(stem))
        named = [name for first, *others in jobs for name in (first, *(_missing(others) if _is_there(first) else ()))]
        return [*named, *(self.pages.files(stem)[0] for stem in seen if self.reports.enabled)]

    def with_broken_links(self) -> frozenset[str]:
        """Return the scans with links to nowhere among their results, which a dry run of Snakemake cannot look at."""
        return frozenset(row.scan for row in self.usable if any(map(is_broken_link, self._all_of(row.scan))))

    def all_files(self) -> list[str]:
        """Return every file that a run makes."""
        self.require_scans()
        return [*map(str, self.dataset_files), *(str(path) for row in self.usable for path in self.files_of(row.scan))]

    def _jobs_of(self, stem: str) -> list[list[str]]:
        """Return the files of each job of a scan."""
        jobs = [self.segment_job, *((stage,) for stage in self.stages if stage not in self.segment_job)]
        return [[str(path) for stage in job for path in self.layout.made_by(stage, stem)] for job in jobs]

    def require_scans(self) -> None:
        """Refuse a run about no scan with ``InputError``, before anything is written."""
        selected = self.selection.of(self.listed)
        if not any(row.usable for row in selected):
            raise no_usable_scan(self.dataset, self.search, self.tally, self.listed, selected, self.absent)

    @property
    def dataset_files(self) -> list[Path]:
        """Files that describe the derivative dataset as a whole."""
        return [self.layout.output / name for name in dataset_file_names(self.stages)]

    @property
    def source_folder(self) -> Path:
        """The dataset; of a table of scans, its folder."""
        return home_of(self.dataset)

    @property
    def models(self) -> list[str]:
        """Models of all scans of the table, those of other runs too; the configuration's first."""
        own = dict.fromkeys(row.model for row in self.rows if row.usable and row.model)
        return list(dict.fromkeys([self.segment.model, *map(resolved_name, own)]))

    def files_of(self, stem: str) -> list[Path]:
        """Return every file that a run makes from one scan."""
        return [path for stage in self.stages for path in self.layout.made_by(stage, stem)]

    def _all_of(self, stem: str) -> list[Path]:
        """Return every file that rules declare for a scan, copies included."""
        return [path for stage in self.stages for path in self.layout.outputs_of(stage, stem).values()]

    def stage_file(self, stage: str, *, preview: bool = False) -> Path:
        """Return the settings file of ``describe``, up to date with the configuration."""
        known = self.layout.settings(stage)
        before = known.read_bytes() if known.is_file() else b""
        path = write_stage_file(self.layout, stage, self._dataset_settings(), preview=preview)
        if not preview:
            for file in self.dataset_files:
                remove_broken_link(file)
            if path.read_bytes() != before:
                date_back(path, self.dataset_files)
        return path

    @cached_property
    def pages(self) -> Pages:
        """The pages about the scans of this run."""
        return Pages(self.layout, self.stages, self.reports, self.quality_threshold)

    @cached_property
    def jobs(self) -> Jobs:
        """The jobs of this run: what each is asked for, and whether it has to run."""
        return Jobs(self.layout, self.segment, self.stages, self.head)

    def settle(self) -> None:
        """Write what every job of this run is asked for, and remove what would stop Snakemake."""
        for row in self.usable:
            for stage in self.jobs.stages:
                self.jobs.request(stage, row)

    def scan_stage_file(self, stage: str, stem: str, *, preview: bool = False) -> Path:
        """Return the settings file of a stage for one scan; scans with the same options share it."""
        return self.jobs.option_file(stage, self.options_of(stem), preview=preview)

    def require_models(self) -> None:
        """Find out before any job starts whether the models can be used and offer what is asked for.

        Raises
        ------
        SynthSegError
            If not.
        """
        for options in {self.segment.for_scan(row) for row in self.usable}:
            for stage in self.stages:
                stage_settings(stage, options, self.head)

    def _dataset_settings(self) -> dict[str, Any]:
        source = os.path.relpath(self.source_folder, self.layout.output)
        made = {"stages": list(self.stages), "reports": self.reports.enabled}
        made |= {"merge_head": self.head.model} if self.head else {}
        return {"models": self.models, "input": source, "version": __version__, **made}

    def _judged(self, row: ScanRow) -> ScanRow:
        """Notice what makes a scan unusable for this run: its path, or a model of its own."""
        if row.problem:
            return row
        if not is_allowed(Path(row.source), os.R_OK):
            return replace(row, problem="no permission to read it; correct its permissions")
        if "{" in row.source:  # Snakemake takes braces in a path for wildcards, and cannot be told otherwise
            return replace(row, problem="a brace in the path, which Snakemake cannot take; rename it")
        problem = pointer_problem(row.source) or (self._model_problem(row.model) if row.model else "")
        return replace(row, problem=problem) if problem else row

    @cache  # noqa: B019 -- a process has one plan
    def _model_problem(self, model: str) -> str:
        try:
            for stage in self.stages:
                stage_settings(stage, replace(self.segment, model=model), self.head)
        except SynthSegError as error:
            return f"its model: {error}"
        return ""


def stages_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the stages that a configuration asks for, in their order."""
    asked = {
        "translate": config["segment"]["translate_before"] is not None,
        "segment": True,
        "posteriors": config["segment"]["posteriors"],
        "resample": config["resample"]["enabled"],
        "parcellate": config["parcellate"]["enabled"],
        "qc": config["qc"]["enabled"],
        "merge_head": config.get("merge_head", {}).get("model") is not None,  # earlier versions wrote none
    }
    return tuple(stage for stage in STAGES if asked[stage])


def _own_uri(stem: str) -> str:
    """Return what sidecars call the segmentation of a scan."""
    return f"bids::{quote(derivative(stem, 'dseg'))}"


def _missing(names: Iterable[str]) -> list[str]:
    return [name for name in names if not _is_there(name)]


def _is_there(name: str) -> bool:
    return os.path.exists(name)  # noqa: PTH110 -- large datasets ask for a hundred thousand names


def layout_of(config: Mapping[str, Any]) -> Layout:
    """Return the folders that a configuration names, absolute; ``UsageError`` if they cannot be written to as such."""
    output = Path(config["output"]).absolute()
    layout = Layout(output, Path(config["work"] or work_folder(output)).absolute())
    if "{" in f"{layout.output}{layout.work}" or not f"{layout.output}{layout.work}".isprintable():
        raise UsageError(
            output,
            found="a brace or an unprintable character in the path",
            expected="a path that Snakemake can use as a pattern",
            remedy="choose another folder",
        )
    asked = Path(config["input"]).absolute()
    for dataset in (asked, dataset_of(asked, config["layout"])):
        require_own_output(output, dataset)
    return layout


def search_of(config: Mapping[str, Any], layout: Layout) -> Search:
    """Return what a configuration looks for; a plain folder's search leaves the run's own folders out."""
    filter_file, database = (Path(config[key]).absolute() if config[key] else None for key in _PYBIDS_KEYS)
    return Search(
        layout=config["layout"],
        suffixes=tuple(config["suffixes"]),
        datatypes=tuple(config["datatypes"]),
        exclude=(layout.output, layout.work),
        results=layout.output,
        path_column=config["path_column"],
        filter_file=filter_file,
        database=database,
        derivatives=tuple(Path(folder).absolute() for folder in config["derivatives"]),
    )
