"""``synthseg generate``: synthetic scans from label maps as files, and a contact sheet to look at."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthseg_core import __version__
from synthseg_core.cli.options import add_backend
from synthseg_core.errors import InputError, UsageError
from synthseg_core.system.atomic import check_writable
from synthseg_core.system.paths import resource_names
from synthseg_core.system.progress import CountLine
from synthseg_core.system.words import counted

if TYPE_CHECKING:
    from synthseg_core.synth import GenerationLabels
    from synthseg_core.synth.cornucopia import Generator
    from synthseg_core.synth.sample_files import SamplePaths, SampleRecord

SHEET = "contact_sheet.png"
_MOST_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--maps", nargs="+", type=Path, required=True, metavar="PATH", help="label maps: a folder, or files"
    )
    parser.add_argument(
        "--labels", default="generation_54", metavar="LIST", help="label list, a file or generation_54 (default)"
    )
    parser.add_argument("--ignore-unknown", action="store_true", help="take values that the list lacks as background")
    recipe = parser.add_argument_group("samples")
    names = ", ".join(resource_names("recipes"))
    recipe.add_argument("--recipe", default="official", metavar="NAME|FILE", help=f"{names}, or a YAML or JSON file")
    recipe.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change one setting, such as crop.shape=[96,96,96]; may be repeated",
    )
    add_backend(recipe, default="synthseg")
    recipe.add_argument("--count", "--number", type=int, default=4, metavar="N", help="samples (default: %(default)s)")
    recipe.add_argument("--seed", type=int, default=0, metavar="N", help="sample k depends on N and k (default: 0)")
    recipe.add_argument("--replay", type=Path, metavar="JSON", help="make the sample of a _draw.json again instead")
    out = parser.add_argument_group("outputs")
    out.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder; samples of the same seed and recipe are kept"
    )
    out.add_argument("--no-picture", action="store_true", help=f"no {SHEET}; it needs matplotlib")
    out.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)")
    out.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")


def run(args: argparse.Namespace) -> int:
    """Make the samples."""
    _check(args)
    from synthseg_core.networks.devices import use_threads

    use_threads(args.threads)
    generator, work = _replay(args) if args.replay else _numbered(args)
    made = _make(generator, work)
    print(f"{args.out}: {counted(made, 'sample')} made, {len(work) - made} kept")
    if not args.no_picture:
        _draw(args.out / SHEET, list(work), generator.labels)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Check what costs nothing to check."""
    if args.count < 1:
        raise UsageError("--count", found=str(args.count), expected="1 or more", remedy="correct the number")
    if args.seed < 0:
        raise UsageError("--seed", found=str(args.seed), expected="0 or more", remedy="correct the number")
    if args.backend == "cornucopia":
        from synthseg_core.synth.cornucopia import TAKEN, require_cornucopia

        require_cornucopia()
        print(f"synthseg generate: note: cornucopia takes from the recipe {TAKEN}", file=sys.stderr)
    check_writable(args.out / SHEET)
    if not args.no_picture:
        from synthseg_core.images.figures import require_matplotlib

        require_matplotlib("contact sheet", "give --no-picture")


def _numbered(args: argparse.Namespace) -> tuple[Generator, dict[SamplePaths, SampleRecord]]:
    """Return the generator, and what to make: samples 1 to N of a seed."""
    from synthseg_core.networks.devices import choose_device
    from synthseg_core.synth import read_recipe
    from synthseg_core.synth.cornucopia import generator_of
    from synthseg_core.synth.randomness import sample_seed
    from synthseg_core.synth.sample_files import Recorder, SamplePaths

    device = choose_device(args.device)
    recipe = read_recipe(args.recipe, _changes(args.set))
    generator = generator_of(args.backend, _maps(args, args.maps, recipe).to(device), recipe)
    recorder = Recorder(generator)
    draws = (generator.draw(sample_seed(args.seed, index)) for index in range(args.count))
    numbered = enumerate(map(recorder.record, draws), start=1)
    return generator, {SamplePaths.numbered(args.out, number): record for number, record in numbered}


def _replay(args: argparse.Namespace) -> tuple[Generator, dict[SamplePaths, SampleRecord]]:
    """Return the generator of a record's recipe with the one label map that it needs, and the record."""
    from synthseg_core.images.label_maps import label_map_paths, stem
    from synthseg_core.networks.devices import choose_device
    from synthseg_core.synth.cornucopia import generator_like
    from synthseg_core.synth.sample_files import SamplePaths, SampleRecord

    record = SampleRecord.read(args.replay)
    found = [path for path in label_map_paths(_source(args.maps)) if stem(path) == record.map_name]
    if len(found) != 1:
        raise InputError(
            args.replay,
            found=f"{len(found) or 'no'} label maps called {record.map_name}",
            expected="the one that the sample was made from",
            remedy="give it to --maps",
        )
    maps = _maps(args, found, record.recipe)
    record.check(maps)
    if record.version != __version__:
        message = f"{args.replay} was made by version {record.version}; that of {__version__} may differ"
        print(f"synthseg generate: warning: {message}", file=sys.stderr)
    recipe = replace(record.recipe, map_weights=None)
    name = args.replay.name.removesuffix(".json").removesuffix("_draw")
    generator = generator_like(record.draw, maps.to(choose_device(args.device)), recipe)
    return generator, {SamplePaths(args.out, name): record}


def _make(generator: Generator, work: Mapping[SamplePaths, SampleRecord]) -> int:
    """Make the samples that are not there yet; return how many."""
    from synthseg_core.synth.sample_files import is_kept, write_sample

    missing = {paths: record for paths, record in work.items() if not is_kept(paths, record)}
    with CountLine("making samples") as progress:
        for number, (paths, record) in enumerate(missing.items()):
            progress(number, len(missing))
            alone = len(generator.maps) == 1
            draw = replace(record.draw, map_index=0) if alone else record.draw
            sample = generator.apply(draw)
            full = replace(sample.draw, map_index=record.draw.map_index)
            share = round(sample.brain_fraction, 4)
            write_sample(paths, sample, replace(record, draw=full, brain_fraction=share))
    return len(missing)


def _draw(path: Path, samples: list[SamplePaths], labels: GenerationLabels) -> None:
    from synthseg_core.synth.contact_sheet import rows_of, write_contact_sheet

    shown = samples[:_MOST_SHOWN]
    write_contact_sheet(path, [row for paths in shown for row in rows_of(paths)], labels)
    print(f"look at {path}" + (f" (the first {len(shown)} samples)" if len(shown) < len(samples) else ""))


def _maps(args: argparse.Namespace, paths: list[Path], recipe: Any) -> Any:
    from synthseg_core.synth import read_maps

    labels = "generation_54" if args.labels == "builtin" else args.labels
    unknown = "background" if args.ignore_unknown else "refuse"
    with CountLine("reading label maps") as progress:
        return read_maps(_source(paths), recipe, labels, unknown=unknown, progress=progress)


def _source(paths: list[Path]) -> Path | list[Path]:
    """Return the one folder or file, or all files."""
    return paths[0] if len(paths) == 1 else paths


def _changes(texts: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE, the value as JSON or else as text."""
    changes: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError("--set", found=repr(text), expected="NAME=VALUE", remedy="see synthseg generate --help")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            changes[name] = value
    return changes
