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
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * RUN.config.classifiers[wildcards.classifier].resources.mem_mb,
        runtime=lambda wildcards, attempt: attempt
        * RUN.config.classifiers[wildcards.classifier].resources.runtime,
        gpu=lambda wildcards: RUN.config.classifiers[
            wildcards.classifier
        ].resources.gpus,
    params:
        folder=subpath(output[0], parent=True),
        options=lambda wildcards: options(RUN.config.classifiers[wildcards.classifier]),
    message:
        "train: {wildcards.classifier} for {wildcards.task}"
    shell:
        "secondlook train {input} --out {params.folder} --options {params.options:q} --threads {threads} 2> {log}"


rule train_vlm:
    input:
        lambda wildcards: RUN.vlm_crops(wildcards.task, wildcards.vlm),
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
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * RUN.config.vlms[wildcards.vlm].resources.mem_mb,
        runtime=lambda wildcards, attempt: attempt
        * RUN.config.vlms[wildcards.vlm].resources.runtime,
        gpu=lambda wildcards: RUN.config.vlms[wildcards.vlm].resources.gpus,
    params:
        folder=subpath(output[0], parent=True),
        options=lambda wildcards: options(RUN.config.vlms[wildcards.vlm]),
        prompt=lambda wildcards: RUN.vlm_prompt(wildcards.task, wildcards.vlm),
    message:
        "train: {wildcards.vlm} for {wildcards.task}"
    shell:
        "secondlook train {input} --kind vlm --out {params.folder} --prompt {params.prompt:q} "
        "--options {params.options:q} --threads {threads} 2> {log}"
