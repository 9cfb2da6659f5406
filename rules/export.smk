rule export:
    input:
        data=lambda wildcards: RUN.inputs(
            wildcards.task, [RUN.tasks[wildcards.task].dataset.path]
        ),
        instances=f"{RESULTS}/ingest/instances.parquet",
        consensus=f"{RESULTS}/consensus/consensus.parquet",
    output:
        f"{RESULTS}/export/coco/annotations.json",
    log:
        "logs/{task}/export/coco.log",
    benchmark:
        f"{RESULTS}/benchmark/export.coco.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        annotations=lambda wildcards: RUN.tasks[wildcards.task].dataset.path,
        label_from=lambda wildcards: RUN.label_from(wildcards.task) or "",
    message:
        "export: write the corrected dataset of {wildcards.task}"
    shell:
        "secondlook export {params.annotations:q} --instances {input.instances} --consensus {input.consensus} "
        "--label-from {params.label_from:q} --out {output} 2> {log}"
