rule segment:
    input:
        scan=source_of,
        settings=settings_of("segment"),
    output:
        **outputs_of(*SEGMENT_JOB),
    log:
        LAYOUT.log("segment", SCAN),
    benchmark:
        LAYOUT.benchmark("segment", SCAN)
    retries: 1
    conda:
        "../../envs/core.yaml"
    threads: 4
    resources:
        mem_mb=more_memory(8000),
        runtime=60,
    params:
        reason=str(LAYOUT.reason("segment", SCAN)),
        options=segment_options,
        optional=OPTIONAL_OUTPUTS,
        device=config["device"],
    shell:
        'synthseg --worker "${{SYNTHSEG_WORKER:-}}"'
        " segment {input.scan:q} {params.options:q}"
        " --device {params.device} --threads {threads}"
        " --dseg {output.dseg:q} --dseg-1mm {output.dseg_1mm:q} --volumes {output.volumes:q}"
        " --mask {output.mask:q} --mask-sidecar {output.mask_sidecar:q}"
        " --sidecar {output.sidecar:q} --decision {output.decision:q} {params.optional:q}"
        " --log-json {params.reason:q} > {log:q} 2>&1"


# Runs side by side in one output folder may take each other's files away for a moment.
rule describe:
    input:
        settings=dataset_settings,
    output:
        [ensure(path, non_empty=True) for path in PLAN.dataset_files],
    log:
        LAYOUT.logs / "describe.log",
    priority: 1
    retries: 2
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        models=models,
        source=PLAN.source_folder,
        stages=PLAN.stages,
        folder=LAYOUT.output,
    shell:
        "synthseg describe {params.folder:q} --model {params.models:q} --source {params.source:q}"
        " --stages {params.stages} > {log:q} 2>&1"
