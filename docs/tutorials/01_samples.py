"""Look at samples: synthetic scans with their labels, before anything is trained on them."""

from __future__ import annotations

from argparse import ArgumentParser

import numpy as np
from tutorial import common_parser, label_maps, synthseg

from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.synth import BrainGenerator, Draw, read_maps, read_recipe


def build_parser() -> ArgumentParser:
    """Return the arguments of this script."""
    parser = common_parser(__doc__, out="tutorial-samples")
    parser.add_argument("--recipe", default="official", help="preset or file (default: %(default)s)")
    return parser


def main() -> None:
    """Make one sample in Python, then several with the command."""
    options = build_parser().parse_args()
    folder = label_maps(options)

    recipe = read_recipe(options.recipe)
    generator = BrainGenerator(read_maps(folder, recipe), recipe)
    sample = generator.sample(seed=1)

    image, labels = sample.image[0].numpy(), sample.labels.numpy()
    print(f"image: {image.shape} voxels, intensities {image.min():.2f} to {image.max():.2f}")
    print(f"labels: {len(np.unique(labels)) - 1} structures in {sample.brain_fraction:.0%} of the voxels")
    write_volume(options.out / "sample.nii.gz", Volume(image, sample.affine))
    write_volume(options.out / "sample_dseg.nii.gz", Volume(labels.astype(np.int16), sample.affine))

    # All random numbers of a sample are one value, which can be kept, changed and used again.
    draw = sample.draw
    (options.out / "sample.json").write_text(draw.to_json())
    again = generator.apply(Draw.from_json((options.out / "sample.json").read_text()))
    print(f"made again from sample.json: {'the same bits' if again.image.equal(sample.image) else 'ANOTHER IMAGE'}")
    print(f"spacing {', '.join(f'{mm:.1f}' for mm in draw.channels[0].acquisition.spacing_mm)} mm,")
    print(f"rotated by {', '.join(f'{angle:.0f}' for angle in draw.rotation_deg)} degrees, mirrored: {draw.flip}")

    synthseg("generate --seed 1 --maps", folder, "--recipe", options.recipe, "--out", options.out / "samples")


if __name__ == "__main__":
    main()
