"""Write the group tables, each beside a JSON file that explains its columns and names the models behind its numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from synthseg_core.bids.columns import ENTITY_NAMES, column_meanings
from synthseg_core.bids.names import PRODUCTS, report_name
from synthseg_core.bids.participants import participant_folders, write_participants
from synthseg_core.errors import InputError
from synthseg_core.reports.gathering import GroupTables
from synthseg_core.reports.review import read_reviews
from synthseg_core.system.atomic import atomic_path, write_bytes, write_json
from synthseg_core.system.settings import known_mapping
from synthseg_core.system.tables import ABSENT

if TYPE_CHECKING:
    from synthseg_core.reports.tables import Table

SCANS_NAME = "group_scans"
WIDE_NAME = "group_seg-synthseg_volumes"
LONG_NAME = "group_seg-synthseg_desc-long_volumes"
GROUPED_NAME = "group_seg-synthseg_desc-grouped_volumes"
QUALITY_NAME = "group_qc"
QUALITY_THRESHOLD = 0.65
"""Scores below get a flag where nobody asks for another threshold; a value to start from, no more."""

# Stage -> segmentation, as it stands in the names of its tables.
_SEGMENTATIONS = {"segment": "synthseg", "parcellate": "synthsegparc"}


def write_group_tables(tables: GroupTables, folder: Path, *, threshold: float = QUALITY_THRESHOLD) -> tuple[str, ...]:
    """Write all tables, and ``participants.tsv`` with the participants of all scans.

    Parameters
    ----------
    tables
        From :func:`synthseg_core.reports.gathering.gather`.
    folder
        Derivative dataset; the tables go to its top.
    threshold
        Scores below it are flagged; nothing is left out because of it.

    Returns
    -------
    tuple of str
        What of the participants' table of the raw dataset could not be used, a line for each kind of fault; lines of
        the review that say nothing known; and files that could not be written beside single results.

    Raises
    ------
    InputError
        If no scan is known; the tables of an earlier run stay as they are.
    """
    # pandas takes half a second
    from synthseg_core.reports.tables import entities_of_scans, quality_table, scan_table, with_entities, with_reviews
    from synthseg_core.reports.volumes import GroupVolumes, sums_of

    if not tables.statuses:
        raise InputError(
            folder, found="no scan to gather", expected="a scan table with scans", remedy="check the dataset"
        )
    notes = write_missing_copies(folder)
    notes += write_participants(folder, (status.row.participant_id for status in tables.statuses if status.row.scan))
    entities = entities_of_scans(status.row for status in tables.statuses)
    reviews = read_reviews(folder)
    notes += reviews.notes(report_name(status.row.scan) for status in tables.statuses)

    def write(name: str, table: Table) -> None:
        _write(folder / name, with_reviews(with_entities(table, entities), reviews))

    write(SCANS_NAME, scan_table(tables))
    for stage, segmentation in _SEGMENTATIONS.items():
        if stage not in tables.numbers:
            continue
        volumes = GroupVolumes(tables.numbers[stage])
        for name, table in (
            (WIDE_NAME, volumes.wide()),
            (LONG_NAME, volumes.long()),
            (GROUPED_NAME, volumes.summed(sums_of(segmentation))),
        ):
            write(name.replace("seg-synthseg_", f"seg-{segmentation}_"), table)
    if "qc" in tables.numbers:
        write(QUALITY_NAME, quality_table(tables.numbers["qc"], threshold))
    _mend_meanings(folder)
    return notes


def write_missing_copies(folder: Path) -> tuple[str, ...]:
    """Write the JSON files at 1 mm that results of earlier versions lack, and return why some could not be written."""
    faults: list[str] = []
    for copy, source in list(_missing_copies(folder)):
        try:
            write_bytes(copy, source.read_bytes())
        except OSError as error:
            faults.append(str(error))
    return tuple(faults)


def _missing_copies(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Return files that lack beside label maps, each with the one beside the other map of its scan."""
    copies = [product for product in PRODUCTS.values() if product.copy_of]
    for participant in participant_folders(folder):
        for place, _, names in os.walk(folder / participant):
            known = {*names}
            for product in copies:
                ending, original = product.ending(""), PRODUCTS[product.copy_of].ending("")
                image = ending.replace(product.extension, ".nii.gz")
                for scan in (name.removesuffix(image) for name in names if name.endswith(image)):
                    source = Path(place, f"{scan}{original}")
                    if f"{scan}{ending}" not in known and source.is_file():
                        yield source.with_name(f"{scan}{ending}"), source


def _mend_meanings(folder: Path) -> None:
    """Mend JSON files of earlier versions, beside tables that were not asked for now: pybids refuses their keys."""
    for path in folder.glob("group_*.json"):
        content = known_mapping(path)
        if ENTITY_NAMES & {*content}:
            write_json(path, column_meanings(content))


def _write(path: Path, table: Table) -> None:
    """Write a table, volumes to 0.001 mm³ as in the tables of single scans, and its JSON file."""
    with atomic_path(path.with_name(f"{path.name}.tsv")) as temporary:
        table.cells.to_csv(
            temporary,
            sep="\t",
            columns=list(table.columns),
            index=False,
            na_rep=ABSENT,
            float_format="%.3f",
            lineterminator="\n",
            encoding="utf-8",
        )
    write_json(
        path.with_name(f"{path.name}.json"), {**column_meanings(table.columns), "GeneratedBy": table.generated_by}
    )
