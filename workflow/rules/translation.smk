# A scan in the contrast that the model knows, which is segmented in its place: segment.translate_before.
rule translate:
    input:
        request=request_of("translate"),
    output:
        **outputs_of("translate", stem=TWO_PART_STEM),
    log:
        LAYOUT.log("translate", TWO_PART_STEM),
    benchmark:
        LAYOUT.benchmark("translate", TWO_PART_STEM)
    wildcard_constraints:
        before=STEM_PATTERN.rpartition("_space-")[0],
        suffix="[0-9a-zA-Z]+",
    retries: 1
    conda:
        "../../envs/translate.yaml"
    threads: 4
    resources:
        mem_mb=more_memory(6000),
        attempt=attempt_number,
        runtime=60,
    params:
        scan=of_scan(PLAN.scan_of),
        reason=str(LAYOUT.reason("translate", TWO_PART_STEM)),
        options=of_scan(PLAN.translate_words),
        device=config["device"],
    shell:
        'synthseg --worker "${{SYNTHSEG_WORKER:-}}"'
        " translate apply {params.scan:q} {params.options:q}"
        " --device {params.device} --threads {threads}"
        " --image {output.translated:q} --sidecar {output.translated_sidecar:q}"
        " --log-json {params.reason:q} --attempt {resources.attempt} > {log:q} 2>&1"


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


# The training folder itself is no output: Snakemake would delete the checkpoint from which a killed training goes on.
rule train_translation:
    input:
        dataset=TRANSLATION.dataset,
        settings=translation_settings("train"),
        changes=lambda wildcards: str(TRANSLATION.changes_file(preview=nothing_runs())),
    output:
        card=ensure(TRANSLATION.card, non_empty=True),
    log:
        TRANSLATION.log("train"),
    conda:
        "../../envs/translate.yaml"
    threads: 16
    resources:
        mem_mb=16000,
        runtime=2880,
    params:
        flags=TRANSLATION.train_flags,
        dataset=TRANSLATION.folder("dataset"),
        folder=TRANSLATION.folder("train"),
        device=config["device"],
    shell:
        "synthseg translate train --dataset {params.dataset:q} --config {input.changes:q} {params.flags:q}"
        " --out {params.folder:q} --device {params.device} --threads {threads} > {log:q} 2>&1"


rule translate_dataset:
    input:
        card=TRANSLATION.translator,
        scans=lambda wildcards: TRANSLATION.required_scans(),
        settings=translation_settings("translate"),
    output:
        [ensure(path, non_empty=True) for path in TRANSLATION.translated],
    log:
        TRANSLATION.log("translated"),
    conda:
        "../../envs/translate.yaml"
    threads: 4
    resources:
        mem_mb=8000,
        runtime=1440,
    params:
        flags=lambda wildcards: TRANSLATION.translate_flags,
        folder=TRANSLATION.folder("translated"),
        device=config["device"],
    shell:
        "synthseg translate scans {params.flags:q} --translator {input.card:q} --out {params.folder:q}"
        " --device {params.device} --threads {threads} > {log:q} 2>&1"


rule evaluate_translation:
    input:
        card=TRANSLATION.translator,
        dataset=TRANSLATION.scored_dataset,
        settings=translation_settings("evaluate"),
    output:
        [ensure(path, non_empty=True) for path in TRANSLATION.evaluation],
    log:
        TRANSLATION.log("evaluation"),
    conda:
        "../../envs/translate.yaml"
    threads: 4
    resources:
        mem_mb=8000,
        runtime=1440,
    params:
        flags=lambda wildcards: TRANSLATION.evaluate_flags,
        folder=TRANSLATION.folder("evaluation"),
        device=config["device"],
    shell:
        "synthseg translate evaluate {params.flags:q} --translator {input.card:q} --out {params.folder:q}"
        " --device {params.device} --threads {threads} > {log:q} 2>&1"
