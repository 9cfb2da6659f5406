# Out of fold, everything that learns does so once without each fold: `lessons` says what each object teaches.
rule lessons:
    input:
        instances=f"{RESULTS}/ingest/instances.parquet",
        groups=from_wildcards(FILES.groups),
        reference=f"{RESULTS}/ingest/reference.parquet",
        reviewed=from_wildcards(FILES.newly_learned),
    output:
        f"{RESULTS}/train/lessons.parquet",
    log:
        "logs/{task}/train/lessons.log",
    benchmark:
        f"{RESULTS}/benchmark/lessons.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(10),
    params:
        code=code("stages.train.lessons"),
        reviewed=from_wildcards(OPTIONS.newly_learned),
    message:
        "lessons: list what the objects of {wildcards.task} teach"
    shell:
        "secondlook lessons --instances {input.instances} --groups {input.groups} --reference {input.reference} "
        "{params.reviewed} --out {output} 2> {log}"


rule train:
    input:
        from_wildcards(FILES.taught_crops),
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
        taught=from_wildcards(OPTIONS.taught_crops),
        folder=subpath(output[0], parent=True),
        options=OPTIONS.of_model("classifier"),
    message:
        "train: {wildcards.classifier} for {wildcards.task}"
    shell:
        "secondlook train {params.taught} --out {params.folder} --options {params.options:q} --threads {threads} 2> {log}"


use rule train as train_fold with:
    output:
        [
            f"{RESULTS}/train/{{classifier}}/fold{{fold}}/{name}"
            for name in (*CLASSIFIER_FILES, FOLD_FILE)
        ],
    log:
        "logs/{task}/train/{classifier}.{fold}.log",
    benchmark:
        f"{RESULTS}/benchmark/train.{{classifier}}.{{fold}}.tsv"
    params:
        code=code("stages.train", "stages.train.out_of_fold"),
        model=RUN.model_state("classifier"),
        taught=from_wildcards(OPTIONS.crops_of_other_folds),
        folder=subpath(output[0], ancestor=2),
        options=OPTIONS.of_model("classifier"),
    message:
        "train: {wildcards.classifier} for {wildcards.task}, without fold {wildcards.fold}"


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
    priority: 1  # the longest first, so that no core waits for it in the end
    conda:
        "../envs/secondlook.yaml"
    threads: NEEDS.cpus("vlm")
    resources:
        **NEEDS.of("vlm"),
    params:
        code=code("stages.train.vlm"),
        model=RUN.model_state("vlm"),
        taught=from_wildcards(OPTIONS.vlm_crops),
        folder=subpath(output[0], parent=True),
        options=OPTIONS.of_model("vlm"),
        prompt=from_wildcards(OPTIONS.vlm_prompt),
    message:
        "train: {wildcards.vlm} for {wildcards.task}"
    shell:
        "secondlook train {params.taught} --kind vlm --out {params.folder} --prompt {params.prompt:q} "
        "--options {params.options:q} --threads {threads} 2> {log}"


use rule train_vlm as train_vlm_fold with:
    output:
        directory(f"{RESULTS}/train/{{vlm}}/fold{{fold}}/{VLM_CHECKPOINT}"),
        [
            f"{RESULTS}/train/{{vlm}}/fold{{fold}}/{name}"
            for name in (*VLM_FILES, FOLD_FILE)
        ],
    log:
        "logs/{task}/train/{vlm}.{fold}.log",
    benchmark:
        f"{RESULTS}/benchmark/train.{{vlm}}.{{fold}}.tsv"
    params:
        code=code("stages.train.vlm", "stages.train.out_of_fold"),
        model=RUN.model_state("vlm"),
        taught=from_wildcards(OPTIONS.vlm_crops_of_other_folds),
        folder=subpath(output[0], ancestor=2),
        options=OPTIONS.of_model("vlm"),
        prompt=from_wildcards(OPTIONS.vlm_prompt),
    message:
        "train: {wildcards.vlm} for {wildcards.task}, without fold {wildcards.fold}"


# Labelers with a training of their own: `secondlook train` loads the module of the kind by its name. They learn from
# vectors in seconds, so one job trains those of all folds; its outputs depend on the number of folds of the task.
for kind in LEARNERS:

    rule:
        name:
            f"train_{kind}"
        input:
            from_wildcards(RUN.taught_files),
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
            taught=from_wildcards(OPTIONS.taught_vectors),
            folder=subpath(output[0], parent=True),
            options=OPTIONS.of_model("labeler"),
        message:
            "train: {wildcards.labeler} for {wildcards.task}"
        shell:
            "secondlook train {params.taught} --kind {params.kind} --out {params.folder} --options {params.options:q} "
            "--threads {threads} 2> {log}"

    for folds, tasks in RUN.fold_counts().items():

        rule:
            name:
                f"train_{kind}_{folds}_folds"
            input:
                from_wildcards(RUN.taught_files),
            output:
                [
                    f"{RESULTS}/train/{{labeler}}/fold{fold}/{name}"
                    for fold in range(folds)
                    for name in (*LEARNERS[kind].leaves, FOLD_FILE)
                ],
            log:
                "logs/{task}/train/{labeler}.folds.log",
            benchmark:
                f"{RESULTS}/benchmark/train.{{labeler}}.folds.tsv"
            wildcard_constraints:
                task=one_of(tasks),
                labeler=one_of(RUN.learned(kind)),
            conda:
                "../envs/secondlook.yaml"
            threads: NEEDS.cpus("labeler")
            resources:
                **NEEDS.of("labeler"),
            params:
                code=code(f"stages.train.{kind}", "stages.train.out_of_fold"),
                kind=kind,
                taught=from_wildcards(OPTIONS.taught_vectors),
                folder=subpath(output[0], ancestor=2),
                options=OPTIONS.of_model("labeler"),
            message:
                "train: {wildcards.labeler} for {wildcards.task}, once without each fold"
            shell:
                "secondlook train {params.taught} --kind {params.kind} --out {params.folder} "
                "--options {params.options:q} --threads {threads} 2> {log}"
