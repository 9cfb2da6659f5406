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
        directory(f"{RESULTS}/train/{{vlm}}/checkpoint"),
        f"{RESULTS}/train/{{vlm}}/metrics.csv",
        f"{RESULTS}/train/{{vlm}}/labels.json",
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


rule train_prototype:
    input:
        from_wildcards(RUN.learned_from, "task", "prototype"),
    output:
        [
            f"{RESULTS}/train/{{prototype}}/{name}"
            for name in LABELERS["prototype"].leaves
        ],
    log:
        "logs/{task}/train/{prototype}.log",
    benchmark:
        f"{RESULTS}/benchmark/train.{{prototype}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: NEEDS.cpus("prototype")
    resources:
        **NEEDS.of("prototype"),
    params:
        code=code("stages.train.prototypes"),
        folder=subpath(output[0], parent=True),
        options=OPTIONS.of_model("prototype"),
    message:
        "train: {wildcards.prototype} for {wildcards.task}"
    shell:
        "secondlook train {input} --kind prototype --out {params.folder} --options {params.options:q} "
        "--threads {threads} 2> {log}"


rule train_probe:
    input:
        from_wildcards(RUN.learned_from, "task", "probe"),
    output:
        [f"{RESULTS}/train/{{probe}}/{name}" for name in LABELERS["probe"].leaves],
    log:
        "logs/{task}/train/{probe}.log",
    benchmark:
        f"{RESULTS}/benchmark/train.{{probe}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: NEEDS.cpus("probe")
    resources:
        **NEEDS.of("probe"),
    params:
        code=code("stages.train.probe"),
        folder=subpath(output[0], parent=True),
        options=OPTIONS.of_model("probe"),
    message:
        "train: {wildcards.probe} for {wildcards.task}"
    shell:
        "secondlook train {input} --kind probe --out {params.folder} --options {params.options:q} "
        "--threads {threads} 2> {log}"
