"""From the paths of the reference command to one job per scan, with every check that needs no model.

Nothing is guessed while scans are being processed: modes, list lengths, names that look like the wrong thing and
outputs that would overwrite each other or an input are refused here, before a network is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synthseg_core.cli.dropin import names as names
from synthseg_core.cli.dropin.names import InputMode
from synthseg_core.errors import InputError, UsageError
from synthseg_core.images.formats import READABLE, extension
from synthseg_core.system.paths import is_file, is_folder, real_path
from synthseg_core.system.words import counted

# Option and file name suffix of each image output of the reference command.
_IMAGE_OUTPUTS = {"segmentations": ("--o", "synthseg"), "posteriors": ("--post", "posteriors")} | {
    "resampled": ("--resample", "resampled")
}
_TABLE_OUTPUTS = {"volumes": "--vol", "quality": "--qc"}


@dataclass(frozen=True)
class Request:
    """Paths as given on the command line; what each one means depends on the kind of ``scans``.

    Parameters
    ----------
    scans, segmentations
        ``--i`` and ``--o``.
    posteriors, resampled, volumes, quality
        ``--post``, ``--resample``, ``--vol`` and ``--qc``; ``None`` where not given.
    failures
        ``--failures``; ``None``: beside the segmentations of a folder or list.
    """

    scans: str
    segmentations: str
    posteriors: str | None = None
    resampled: str | None = None
    volumes: str | None = None
    quality: str | None = None
    failures: Path | None = None

    def images(self) -> dict[str, str]:
        """Return the image outputs that were asked for."""
        return {name: path for name in _IMAGE_OUTPUTS if (path := getattr(self, name)) is not None}

    def tables(self) -> dict[str, str]:
        """Return the tables that were asked for."""
        return {name: path for name in _TABLE_OUTPUTS if (path := getattr(self, name)) is not None}


@dataclass(frozen=True)
class ScanOutputs:
    """Files that one scan produces; ``None`` where not wanted.

    Parameters
    ----------
    segmentation, posteriors, resampled
        Images; the resampled one is written only if resampling took place.
    volumes, quality
        CSV files of this scan alone.
    """

    segmentation: Path
    posteriors: Path | None = None
    resampled: Path | None = None
    volumes: Path | None = None
    quality: Path | None = None

    def paths(self) -> tuple[Path, ...]:
        """Return the files that are wanted."""
        every = (self.segmentation, self.posteriors, self.resampled, self.volumes, self.quality)
        return tuple(path for path in every if path is not None)


@dataclass(frozen=True)
class ScanJob:
    """One scan and its outputs."""

    scan: Path
    outputs: ScanOutputs


@dataclass(frozen=True)
class Plan:
    """All jobs of a run.

    Parameters
    ----------
    mode
        How the scans were given.
    jobs
        In the order of processing and of table rows.
    volumes, quality
        Tables shared by all scans; ``None`` in list mode, where each scan has its own.
    failures
        Where failures are listed for machines; ``None`` for a single image, whose error ends the command, unless asked
        for.
    """

    mode: InputMode
    jobs: tuple[ScanJob, ...]
    volumes: Path | None
    quality: Path | None
    failures: Path | None


def make_plan(request: Request) -> Plan:
    """Turn the paths of the command line into jobs.

    Raises
    ------
    InputError
        If the scan, folder or list does not exist or holds nothing to do.
    UsageError
        If an output does not fit the kind of input, list lengths differ, or files would overwrite each other.
    """
    mode = _mode(request.scans)
    planner: dict[InputMode, Callable[[Request], Plan]] = {
        InputMode.IMAGE: _plan_image,
        InputMode.FOLDER: _plan_folder,
        InputMode.LIST: _plan_list,
    }
    plan = planner[mode](request)
    plan = replace(plan, failures=request.failures or plan.failures)
    shared = [path for path in (plan.volumes, plan.quality, plan.failures) if path is not None]
    inputs = [*(job.scan for job in plan.jobs), *(_lists(request) if mode is InputMode.LIST else ())]
    refuse_collisions(inputs, [(j.scan, j.outputs.paths()) for j in plan.jobs], shared)
    return plan


def refuse_collisions(
    scans: Iterable[Path], outputs: Iterable[tuple[Path, Sequence[Path]]], shared: Iterable[Path] = ()
) -> None:
    """Refuse outputs that would replace an input or another output.

    Parameters
    ----------
    scans
        All inputs.
    outputs
        Each scan with its outputs.
    shared
        Tables that belong to no single scan.

    Raises
    ------
    UsageError
        Naming the first file that would be written twice, or that is an input.
    """
    inputs = {real_path(path) for path in scans}
    owner: dict[Path, str] = {}
    for who, path in [("the run", p) for p in shared] + [(str(s), p) for s, paths in outputs for p in paths]:
        target = real_path(path)
        if target in inputs:
            raise UsageError(
                path, found=f"an output of {who} that is an input", expected="another name", remedy="change the outputs"
            )
        if target in owner:
            raise UsageError(
                path,
                found=f"one output file for {owner[target]} and {who}",
                expected="a file of its own for every output",
                remedy="rename one of the scans or outputs",
            )
        owner[target] = who


def _mode(scans: str) -> InputMode:
    """Decide by the name as the reference does; a folder on disk is a folder whatever its name."""
    return InputMode.FOLDER if is_folder(Path(scans)) else names.input_mode(scans)


def _plan_image(request: Request) -> Plan:
    scan = Path(request.scans)
    if not is_file(scan):
        raise InputError(
            scan, found="no such file", expected="a scan", remedy="check that the path and the extension are correct"
        )
    outputs = {
        name: _image_path(path, scan, _IMAGE_OUTPUTS[name][0], _IMAGE_OUTPUTS[name][1])
        for name, path in request.images().items()
    }
    return _plan(InputMode.IMAGE, [(scan, outputs)], request, failures=None)


def _image_path(path: str, scan: Path, option: str, suffix: str) -> Path:
    """Take a name with a scan extension as it is; anything else is a folder for a name made from the scan's."""
    if not names.has_scan_name(path) or is_folder(Path(path)):
        return Path(path) / names.suffixed(scan.name, suffix)
    return _checked_image(path, option)


def _plan_folder(request: Request) -> Plan:
    folder = Path(request.scans)
    if not is_folder(folder):
        found = "a file without a scan extension" if is_file(folder) else "no such file or folder"
        raise InputError(
            folder, found=found, expected=f"a scan ({_extensions()}), a folder or a .txt list", remedy="check the path"
        )
    scans = names.scans_in_folder(folder)
    if not scans:
        raise InputError(
            folder, found="no scan in this folder", expected=f"files ending in {_extensions()}", remedy="check --i"
        )
    folders = {name: _output_folder(path, _IMAGE_OUTPUTS[name][0]) for name, path in request.images().items()}
    jobs = [
        (scan, {name: folders[name] / names.suffixed(scan.name, _IMAGE_OUTPUTS[name][1]) for name in folders})
        for scan in scans
    ]
    return _plan(InputMode.FOLDER, jobs, request, failures=folders["segmentations"] / "synthseg_failures.tsv")


def _output_folder(path: str, option: str) -> Path:
    if names.has_scan_name(path) and not is_folder(Path(path)):
        raise UsageError(
            option,
            found=f"{path}, which looks like a file",
            expected="a folder, because --i is one",
            remedy="give a folder name without a scan extension, or end it with a slash",
        )
    return Path(path)


def _plan(
    mode: InputMode, jobs: Iterable[tuple[Path, dict[str, Path]]], request: Request, failures: Path | None
) -> Plan:
    """Put jobs with shared tables together."""
    tables = {name: Path(names.csv_name(path)) for name, path in request.tables().items()}
    made = tuple(ScanJob(scan, _outputs(paths)) for scan, paths in jobs)
    return Plan(mode, made, tables.get("volumes"), tables.get("quality"), failures)


def _outputs(paths: dict[str, Path]) -> ScanOutputs:
    """Name the outputs of one scan."""
    remaining = dict(paths)
    return ScanOutputs(segmentation=remaining.pop("segmentations"), **remaining)


def _lists(request: Request) -> list[Path]:
    """Return the text lists of a request whose scans are one."""
    return [Path(path) for path in (request.scans, *request.images().values(), *request.tables().values())]


def _plan_list(request: Request) -> Plan:
    scans = names.read_list(Path(request.scans))
    if not scans:
        raise InputError(request.scans, found="no line", expected="one scan a line", remedy="fill the list")
    lists = {name: _output_list(path, _IMAGE_OUTPUTS[name][0], len(scans)) for name, path in request.images().items()}
    for name, entries in lists.items():
        lists[name] = [str(_checked_image(entry, _IMAGE_OUTPUTS[name][0])) for entry in entries]
    lists |= {name: _output_list(path, _TABLE_OUTPUTS[name], len(scans)) for name, path in request.tables().items()}
    jobs = tuple(
        ScanJob(Path(scan), _outputs({name: Path(entries[row]) for name, entries in lists.items()}))
        for row, scan in enumerate(scans)
    )
    return Plan(InputMode.LIST, jobs, None, None, _beside_list(request.segmentations))


def _output_list(path: str, option: str, expected: int) -> list[str]:
    """Read the list that one output option names and check its length."""
    if names.input_mode(path) is not InputMode.LIST:
        raise UsageError(
            option, found=path, expected="a .txt list, because --i is one", remedy="write one output path a line"
        )
    entries = names.read_list(Path(path))
    if len(entries) != expected:
        raise UsageError(
            option,
            found=f"{counted(len(entries), 'line')} in {path}",
            expected=f"{expected}, one for each scan of --i",
            remedy="complete the list",
        )
    return entries


def _beside_list(path: str) -> Path:
    """Return the table of failures that belongs to a list of outputs."""
    return Path(path).with_name(names.basename(path).removesuffix(".txt") + "_failures.tsv")


def _checked_image(path: str, option: str) -> Path:
    """Refuse an image output in a format that nothing can write."""
    if extension(Path(path)) not in READABLE:
        raise UsageError(
            option, found=path, expected=f"a name that ends in {_extensions()}", remedy="correct the extension"
        )
    return Path(path)


def _extensions() -> str:
    return ", ".join(READABLE)
