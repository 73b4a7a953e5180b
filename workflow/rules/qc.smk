# From what "segment" stored; the scan is not needed.
rule qc:
    input:
        request=request_of("qc"),
        decision=LAYOUT.decision(SCAN),
    output:
        **outputs_of("qc"),
    log:
        LAYOUT.log("qc", SCAN),
    benchmark:
        LAYOUT.benchmark("qc", SCAN)
    retries: 1
    conda:
        "../../envs/core.yaml"
    threads: 4
    resources:
        mem_mb=more_memory(6000),
        attempt=attempt_number,
        runtime=30,
    params:
        reason=str(LAYOUT.reason("qc", SCAN)),
        options=of_scan(PLAN.qc_words),
        device=config["device"],
    shell:
        'synthseg --worker "${{SYNTHSEG_WORKER:-}}"'
        " qc --decision {input.decision:q} {params.options:q}"
        " --device {params.device} --threads {threads}"
        " --scores {output.scores:q} --sidecar {output.scores_sidecar:q}"
        " --log-json {params.reason:q} --attempt {resources.attempt} > {log:q} 2>&1"
