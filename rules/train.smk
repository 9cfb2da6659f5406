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
        mem_mb=8000,
        runtime=240,
    params:
        folder=subpath(output[0], parent=True),
        options=lambda wildcards: options(RUN.config.classifiers[wildcards.classifier]),
    message:
        "train: {wildcards.classifier} for {wildcards.task}"
    shell:
        "secondlook train {input} --out {params.folder} --options {params.options:q} --threads {threads} 2> {log}"
