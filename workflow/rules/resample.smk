# The suffix of a scan stands twice in the name of the scan at 1 mm: at the end of the stem, and as its own suffix.
rule resample:
    input:
        request=request_of("resample"),
    output:
        **outputs_of("resample", stem=TWO_PART_STEM),
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
        attempt=attempt_number,
        runtime=15,
    params:
        scan=of_scan(PLAN.scan_of),
        reason=str(LAYOUT.reason("resample", TWO_PART_STEM)),
        options=of_scan(PLAN.resample_words),
    shell:
        'synthseg --worker "${{SYNTHSEG_WORKER:-}}"'
        " resample {params.scan:q} {params.options:q}"
        " --resampled {output.resampled:q} --sidecar {output.resampled_sidecar:q}"
        " --log-json {params.reason:q} --attempt {resources.attempt} > {log:q} 2>&1"
