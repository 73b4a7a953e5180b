"""What the scripts of the tutorials share: their arguments, commands that are shown and run, pictures."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from synthseg_core.cli.demo.heads import write_heads
from synthseg_core.cli.main import main
from synthseg_core.synth import Sample


def common_parser(description: str | None, out: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments that every script has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--maps", type=Path, metavar="DIR", help="label maps (default: phantom heads, in OUT/maps)")
    parser.add_argument("--out", type=Path, default=Path(out), metavar="DIR", help="results (default: %(default)s)")
    parser.add_argument("--tiny", action="store_true", help="coarse phantoms and few steps: seconds, to see it run")
    return parser


def label_maps(options: argparse.Namespace, count: int = 4) -> Path:
    """Return the folder of label maps: the one that was given, or one of phantom heads."""
    options.out.mkdir(parents=True, exist_ok=True)
    if options.maps is not None:
        return options.maps
    write_heads(options.out / "maps", count, voxel_size_mm(options))
    return options.out / "maps"


def voxel_size_mm(options: argparse.Namespace) -> float:
    """Return the voxel size of phantoms."""
    return 2.0 if options.tiny else 1.0


def synthseg(*words: object) -> None:
    """Show a command as it is typed, and run it; texts are taken apart at their spaces, paths are not."""
    parts = (word.split() if isinstance(word, str) else [str(word)] for word in words)
    command = [part for some in parts for part in some]
    print(f"\n$ synthseg {shlex.join(command)}", flush=True)
    if status := main(command):
        sys.exit(status)


def write_picture(path: Path, rows: Mapping[str, Sequence[Sample]]) -> None:
    """Draw the coronal slice in the middle of samples, a row for each name; without matplotlib only say so."""
    if find_spec("matplotlib") is None:
        print(f"no {path.name}: pip install 'synthseg-bids[pictures]'")
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(map(len, rows.values()))
    figure = Figure(figsize=(1.7 * columns, 1.8 * len(rows)), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, samples) in zip(panels, rows.items(), strict=True):
        line[0].set_title(name, color="white", fontsize=8, loc="left")
        for panel, sample in zip(line, samples, strict=False):
            image = sample.image[0].numpy()
            panel.imshow(image[:, image.shape[1] // 2].T, "gray", origin="lower", interpolation="nearest")
    for panel in panels.flat:
        panel.set_axis_off()
    figure.savefig(path, dpi=100)
    print(f"picture: {path}")
