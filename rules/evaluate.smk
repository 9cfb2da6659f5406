rule evaluate:
    input:
        instances=f"{RESULTS}/ingest/instances.parquet",
        groups=f"{RESULTS}/crop/groups.parquet",
        consensus=f"{RESULTS}/consensus/consensus.parquet",
        majority=f"{RESULTS}/consensus/majority.parquet",
        reviewed=f"{RESULTS}/review/reviewed.parquet",
        asked=from_wildcards(EVALUATED.lists),
    output:
        [f"{RESULTS}/evaluate/{name}" for name in TABLES],
    log:
        "logs/{task}/evaluate.log",
    benchmark:
        f"{RESULTS}/benchmark/evaluate.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(30),
    params:
        code=code("stages.evaluate"),
        folder=subpath(output[0], parent=True),
        benchmarks=from_wildcards(FILES.benchmarks),
        votes=from_wildcards(OPTIONS.votes),
        shards=from_wildcards(FILES.shard_count),
        protocol=from_wildcards(OPTIONS.protocol),
        evaluated=from_wildcards(EVALUATED.arguments),
        options=OPTIONS.section("evaluate"),
    message:
        "evaluate: compare every labeler and method of {wildcards.task} with the truth, and the labelers with each other"
    shell:
        "secondlook evaluate --instances {input.instances} --groups {input.groups} {params.votes} --shards {params.shards} "
        "--consensus {input.consensus} --reviewed {input.reviewed} --benchmarks {params.benchmarks} "
        "{params.evaluated:q} --out {params.folder} {params.protocol:q} --options {params.options:q} 2> {log}"
