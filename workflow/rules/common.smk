# Configuration, scan table and paths; everything is decided by functions of synthseg_core, which have tests.

import gc

from snakemake.utils import min_version, validate

from synthseg_core.app.configuration import check_rows
from synthseg_core.app.events import report_events
from synthseg_core.app.plan import Plan
from synthseg_core.app.wildcards import TWO_PART_STEM, of_scan, with_signature
from synthseg_core.bids.names import STEM_PATTERN

min_version("9.0")
report_events(workflow)

# A plan is made of millions of objects that all stay: looking for garbage among them costs a sixth of the time.
gc.set_threshold(200_000, 20, 100)

validate(config, "../schemas/config.schema.yaml")

PLAN = Plan.from_config(config, head=workflow.is_main_process)
LAYOUT = PLAN.layout
SCAN = "{scan}"

SCANS_SCHEMA = workflow.source_path("../schemas/scans.schema.yaml")


wildcard_constraints:
    scan=STEM_PATTERN,


def targets(wildcards):
    """Return every file that a run makes."""
    check_rows(PLAN.rows, SCANS_SCHEMA)
    return PLAN.targets(preview=nothing_runs())


def outputs_of(*stages, stem=SCAN):
    """Return what a job makes from a scan, by name."""
    paths = [
        pair for stage in stages for pair in LAYOUT.outputs_of(stage, stem).items()
    ]
    return {name: ensure(path, non_empty=True) for name, path in paths}


@with_signature
def optional_outputs(wildcards, output):
    """Return the flags of those outputs of the segmentation that not every run makes."""
    return PLAN.optional_words(output)


# Every function of a job costs planning time, so one that has nothing to say is left out.
OPTIONAL_OUTPUTS = optional_outputs if PLAN.optional else []
# What is segmented in place of a scan, where translations are asked for.
TRANSLATED = of_scan(PLAN.translated_of) if "translate" in PLAN.stages else []


def nothing_runs():
    """Say whether Snakemake only looks: a dry run, a summary, a graph, a report."""
    return workflow.executor_plugin is None or workflow.dryrun


def request_of(stage):
    """Return a function for the file that says what a job is asked for, in place of scan and settings."""
    if not workflow.is_main_process:  # of a job: the head process has written it
        return of_scan(lambda stem: str(LAYOUT.request(stage, stem)))
    return of_scan(
        lambda stem: PLAN.jobs.request(stage, PLAN.row_of(stem), preview=nothing_runs())
    )


def dataset_settings(wildcards):
    """Return the settings of the dataset-level files."""
    return str(PLAN.stage_file("dataset", preview=nothing_runs()))


def report_settings(stem):
    """Return the settings of the page about a scan."""
    return str(PLAN.pages.settings(stem, preview=nothing_runs()))


def of_row(function):
    """Make what a rule can ask from a function of a row of the scan table."""
    return of_scan(lambda stem: function(PLAN.row_of(stem)))


def more_memory(mem_mb):
    """Return a function for the memory of a job: a number, or one that a row of the scan table has, times the attempt."""
    if callable(mem_mb):
        first = of_row(mem_mb)
        return with_signature(lambda wildcards, attempt: first(wildcards) * attempt)
    return with_signature(lambda wildcards, attempt: mem_mb * attempt)


@with_signature
def attempt_number(wildcards, attempt):
    """Return which attempt a job is; one after a known error ends at once."""
    return attempt
