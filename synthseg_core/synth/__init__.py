"""Synthetic brain scans from label maps (Billot et al., Medical Image Analysis 2023, section 3.1)."""

from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.draw import Draw
from synthseg_core.synth.generator import BrainGenerator, Sample
from synthseg_core.synth.maps import LabelMaps, read_label_maps, read_maps
from synthseg_core.synth.recipe import Recipe
from synthseg_core.synth.recipe_file import read_recipe

__all__ = [
    "BrainGenerator",
    "Draw",
    "GenerationLabels",
    "LabelMaps",
    "Recipe",
    "Sample",
    "read_label_maps",
    "read_maps",
    "read_recipe",
]
