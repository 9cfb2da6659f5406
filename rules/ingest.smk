# The rejects are not a declared output: Snakemake removes outputs of a failed job, and the rejects say why it failed.
rule ingest:
    input:
        task=lambda wildcards: RUN.task_files[wildcards.task],
        data=lambda wildcards: RUN.data.inputs(
            wildcards.task, RUN.data.annotation_files(wildcards.task)
        ),
    output:
        instances=f"{RESULTS}/ingest/instances.parquet",
        background=f"{RESULTS}/ingest/instances.background.parquet",
        images=f"{RESULTS}/ingest/instances.images.parquet",
        reference=f"{RESULTS}/ingest/reference.parquet",
    log:
        "logs/{task}/ingest.log",
    benchmark:
        f"{RESULTS}/benchmark/ingest.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(30),
    params:
        code=code("stages.ingest"),
        rejects=f"{RESULTS}/ingest/rejects.parquet",
        options=from_wildcards(OPTIONS.ingest),
    message:
        "ingest: read the dataset of {wildcards.task}"
    shell:
        "secondlook ingest --task {input.task:q} --out {output.instances} --rejects {params.rejects} "
        "--reference {output.reference} --background {output.background} --options {params.options:q} 2> {log}"


# A file per shard, a hundred to a job: as outputs of `ingest` Snakemake would compare each of them with every target.
rule split:
    input:
        f"{RESULTS}/ingest/instances.parquet",
    output:
        [f"{RESULTS}/ingest/shards/{{hundred}}{tail}.parquet" for tail in SPLIT_TAILS],
    log:
        "logs/{task}/split/{hundred}.log",
    benchmark:
        f"{RESULTS}/benchmark/split.{{hundred}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(30),
    params:
        code=code("stages.ingest.split", "stages.ingest.stale"),
        shards=len(SPLIT_TAILS),
        per_job=RUN.config.shards_per_job,
    message:
        "split: write a file for each shard of {wildcards.task} from {wildcards.hundred}00 on"
    shell:
        "secondlook split {input} --first {wildcards.hundred}00 --count {params.shards} --per-job {params.per_job} "
        f"--results {FOLDER} --out {FOLDER}/ingest/shards 2> {{log}}"


localrules:
    split,
