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
    threads: 1
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
