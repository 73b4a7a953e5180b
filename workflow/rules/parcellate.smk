rule parcellate:
    input:
        request=request_of("parcellate"),
        decision=LAYOUT.decision(SCAN),
        dseg=LAYOUT.derivative(SCAN, "dseg"),
        dseg_1mm=LAYOUT.derivative(SCAN, "dseg_1mm"),
    output:
        **outputs_of("parcellate"),
    log:
        LAYOUT.log("parcellate", SCAN),
    benchmark:
        LAYOUT.benchmark("parcellate", SCAN)
    retries: 1
    conda:
        "../../envs/core.yaml"
    threads: 4
    resources:
        mem_mb=more_memory(8000),
        attempt=attempt_number,
        runtime=60,
    params:
        scan=of_scan(PLAN.scan_of),
        reason=str(LAYOUT.reason("parcellate", SCAN)),
        options=of_scan(PLAN.parcellate_words),
        device=config["device"],
    shell:
        'synthseg --worker "${{SYNTHSEG_WORKER:-}}"'
        " parcellate {params.scan:q} {params.options:q} --decision {input.decision:q}"
        " --segmentation {input.dseg:q} --segmentation-1mm {input.dseg_1mm:q}"
        " --device {params.device} --threads {threads}"
        " --dseg {output.parcels:q} --dseg-1mm {output.parcels_1mm:q} --volumes {output.parcel_volumes:q}"
        " --sidecar {output.parcels_sidecar:q} --sidecar-1mm {output.parcels_sidecar_1mm:q}"
        " --log-json {params.reason:q} --attempt {resources.attempt} > {log:q} 2>&1"
