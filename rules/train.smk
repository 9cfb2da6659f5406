rule train:
    input:
        f"{RESULTS}/crop/reference.parquet",
    output:
        [f"{RESULTS}/train/{{classifier}}/{name}" for name in CLASSIFIER_FILES],
    log:
        "logs/{task}/train/{classifier}.log",
    benchmark:
        f"{RESULTS}/benchmark/train.{{classifier}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: NEEDS.cpus("classifier")
    resources:
        **NEEDS.of("classifier"),
    params:
        code=code("stages.train"),
        model=RUN.model_state("classifier"),
        folder=subpath(output[0], parent=True),
        options=OPTIONS.of_model("classifier"),
    message:
        "train: {wildcards.classifier} for {wildcards.task}"
    shell:
        "secondlook train {input} --out {params.folder} --options {params.options:q} --threads {threads} 2> {log}"


rule train_vlm:
    input:
        from_wildcards(FILES.vlm_crops),
    output:
        directory(f"{RESULTS}/train/{{vlm}}/{VLM_CHECKPOINT}"),
        [f"{RESULTS}/train/{{vlm}}/{name}" for name in VLM_FILES],
    log:
        "logs/{task}/train/{vlm}.log",
    benchmark:
        f"{RESULTS}/benchmark/train.{{vlm}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: NEEDS.cpus("vlm")
    resources:
        **NEEDS.of("vlm"),
    params:
        code=code("stages.train.vlm"),
        model=RUN.model_state("vlm"),
        folder=subpath(output[0], parent=True),
        options=OPTIONS.of_model("vlm"),
        prompt=from_wildcards(OPTIONS.vlm_prompt),
    message:
        "train: {wildcards.vlm} for {wildcards.task}"
    shell:
        "secondlook train {input} --kind vlm --out {params.folder} --prompt {params.prompt:q} "
        "--options {params.options:q} --threads {threads} 2> {log}"


# labelers with a training of their own: `secondlook train` loads the module of the kind by its name
for kind in LEARNERS:

    rule:
        name:
            f"train_{kind}"
        input:
            from_wildcards(RUN.learned_from),
        output:
            [f"{RESULTS}/train/{{labeler}}/{name}" for name in LEARNERS[kind].leaves],
        log:
            "logs/{task}/train/{labeler}.log",
        benchmark:
            f"{RESULTS}/benchmark/train.{{labeler}}.tsv"
        wildcard_constraints:
            labeler=one_of(RUN.learned(kind)),
        conda:
            "../envs/secondlook.yaml"
        threads: NEEDS.cpus("labeler")
        resources:
            **NEEDS.of("labeler"),
        params:
            code=code(f"stages.train.{kind}"),
            kind=kind,
            folder=subpath(output[0], parent=True),
            options=OPTIONS.of_model("labeler"),
        message:
            "train: {wildcards.labeler} for {wildcards.task}"
        shell:
            "secondlook train {input} --kind {params.kind} --out {params.folder} --options {params.options:q} "
            "--threads {threads} 2> {log}"
