# Not part of "all": snakemake --cores 2 train_robust --configfile config/train.yaml
rule train_member:
    input:
        maps=lambda wildcards: TRAINING.required_maps(),
        held_out=TRAINING.held_out,
        models=lambda wildcards: TRAINING.before(wildcards.member),
        settings=lambda wildcards: training_settings(f"robust_{wildcards.member}")(
            wildcards
        ),
        listed=lambda wildcards: training_files(f"robust_{wildcards.member}")(wildcards),
    output:
        [ensure(path, non_empty=True) for path in TRAINING.model_of("robust_{member}")],
    log:
        TRAINING.log("robust_{member}"),
    wildcard_constraints:
        member="|".join(TRAINING.members),
    conda:
        "../../envs/train.yaml"
    threads: 16
    resources:
        mem_mb=16000,
        runtime=2880,
    params:
        flags=lambda wildcards: TRAINING.flags(f"robust_{wildcards.member}"),
        folder=lambda wildcards: TRAINING.folder(f"robust_{wildcards.member}"),
        device=config["device"],
    shell:
        "synthseg train --config {input.settings:q} {params.flags:q} --out {params.folder:q}"
        " --device {params.device} --threads {threads} > {log:q} 2>&1"


rule train_robust:
    input:
        [
            path
            for member in TRAINING.members
            for path in TRAINING.model_of(f"robust_{member}")
        ],
    output:
        [ensure(path, non_empty=True) for path in TRAINING.family_files],
    log:
        TRAINING.log("robust"),
    conda:
        "../../envs/train.yaml"
    params:
        flags=TRAINING.family_flags,
        folder=TRAINING.folder("robust"),
    shell:
        "synthseg models combine {params.flags:q} --out {params.folder:q} > {log:q} 2>&1"
