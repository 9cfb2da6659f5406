rule crop:
    input:
        lambda wildcards: RUN.instances(wildcards.task, wildcards.part),
    output:
        f"{RESULTS}/crop/{{part}}.parquet",
    log:
        "logs/{task}/crop/{part}.log",
    benchmark:
        f"{RESULTS}/benchmark/crop.{{part}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        options=options(RUN.config.crop),
    message:
        "crop: part {wildcards.part} of {wildcards.task}"
    shell:
        "secondlook crop {input} --out {output} --options {params.options:q} "
        "--threads {threads} 2> {log}"


rule cutout:
    input:
        lambda wildcards: RUN.instances(wildcards.task, wildcards.part),
    output:
        f"{RESULTS}/crop/cutout/{{part}}.parquet",
    log:
        "logs/{task}/crop/cutout/{part}.log",
    benchmark:
        f"{RESULTS}/benchmark/crop.cutout.{{part}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: attempt * RUN.config.cutout.resources.mem_mb,
        runtime=lambda wildcards, attempt: attempt * RUN.config.cutout.resources.runtime,
        gpu=RUN.config.cutout.resources.gpus,
    params:
        options=options(RUN.config.cutout),
    message:
        "cutout: part {wildcards.part} of {wildcards.task}"
    shell:
        "secondlook crop {input} --view cutout --out {output} --options {params.options:q} "
        "--threads {threads} 2> {log}"
