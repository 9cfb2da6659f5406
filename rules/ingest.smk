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


# A file per shard, a hundred to a job: as outputs of `ingest` Snakemake would compare each of them with every target. A
# rule for each task, as their shards differ in number; and with its folder in front of all wildcards, Snakemake compares
# the hundred with files of that folder alone. Its command must not name `task`: Snakemake forms it when the job runs,
# and the loop has ended then.
for task in RUN.tasks:

    rule:
        name:
            f"split_{task}"
        input:
            f"{FILES.folder(task)}/ingest/instances.parquet",
        output:
            [
                f"{FILES.folder(task)}/ingest/shards/{{hundred}}{tail}.parquet"
                for tail in FILES.shards(task).split_tails()
            ],
        log:
            f"logs/{task}/split/{{hundred}}.log",
        benchmark:
            f"{FILES.folder(task)}/benchmark/split.{{hundred}}.tsv"
        priority: 3  # before the crops of the reference: those of the dataset need it, and come before trainings
        localrule: True
        conda:
            "../envs/secondlook.yaml"
        threads: 1
        resources:
            mem_mb=per_attempt(2000),
            runtime=per_attempt(30),
        params:
            code=code("stages.ingest.split", "stages.ingest.stale"),
            number=len(FILES.shards(task).split_tails()),
            shards=FILES.shard_count(task),
            per_job=RUN.config.shards_per_job,
            folder=lambda wildcards, output: Path(output[0]).parents[2],
        message:
            f"split: write a file for each shard of {task} from {{wildcards.hundred}}00 on"
        shell:
            "secondlook split {input} --first {wildcards.hundred}00 --count {params.number} --shards {params.shards} "
            "--per-job {params.per_job} --results {params.folder} --out {params.folder}/ingest/shards 2> {log}"
