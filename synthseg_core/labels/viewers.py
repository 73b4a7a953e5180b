"""What the values of a label map mean, in the forms that viewers read: BIDS, FreeSurfer, ITK-SNAP.

References
----------
BIDS 1.11.1, discrete segmentations. FreeSurfer wiki, ``LabelsClutsAnnotationFiles``. ITK-SNAP, label description files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthseg_core.images.mgh_tags import LabelColour
from synthseg_core.labels.structures import label_colours, structure
from synthseg_core.labels.table import LabelTable
from synthseg_core.system.tables import format_tsv

# Of the BIDS label table; the first five are the standard's.
LABEL_COLUMNS: dict[str, dict[str, str]] = {
    "index": {"Description": "Value of the structure in label maps", "Format": "integer"},
    "name": {"Description": "Structure"},
    "abbreviation": {"Description": "Short name of the structure"},
    "color": {"Description": "Colour of the structure, red, green and blue as hexadecimal numbers"},
    "mapping": {"Description": "Class of the structure in the standard label table of BIDS", "Format": "integer"},
    "hemisphere": {"Description": "left, right or neutral"},
    "counterpart": {"Description": "Value of the same structure on the other side", "Format": "integer"},
    "channel": {"Description": "Volume of the structure in 4-D posteriors, counted from 0", "Format": "integer"},
}
_ITKSNAP_HEAD = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Fields:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    MSH:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
    0     0    0    0     0.00  0  0    "Clear Label"
"""


@dataclass(frozen=True)
class Meaning:
    """One value of a label map; ``channel`` is ``None`` where no posterior has a fixed place."""

    label: int
    name: str
    side: str
    counterpart: int
    channel: int | None = None


def meanings(tables: Sequence[LabelTable]) -> tuple[Meaning, ...]:
    """Return the values of label maps made with any of several tables, ascending, each value once.

    A value that tables call by different names has them all, separated by ``/``.
    """
    found: dict[int, Meaning] = {}
    alike = all(table.labels == tables[0].labels for table in tables)
    for table in tables:
        rows = zip(table.labels, table.names, table.sides, table.counterparts, strict=True)
        for channel, (label, name, side, other) in enumerate(rows):
            names = [] if label not in found else found[label].name.split(" / ")
            joined = " / ".join(dict.fromkeys([*names, name]))
            found[label] = Meaning(label, joined, side, other, channel if alike else None)
    return tuple(found[label] for label in sorted(found))


def with_parcels(structures: Iterable[Meaning], parcels: Iterable[Meaning]) -> tuple[Meaning, ...]:
    """Return the values of maps in which parcels take the place of the cortex, where they do; no posteriors."""
    both = {entry.label: entry for entry in (*parcels, *structures)}
    without = (Meaning(e.label, e.name, e.side, e.counterpart) for e in both.values())
    return tuple(sorted(without, key=lambda entry: entry.label))


def bids_table(entries: Iterable[Meaning]) -> str:
    """Return the TSV that BIDS puts beside label maps."""
    return format_tsv(map(_cells, entries), tuple(LABEL_COLUMNS))


def freesurfer_table(entries: Iterable[Meaning]) -> str:
    """Return a colour table for FreeSurfer's programs: number, name without blanks, colour, 0."""
    lines = ["#No. Label Name:                                 R   G   B   A"]
    for one in freesurfer_colours(entries):
        red, green, blue = one.rgb
        lines.append(f"{one.label:<5d} {one.name:<42s} {red:3d} {green:3d} {blue:3d}   0")
    return "\n".join(lines) + "\n"


def freesurfer_colours(entries: Iterable[Meaning]) -> list[LabelColour]:
    """Return the rows of such a table, for label maps that carry it."""
    return [
        LabelColour(entry.label, "Unknown" if entry.label == 0 else "-".join(entry.name.split()), _bytes(entry.label))
        for entry in entries
    ]


def itksnap_table(entries: Iterable[Meaning]) -> str:
    """Return a label description file for ITK-SNAP."""
    lines = [_itksnap_line(entry) for entry in entries if entry.label != 0]
    return _ITKSNAP_HEAD + "".join(f"{line}\n" for line in lines)


def _itksnap_line(entry: Meaning) -> str:
    red, green, blue = _bytes(entry.label)
    name = entry.name.replace('"', "'")
    return f'{entry.label:5d} {red:5d} {green:4d} {blue:4d}     1.00  1  1    "{name}"'


def _cells(entry: Meaning) -> dict[str, object]:
    known = structure(entry.label, entry.name)
    return {
        "index": entry.label,
        "name": entry.name,
        "abbreviation": known.abbreviation if known else None,
        "color": "#{:02X}{:02X}{:02X}".format(*_bytes(entry.label)),
        "mapping": known.mapping if known else None,
        "hemisphere": entry.side,
        "counterpart": entry.counterpart,
        "channel": entry.channel,
    }


def _bytes(label: int) -> tuple[int, int, int]:
    red, green, blue = label_colours([label]).get(label, (0.0, 0.0, 0.0))
    return round(255 * red), round(255 * green), round(255 * blue)
