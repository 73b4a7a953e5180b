# The suffix of a scan stands twice in the name of the scan at 1 mm: at the end of the stem, and as its own suffix.
STEM = "{before}_space-{suffix}"


def stem_of(wildcards):
    """Return the stem of a scan from its two parts."""
    return STEM.format(before=wildcards.before, suffix=wildcards.suffix)


def resample_source(wildcards):
    """Return the image of a scan."""
    return PLAN.row_of(stem_of(wildcards)).source


def resample_options(wildcards):
    """Return the name of a scan, as words."""
    return PLAN.resample_words(stem_of(wildcards))


def resample_settings(wildcards):
    """Return the settings file; it says nothing of the model, which has no part in this."""
    return str(
        PLAN.scan_stage_file("resample", stem_of(wildcards), preview=workflow.dryrun)
    )


rule resample:
    input:
        scan=resample_source,
        settings=resample_settings,
    output:
        **{
            name: ensure(path, non_empty=True)
            for name, path in LAYOUT.outputs_of("resample", STEM).items()
        },
    log:
        text=LAYOUT.log("resample", STEM),
        reason=LAYOUT.reason("resample", STEM),
    benchmark:
        LAYOUT.benchmark("resample", STEM)
    wildcard_constraints:
        before=STEM_PATTERN.rpartition("_space-")[0],
        suffix="[0-9a-zA-Z]+",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=more_memory(4000),
        runtime=15,
    params:
        options=resample_options,
    shell:
        'synthseg --worker "${{SYNTHSEG_WORKER:-}}"'
        " resample {input.scan:q} {params.options:q}"
        " --resampled {output.resampled:q} --sidecar {output.resampled_sidecar:q}"
        " --log-json {log.reason:q} > {log.text:q} 2>&1"
