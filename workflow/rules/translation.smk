# Not part of "all": snakemake --cores 2 translation_dataset --configfile config/translate.yaml
rule translation_dataset:
    input:
        images=lambda wildcards: TRANSLATION.required_images(),
        settings=translation_settings("dataset"),
    output:
        [ensure(path, non_empty=True) for path in TRANSLATION.dataset],
    log:
        TRANSLATION.log("dataset"),
    conda:
        "../../envs/translate.yaml"
    threads: 4
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        flags=lambda wildcards: TRANSLATION.dataset_flags,
        folder=TRANSLATION.folder("dataset"),
    shell:
        "synthseg translate dataset {params.flags:q} --out {params.folder:q} --jobs {threads} > {log:q} 2>&1"
