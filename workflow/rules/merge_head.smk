# The labels of the segmentation stay; a model of the head labels what is around them.
rule merge_head:
    input:
        request=request_of("merge_head"),
        dseg=LAYOUT.derivative(SCAN, "dseg"),
    output:
        **outputs_of("merge_head"),
    log:
        LAYOUT.log("merge_head", SCAN),
    benchmark:
        LAYOUT.benchmark("merge_head", SCAN)
    retries: 1
    conda:
        "../../envs/core.yaml"
    threads: 4
    resources:
        mem_mb=more_memory(PLAN.jobs.head_resources[0]),
        attempt=attempt_number,
        runtime=PLAN.jobs.head_resources[1],
    params:
        scan=of_scan(PLAN.scan_of),
        reason=str(LAYOUT.reason("merge_head", SCAN)),
        options=of_scan(PLAN.merge_words),
        device=config["device"],
    shell:
        "synthseg merge {params.scan:q} --segmentation {input.dseg:q} {params.options:q}"
        " --device {params.device} --threads {threads}"
        " --dseg {output.head:q} --sidecar {output.head_sidecar:q}"
        " --log-json {params.reason:q} --attempt {resources.attempt} > {log:q} 2>&1"
