# Pages to look at; made from results and the scan, after everything that they show.
rule scan_report:
    input:
        settings=of_scan(report_settings),
        shown=of_scan(PLAN.pages.inputs),
    output:
        page=ensure(LAYOUT.output / "{report}.html", non_empty=True),
    log:
        LAYOUT.logs / "report" / "{report}.log",
    wildcard_constraints:
        report="sub-[^/]+",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=more_memory(2000),
        runtime=15,
    params:
        words=of_scan(PLAN.report_words),
    shell:
        "synthseg report {params.words:q} > {log:q} 2>&1"


# As "group", without outputs: what exists is gathered and shown whenever it is asked for.
rule group_report:
    input:
        scans=PLAN.table,
    log:
        LAYOUT.logs / "group_report.log",
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
        "(synthseg group {params.folder:q} --scans {input.scans:q}"
        " --stages {params.stages} --qc-threshold {params.threshold}"
        " && synthseg report --group {params.folder:q} --qc-threshold {params.threshold}) > {log:q} 2>&1"
