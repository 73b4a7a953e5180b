# The suffix of a scan stands twice in the name of the scan at 1 mm: at the end of the stem, and as its own suffix.
rule resample:
    input:
        scan=source_of,
        settings=settings_of("resample"),
    output:
        **{
            name: ensure(path, non_empty=True)
            for name, path in LAYOUT.outputs_of("resample", TWO_PART_STEM).items()
        },
    log:
        LAYOUT.log("resample", TWO_PART_STEM),
    benchmark:
        LAYOUT.benchmark("resample", TWO_PART_STEM)
    wildcard_constraints:
        before=STEM_PATTERN.rpartition("_space-")[0],
        suffix="[0-9a-zA-Z]+",
    retries: 1
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=more_memory(4000),
        runtime=15,
    params:
        reason=str(LAYOUT.reason("resample", TWO_PART_STEM)),
        options=resample_options,
    shell:
        'synthseg --worker "${{SYNTHSEG_WORKER:-}}"'
        " resample {input.scan:q} {params.options:q}"
        " --resampled {output.resampled:q} --sidecar {output.resampled_sidecar:q}"
        " --log-json {params.reason:q} > {log:q} 2>&1"
