"""Three scans made from a T1-weighted template, as a BIDS dataset: the template, thick slices, another contrast.

The template is the ICBM 152 2009a average of 152 heads at 1 mm, without skull, that the package nilearn carries; its
file is read, none of nilearn's code runs.

References
----------
Fonov et al., Unbiased average age-appropriate atlases for pediatric studies, NeuroImage 54, 2011.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from synthseg_core.errors import UsageError
from synthseg_core.images.reading import read_stored
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.system.atomic import write_json, write_text

_FILE = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
_SLICE_VOXELS = 5
# The inverse of the brightest white matter (255) stays above the background, as white matter does in T2-weighted scans.
_INVERSION_LEVEL = 280

_README = """\
Three scans of one brain, made by synthseg_core.cli.demo.template from the ICBM 152 2009a template without skull, an
average of 152 people that the package nilearn carries:

sub-01  the template, 1 x 1 x 1 mm
sub-02  averages of five slices of it, 1 x 1 x 5 mm
sub-03  its contrast inverted, so that fluid is bright as in T2-weighted scans, 1 x 1 x 1 mm

An average brain is smoother than anybody's, and the second and third scan are computed, not measured.

Template: Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill
University. Permission to use, copy, modify, and distribute this software and its documentation for any purpose and
without fee is hereby granted, provided that the above copyright notice appear in all copies. The authors and McGill
University make no representations about the suitability of this software for any purpose. It is provided "as is"
without express or implied warranty.
"""
_DESCRIPTION = {
    "Name": "A template in three disguises",
    "BIDSVersion": "1.11.1",
    "DatasetType": "raw",
    "License": "As stated in README.md",
    "Authors": ["McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill University"],
    "ReferencesAndLinks": [
        "Fonov et al., Unbiased average age-appropriate atlases for pediatric studies, NeuroImage 54, 2011, "
        "https://doi.org/10.1016/j.neuroimage.2010.07.033"
    ],
}


def template_path() -> Path:
    """Return the template's file.

    Raises
    ------
    UsageError
        If nilearn is not installed or does not carry it.
    """
    found = find_spec("nilearn")
    for folder in (found.submodule_search_locations or []) if found else []:
        if (Path(folder) / _FILE).is_file():
            return Path(folder) / _FILE
    raise UsageError(
        "the template",
        found="an installation of nilearn without it" if found else "no nilearn in this environment",
        expected=f"nilearn with {_FILE}",
        remedy="pip install 'synthseg-bids[demo]'",
    )


def thick_slices(volume: Volume, count: int = _SLICE_VOXELS) -> Volume:
    """Average every ``count`` slices along the last axis into one; what is left over at the end is dropped."""
    i, j, k = volume.shape
    slices = volume.data[..., : k - k % count].reshape(i, j, -1, count).mean(axis=-1)
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (count - 1) / 2
    affine[:3, 2] *= count
    return Volume(slices, affine)


def inverted(volume: Volume) -> Volume:
    """Turn dark into bright and bright into dark; what is 0, the background, stays."""
    data = np.where(volume.data > 0, _INVERSION_LEVEL - volume.data.astype(np.float64), 0)
    return Volume(data, volume.affine)


def _same(volume: Volume) -> Volume:
    return volume


SCANS: dict[str, Callable[[Volume], Volume]] = {
    "sub-01/anat/sub-01_T1w.nii.gz": _same,
    "sub-02/anat/sub-02_acq-thick_T1w.nii.gz": thick_slices,
    "sub-03/anat/sub-03_acq-inverted_T2w.nii.gz": inverted,
}
"""What becomes of the template, by path relative to the dataset."""


def write_dataset(folder: Path, template: Path | None = None) -> list[Path]:
    """Write the scans as a BIDS dataset and return their paths; the same files every time.

    Parameters
    ----------
    folder
        The dataset; made if it is not there.
    template
        Another scan to start from; ``None``: nilearn's template.
    """
    volume = read_stored(template or template_path())
    for name, change in SCANS.items():
        changed = change(volume)
        write_volume(folder / name, Volume(np.rint(changed.data).astype(np.int16), changed.affine))
    write_json(folder / "dataset_description.json", _DESCRIPTION)
    write_text(folder / "README.md", _README)  # last: make looks for it
    return [folder / name for name in SCANS]
