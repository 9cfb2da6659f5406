rule label:
    input:
        objects=lambda wildcards: RUN.objects_of(
            wildcards.task, wildcards.labeler, wildcards.part
        ),
        source=lambda wildcards: RUN.source_files(wildcards.task, wildcards.labeler),
    output:
        f"{RESULTS}/label/{{labeler}}/{{part}}.parquet",
    log:
        "logs/{task}/label/{labeler}/{part}.log",
    benchmark:
        f"{RESULTS}/benchmark/label.{{labeler}}.{{part}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: lambda wildcards: RUN.config.labelers[wildcards.labeler].resources.cpus
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * RUN.config.labelers[wildcards.labeler].resources.mem_mb,
        runtime=lambda wildcards, attempt: attempt
        * RUN.config.labelers[wildcards.labeler].resources.runtime,
        gpu=lambda wildcards: RUN.config.labelers[wildcards.labeler].resources.gpus,
    params:
        learned=lambda wildcards: RUN.label_arguments(wildcards.task, wildcards.labeler),
        options=lambda wildcards: options(RUN.config.labelers[wildcards.labeler]),
    message:
        "label: {wildcards.labeler} on part {wildcards.part} of {wildcards.task}"
    shell:
        "secondlook label {input.objects} {params.learned:q} --name {wildcards.labeler} --out {output} "
        "--options {params.options:q} --threads {threads} 2> {log}"
