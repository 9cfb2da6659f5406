# The rejects are no declared output: Snakemake removes those of a failed job, and they say why it failed.
rule ingest:
    input:
        task=lambda wildcards: RUN.task_files[wildcards.task],
        data=lambda wildcards: RUN.inputs(
            wildcards.task, RUN.annotation_files(wildcards.task)
        ),
    output:
        instances=f"{RESULTS}/ingest/instances.parquet",
        reference=f"{RESULTS}/ingest/reference.parquet",
        shards=[f"{RESULTS}/ingest/shards/{part}.parquet" for part in RUN.shards()],
    log:
        "logs/{task}/ingest.log",
    benchmark:
        f"{RESULTS}/benchmark/ingest.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        rejects=f"{RESULTS}/ingest/rejects.parquet",
        shards=f"{RESULTS}/ingest/shards",
        options=options(RUN.ingest_options()),
    message:
        "ingest: read the dataset of {wildcards.task}"
    shell:
        "secondlook ingest --task {input.task:q} --out {output.instances} --rejects {params.rejects} "
        "--reference {output.reference} --shards {params.shards} --options {params.options:q} 2> {log}"
