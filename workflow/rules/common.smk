# Configuration, scan table and paths; everything is decided by functions of synthseg_core, which have tests.

from functools import cache

import pandas as pd
from snakemake.utils import validate

from synthseg_core.app.plan import Plan
from synthseg_core.app.training import TrainingPlan
from synthseg_core.bids import STEM_PATTERN

validate(config, "../schemas/config.schema.yaml")
validate(config["training"], "../schemas/train.schema.yaml")

PLAN = Plan.from_config(config, head=workflow.is_main_process)
LAYOUT = PLAN.layout
SCAN = "{scan}"
TRAINING = TrainingPlan.from_config(config["training"])

SCANS_SCHEMA = workflow.source_path("../schemas/scans.schema.yaml")


wildcard_constraints:
    scan=STEM_PATTERN,


def source_of(wildcards):
    """Return the image of a scan."""
    return PLAN.source_of(wildcards.scan)


def source_uri(wildcards):
    """Return what the sidecar calls the scan."""
    return PLAN.source_uri(wildcards.scan)


@cache
def stage_file(stage):
    """Return the settings file of a stage, rewritten if the configuration says something new."""
    return str(PLAN.stage_file(stage, preview=workflow.dryrun))


def segment_settings(wildcards):
    """Return the settings of the segmentation; asked for only when a scan is to be segmented."""
    return stage_file("segment")


def dataset_settings(wildcards):
    """Return the settings of the dataset-level files."""
    return stage_file("dataset")


def targets(wildcards):
    """Return every file that a run makes."""
    validate(pd.DataFrame(PLAN.rows), SCANS_SCHEMA, set_default=False)
    return PLAN.targets()


def training_maps(wildcards):
    """Return the label maps that samples are made of."""
    return TRAINING.required_maps()


def validation_inputs(wildcards):
    """Return the model to validate and what it is validated on."""
    return TRAINING.validation_inputs()


def training_settings(stage):
    """Return a function for the settings file of a training stage, which is written only when it is asked for."""

    def settings(wildcards):
        return str(TRAINING.stage_file(stage, preview=workflow.dryrun))

    return settings
