# Not part of "all": snakemake --cores 2 evaluate. Label maps that exist are compared with their references; as those of
# "group", no outputs are declared: they would make Snakemake segment scans first.
rule evaluate:
    log:
        LAYOUT.logs / "evaluate.log",
    conda:
        "../../envs/train.yaml"
    threads: 16
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        words=lambda wildcards: EVALUATION.words(),
        folder=EVALUATION.folder,
    shell:
        "synthseg evaluate {params.words:q} --out {params.folder:q} --jobs {threads} > {log:q} 2>&1"
