rule segment:
    input:
        request=request_of("segment"),
        translated=TRANSLATED,
    output:
        **outputs_of(*PLAN.segment_job),
    log:
        LAYOUT.log("segment", SCAN),
    benchmark:
        LAYOUT.benchmark("segment", SCAN)
    retries: 1
    conda:
        "../../envs/core.yaml"
    threads: 4
    resources:
        mem_mb=more_memory(PLAN.jobs.segment_mem_mb),
        attempt=attempt_number,
        runtime=of_row(PLAN.jobs.segment_minutes),
    params:
        scan=of_scan(PLAN.scan_of),
        reason=str(LAYOUT.reason("segment", SCAN)),
        options=of_scan(PLAN.segment_words),
        optional=OPTIONAL_OUTPUTS,
        device=config["device"],
    shell:
        'synthseg --worker "${{SYNTHSEG_WORKER:-}}"'
        " segment {params.scan:q} {params.options:q}"
        " --device {params.device} --threads {threads}"
        " --dseg {output.dseg:q} --dseg-1mm {output.dseg_1mm:q} --volumes {output.volumes:q}"
        " --mask {output.mask:q} --mask-sidecar {output.mask_sidecar:q}"
        " --sidecar {output.sidecar:q} --sidecar-1mm {output.sidecar_1mm:q} --decision {output.decision:q} {params.optional:q}"
        " --log-json {params.reason:q} --attempt {resources.attempt} > {log:q} 2>&1"
