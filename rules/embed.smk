rule embed:
    input:
        crops=f"{RESULTS}/crop/{{part}}.parquet",
        encoder=lambda wildcards: RUN.encoder_files(wildcards.task, wildcards.encoder),
    output:
        f"{RESULTS}/embed/{{encoder}}/{{part}}.parquet",
    log:
        "logs/{task}/embed/{encoder}/{part}.log",
    benchmark:
        f"{RESULTS}/benchmark/embed.{{encoder}}.{{part}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: lambda wildcards: RUN.config.encoders[wildcards.encoder].resources.cpus
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * RUN.config.encoders[wildcards.encoder].resources.mem_mb,
        runtime=lambda wildcards, attempt: attempt
        * RUN.config.encoders[wildcards.encoder].resources.runtime,
        gpu=lambda wildcards: RUN.config.encoders[wildcards.encoder].resources.gpus,
    params:
        options=lambda wildcards: RUN.encoder_options(wildcards.task, wildcards.encoder),
    message:
        "embed: part {wildcards.part} of {wildcards.task} with {wildcards.encoder}"
    shell:
        "secondlook embed {input.crops} --out {output} --options {params.options:q} --threads {threads} 2> {log}"


# Vectors of the published layout are the reference of an encoder with `reference_pt`.
rule embed_import:
    input:
        task=lambda wildcards: RUN.task_files[wildcards.task],
        folder=lambda wildcards: RUN.config.encoders[wildcards.imported].reference_pt,
    output:
        f"{RESULTS}/embed/{{imported}}/reference.parquet",
    log:
        "logs/{task}/embed/{imported}/reference.log",
    benchmark:
        f"{RESULTS}/benchmark/embed.{{imported}}.reference.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        options=lambda wildcards: RUN.encoder_options(
            wildcards.task, wildcards.imported
        ),
    message:
        "embed: take the reference vectors of {wildcards.imported} from {input.folder}"
    shell:
        "secondlook embed --import-pt {input.folder:q} --task {input.task:q} --out {output} "
        "--options {params.options:q} 2> {log}"


ruleorder: embed_import > embed
