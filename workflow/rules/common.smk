# Configuration, scan table and paths; everything is decided by functions of synthseg_core, which have tests.

import gc
from inspect import signature

from snakemake.utils import validate

from synthseg_core.app.plan import Plan
from synthseg_core.app.configuration import check_rows
from synthseg_core.app.training_plan import TrainingPlan
from synthseg_core.bids.names import STEM_PATTERN

# A plan is made of millions of objects that all stay: looking for garbage among them costs a sixth of the time.
gc.set_threshold(200_000, 20, 100)

validate(config, "../schemas/config.schema.yaml")
validate(config["training"], "../schemas/train.schema.yaml")

PLAN = Plan.from_config(config, head=workflow.is_main_process)
LAYOUT = PLAN.layout
SCAN = "{scan}"
TWO_PART_STEM = "{before}_space-{suffix}"
SEGMENT_JOB = [stage for stage in PLAN.stages if stage in ("segment", "posteriors")]
TRAINING = TrainingPlan.from_config(config["training"])

SCANS_SCHEMA = workflow.source_path("../schemas/scans.schema.yaml")


wildcard_constraints:
    scan=STEM_PATTERN,


def with_signature(function):
    """Note the arguments of a function, which Snakemake looks up for every job."""
    function.__signature__ = signature(function)
    return function


@with_signature
def source_of(wildcards):
    """Return the image of a scan."""
    return PLAN.row_of(stem_of(wildcards)).source


def stem_of(wildcards):
    """Return the stem of a scan; the rule whose outputs repeat the suffix has it in two parts."""
    if hasattr(wildcards, "scan"):
        return wildcards.scan
    return TWO_PART_STEM.format(before=wildcards.before, suffix=wildcards.suffix)


@with_signature
def segment_options(wildcards):
    """Return model, options and name of a scan, as words."""
    return PLAN.segment_words(wildcards.scan)


@with_signature
def parcellate_options(wildcards):
    """Return model and names of a scan and its segmentation, as words."""
    return PLAN.parcellate_words(wildcards.scan)


def resample_options(wildcards):
    """Return the name of a scan, as words."""
    return PLAN.resample_words(stem_of(wildcards))


@with_signature
def qc_options(wildcards):
    """Return the model of a scan, as words."""
    return PLAN.options_of(wildcards.scan).model_flags()


def outputs_of(*stages):
    """Return what a job makes from a scan, by name."""
    paths = [
        pair for stage in stages for pair in LAYOUT.outputs_of(stage, SCAN).items()
    ]
    return {name: ensure(path, non_empty=True) for name, path in paths}


@with_signature
def optional_outputs(wildcards, output):
    """Return the flags of those outputs of the segmentation that not every run makes."""
    return [
        word
        for name in PLAN.optional
        for word in (f"--{name.replace('_', '-')}", output[name])
    ]


# Every function of a job costs planning time, so one that has nothing to say is left out.
OPTIONAL_OUTPUTS = optional_outputs if PLAN.optional else []


def nothing_runs():
    """Say whether Snakemake only looks: a dry run, a summary, a graph, a report."""
    return workflow.executor_plugin is None or workflow.dryrun


def settings_of(stage):
    """Return a function for the settings file of a stage; asked for only when a scan needs it."""

    @with_signature
    def settings(wildcards):
        return str(
            PLAN.scan_stage_file(stage, stem_of(wildcards), preview=nothing_runs())
        )

    return settings


def more_memory(mem_mb):
    """Return a function for the memory of a job, which grows with every attempt."""

    @with_signature
    def memory(wildcards, attempt):
        return mem_mb * attempt

    return memory


def dataset_settings(wildcards):
    """Return the settings of the dataset-level files."""
    return str(PLAN.stage_file("dataset", preview=nothing_runs()))


def models(wildcards):
    """Return the models of all scans."""
    return PLAN.models


def targets(wildcards):
    """Return every file that a run makes."""
    check_rows(PLAN.rows, SCANS_SCHEMA)
    return PLAN.targets()


def scan_targets(wildcards):
    """Return every file that a run makes from scans."""
    return PLAN.scan_targets()


def training_maps(wildcards):
    """Return the label maps that samples are made of."""
    return TRAINING.required_maps()


def validation_inputs(wildcards):
    """Return the model to validate and what it is validated on."""
    return TRAINING.validation_inputs()


def training_settings(stage):
    """Return a function for the settings file of a training stage, which is written only when it is asked for."""

    def settings(wildcards):
        return str(TRAINING.stage_file(stage, preview=nothing_runs()))

    return settings
