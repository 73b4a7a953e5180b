"""What FreeSurfer writes behind the voxels of an MGH file: tags, of which one holds a colour table.

All numbers are big-endian 32-bit integers. The tag of a colour table has no length; its version is the one that
``.annot`` files have as well, a list of entries of which each brings its own number.

References
----------
FreeSurfer wiki, ``FsTutorial/MghFormat`` and ``LabelsClutsAnnotationFiles``; ``nibabel.freesurfer.io.read_annot``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_COLOUR_TABLE, _VERSION = 1, -2
_OPAQUE = 0  # what is stored is 255 minus the opacity
# Where FreeSurfer has the name of the file that the table came from.
_ORIGIN = "synthseg"


@dataclass(frozen=True)
class LabelColour:
    """A row of a colour table.

    Parameters
    ----------
    label
        Value in the label map.
    name
        Structure, without blanks.
    rgb
        Red, green and blue, 0 to 255.
    """

    label: int
    name: str
    rgb: tuple[int, int, int]


def colour_table_tag(entries: Sequence[LabelColour]) -> bytes:
    """Return the tag of a colour table: what follows the voxels and the scan parameters of an MGH file."""
    longest = max((entry.label for entry in entries), default=-1) + 1
    head = struct.pack(">3i", _COLOUR_TABLE, _VERSION, longest) + _text(_ORIGIN) + struct.pack(">i", len(entries))
    rows = (
        struct.pack(">i", entry.label) + _text(entry.name) + struct.pack(">4i", *entry.rgb, _OPAQUE)
        for entry in entries
    )
    return head + b"".join(rows)


def _text(text: str) -> bytes:
    """Return a text as length and bytes, its closing zero included in both."""
    content = text.encode() + b"\0"
    return struct.pack(">i", len(content)) + content
