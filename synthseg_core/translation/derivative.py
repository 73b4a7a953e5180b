"""Many scans in another contrast, as a BIDS derivative dataset: images, labels as they were, and where all came from.

A scan whose results are there, from the same file, translator and options, is kept; so a run that was killed goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthseg_core import __version__
from synthseg_core.bids.columns import CODE_NAME
from synthseg_core.bids.names import BidsName, label_from
from synthseg_core.bids.path_names import bids_name, name_from_path
from synthseg_core.errors import InputError
from synthseg_core.images.formats import extension
from synthseg_core.images.reading import read_scan
from synthseg_core.images.writing import write_volume
from synthseg_core.segmentation.sidecars import Origin
from synthseg_core.system.atomic import atomic_path, write_json, write_text
from synthseg_core.system.file_identity import sha256_of
from synthseg_core.system.settings import known_mapping
from synthseg_core.system.tables import format_tsv
from synthseg_core.translation.apply import SYNTHETIC, translate_scan, translated_sidecar
from synthseg_core.translation.stacks import ApplyOptions, StackTranslator

PROVENANCE, DESCRIPTION = "provenance.tsv", "dataset_description.json"
COLUMNS = ("image", "source", "source_sha256", "labels", "labels_source", "labels_sha256", "from", "to", "translator",
           "weights_sha256", "seed", "samples")  # fmt: skip
_BIDS_VERSION = "1.10.0"
_LABELS = "dseg"


@dataclass(frozen=True)
class Job:
    """One scan of a dataset.

    Parameters
    ----------
    scan
        To be translated.
    labels
        Its label map, copied as it is; ``None`` without one.
    stem
        Of its results, below the dataset: folder and name up to the suffix.
    suffix
        Of the scan.
    """

    scan: Path
    labels: Path | None
    stem: str
    suffix: str

    def image(self, folder: Path) -> Path:
        """Return where the translated scan goes."""
        return folder / f"{self.stem}_{self.suffix}.nii.gz"

    def sidecar(self, folder: Path) -> Path:
        """Return where its sidecar goes."""
        return folder / f"{self.stem}_{self.suffix}.json"

    def copy_of_labels(self, folder: Path) -> Path | None:
        """Return where the label map goes."""
        return None if self.labels is None else folder / f"{self.stem}_{_LABELS}{extension(self.labels)}"


def jobs_of(scans: Sequence[Path], labels: Sequence[Path] | None, target: str) -> list[Job]:
    """Name the results of scans: ``rec-<target>`` and ``desc-translated`` are added to what a BIDS name says.

    Parameters
    ----------
    scans
        Files.
    labels
        Of each scan; ``None``: none.
    target
        Domain that they are translated to.

    Raises
    ------
    InputError
        If two scans would get one name.
    """
    known = labels or [None] * len(scans)
    jobs = [_job(scan, own, label_from(target)) for scan, own in zip(scans, known, strict=True)]
    taken: dict[str, Path] = {}
    for job in jobs:
        for path in (job.image(Path()), job.copy_of_labels(Path())):
            if path is not None and (other := taken.setdefault(str(path), job.scan)) != job.scan:
                raise InputError(
                    job.scan,
                    found=f"a scan whose result would be {path.name}, as that of {other}",
                    expected="a name of its own",
                    remedy="translate them into two folders, or give them BIDS names that differ",
                )
    return jobs


def translate_dataset(
    jobs: Sequence[Job],
    translator: StackTranslator,
    options: ApplyOptions,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Translate scans into a derivative dataset; return how many were made now, the others being there already.

    Parameters
    ----------
    jobs
        From :func:`jobs_of`.
    translator, options
        What translates, and how.
    folder
        To write to.
    progress
        Called with the number of scans done and of all.

    Raises
    ------
    InputError
        As :func:`~synthseg_core.translation.apply.translate_scan`; what was made before stays.
    """
    made, rows = 0, []
    for number, job in enumerate(jobs, 1):
        sha256 = sha256_of(job.scan)
        if not _is_made(job, folder, sha256, translator, options):
            _translate(job, folder, sha256, translator, options)
            made += 1
        rows.append(_copied(job, folder) | _provenance(job, folder, sha256, translator, options))
        if progress is not None:
            progress(number, len(jobs))
    write_text(folder / PROVENANCE, format_tsv(rows, COLUMNS))
    write_json(folder / DESCRIPTION, _description(translator))
    return made


def _job(scan: Path, labels: Path | None, target: str) -> Job:
    name = bids_name(scan.name)
    if name is None:
        plain = name_from_path(scan.name)
        entities, suffix, datatype = {"sub": plain.label or "scan"}, plain.suffix, "anat"
    else:
        entities, suffix, datatype = dict(name.entities), name.suffix, name.datatype
    levels = [f"{key}-{entities[key]}" for key in ("sub", "ses") if key in entities]
    whole = str(BidsName({**entities, "rec": target, "desc": "translated"}, suffix))
    return Job(scan, labels, "/".join([*levels, datatype, whole.removesuffix(f"_{suffix}")]), suffix)


def _translate(job: Job, folder: Path, sha256: str, translator: StackTranslator, options: ApplyOptions) -> None:
    scan = read_scan(job.scan)
    result = translate_scan(scan, translator, options)
    write_volume(job.image(folder), result.image, like=scan, dtype=result.image.data.dtype)
    sidecar = translated_sidecar(scan, Origin(job.scan.name, sha256), translator, options, result)
    write_json(job.sidecar(folder), sidecar)  # last: what it speaks of is there


def _is_made(job: Job, folder: Path, sha256: str, translator: StackTranslator, options: ApplyOptions) -> bool:
    """Say whether the results of a scan are there, by what their sidecar says."""
    if not job.image(folder).is_file():
        return False
    stored = known_mapping(job.sidecar(folder))
    how: dict[str, Any] = stored.get("Translation", {})
    wanted = _identity(translator, options)
    return stored.get("Source", {}).get("SHA256") == sha256 and all(how.get(key) == wanted[key] for key in wanted)


def _identity(translator: StackTranslator, options: ApplyOptions) -> dict[str, Any]:
    card = translator.card
    return {
        "From": translator.source.name,
        "To": translator.target.name,
        "TranslatorSHA256": card.digest,
        "WeightsSHA256": None if card.weights is None else card.weights.sha256,
        "Samples": options.samples,
        "Seed": options.seed if card.method == "diffusion" else None,
        "Planes": list(options.planes or (card.plane,)),
        "Tile": options.tile,
    }


def _copied(job: Job, folder: Path) -> dict[str, Any]:
    """Copy the label map byte by byte, and return what the table says of it."""
    target = job.copy_of_labels(folder)
    if target is None or job.labels is None:
        return {"labels": None, "labels_source": None, "labels_sha256": None}
    with atomic_path(target) as temporary:
        shutil.copyfile(job.labels, temporary)
    place = target.relative_to(folder).as_posix()
    return {"labels": place, "labels_source": str(job.labels), "labels_sha256": sha256_of(job.labels)}


def _provenance(
    job: Job, folder: Path, sha256: str, translator: StackTranslator, options: ApplyOptions
) -> dict[str, Any]:
    how = _identity(translator, options)
    return {
        "image": job.image(folder).relative_to(folder).as_posix(),
        "source": str(job.scan),
        "source_sha256": sha256,
        "from": how["From"],
        "to": how["To"],
        "translator": translator.card.name,
        "weights_sha256": how["WeightsSHA256"],
        "seed": how["Seed"],
        "samples": how["Samples"],
    }


def _description(translator: StackTranslator) -> dict[str, Any]:
    source, target = translator.source.name, translator.target.name
    return {
        "Name": f"Scans translated from {source} to {target}",
        "BIDSVersion": _BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": CODE_NAME, "Version": __version__, "Description": f"{SYNTHETIC}; labels are copies"}],
    }
