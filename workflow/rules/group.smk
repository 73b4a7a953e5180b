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
        models=lambda wildcards: PLAN.models,
        source=PLAN.source_folder,
        stages=PLAN.stages,
        head=["--merge-head", PLAN.head.model] if PLAN.head else [],
        folder=LAYOUT.output,
    shell:
        "synthseg describe {params.folder:q} --model {params.models:q} --source {params.source:q}"
        " {params.head:q} --stages {params.stages} > {log:q} 2>&1"


# Not part of "all": what exists is gathered, what failed or is missing is listed with the reason. No outputs are
# declared, for as outputs they would make Snakemake remake scans first; the rule runs whenever it is asked for.
rule group:
    input:
        scans=PLAN.table,
    log:
        LAYOUT.logs / "group.log",
    localrule: True
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        folder=LAYOUT.output,
        stages=PLAN.stages,
        threshold=PLAN.quality_threshold,
    shell:
        "synthseg group {params.folder:q} --scans {input.scans:q}"
        " --stages {params.stages} --qc-threshold {params.threshold} > {log:q} 2>&1"
