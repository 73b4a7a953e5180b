# From what "segment" stored; the scan is not needed.
rule qc:
    input:
        settings=settings_of("qc"),
        decision=LAYOUT.decision(SCAN),
    output:
        **outputs_of("qc"),
    log:
        text=LAYOUT.log("qc", SCAN),
        reason=LAYOUT.reason("qc", SCAN),
    benchmark:
        LAYOUT.benchmark("qc", SCAN)
    conda:
        "../../envs/core.yaml"
    retries: 1
    threads: 4
    resources:
        mem_mb=more_memory(6000),
        runtime=30,
    params:
        options=qc_options,
        device=config["device"],
    shell:
        'synthseg --worker "${{SYNTHSEG_WORKER:-}}"'
        " qc --decision {input.decision:q} {params.options:q}"
        " --device {params.device} --threads {threads}"
        " --scores {output.scores:q} --sidecar {output.scores_sidecar:q}"
        " --log-json {log.reason:q} > {log.text:q} 2>&1"
