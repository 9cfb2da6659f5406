rule consensus:
    input:
        instances=f"{RESULTS}/ingest/instances.parquet",
        groups=f"{RESULTS}/crop/groups.parquet",
        votes=from_wildcards(FILES.votes),
        reviewed=f"{RESULTS}/review/reviewed.parquet",
        frozen=from_wildcards(FILES.frozen),
    output:
        consensus=f"{RESULTS}/consensus/consensus.parquet",
        majority=f"{RESULTS}/consensus/majority.parquet",
    log:
        "logs/{task}/consensus.log",
    benchmark:
        f"{RESULTS}/benchmark/consensus.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(30),
    params:
        code=code("stages.consensus"),
        votes=from_wildcards(OPTIONS.votes),
        shards=from_wildcards(FILES.shard_count),
        frozen=from_wildcards(OPTIONS.frozen),
        options=OPTIONS.section("consensus"),
    message:
        "consensus: merge the votes on {wildcards.task}"
    shell:
        "secondlook consensus --instances {input.instances} --groups {input.groups} {params.votes} --shards {params.shards} "
        "--reviewed {input.reviewed} {params.frozen:q} --out {output.consensus} --options {params.options:q} 2> {log}"
