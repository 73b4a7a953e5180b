# Not part of "all": snakemake --cores 2 train --configfile config/train.yaml
rule generate:
    input:
        maps=lambda wildcards: TRAINING.required_maps(),
        settings=training_settings("generate"),
        listed=training_files("generate"),
    output:
        sheet=report(
            ensure(TRAINING.sheet, non_empty=True),
            caption="../report/samples.rst",
            category="Training",
        ),
        samples=[ensure(path, non_empty=True) for path in TRAINING.samples],
    log:
        TRAINING.log("generate"),
    conda:
        "../../envs/train.yaml"
    threads: 4
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        flags=TRAINING.flags("generate"),
        folder=TRAINING.folder("generate"),
        device=config["device"],
    shell:
        "synthseg generate {params.flags:q} --out {params.folder:q}"
        " --device {params.device} --threads {threads} > {log:q} 2>&1"


# The training folder itself is no output: Snakemake would delete the checkpoint from which a killed training goes on.
rule train:
    input:
        scans=lambda wildcards: TRAINING.training_inputs(),
        settings=training_settings("train"),
        listed=training_files("train"),
    output:
        [ensure(path, non_empty=True) for path in TRAINING.model],
    log:
        TRAINING.log("train"),
    conda:
        "../../envs/train.yaml"
    threads: 16
    resources:
        mem_mb=16000,
        runtime=2880,
    params:
        flags=lambda wildcards: TRAINING.flags("train"),
        folder=TRAINING.folder("train"),
        device=config["device"],
    shell:
        "synthseg train --config {input.settings:q} {params.flags:q} --out {params.folder:q}"
        " --device {params.device} --threads {threads} > {log:q} 2>&1"


rule validate:
    input:
        known=lambda wildcards: TRAINING.validation_inputs(),
        settings=training_settings("validate"),
        listed=training_files("validate"),
    output:
        table=report(
            ensure(TRAINING.folder("validate") / "validation.tsv", non_empty=True),
            caption="../report/validation.rst",
            category="Training",
        ),
        summary=ensure(TRAINING.folder("validate") / "validation.json", non_empty=True),
    log:
        TRAINING.log("validate"),
    conda:
        "../../envs/train.yaml"
    threads: 4
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        flags=TRAINING.flags("validate"),
        folder=TRAINING.folder("validate"),
        device=config["device"],
    shell:
        "synthseg validate {params.flags:q} --out {params.folder:q}"
        " --device {params.device} --threads {threads} > {log:q} 2>&1"
