rule consensus:
    input:
        instances=f"{RESULTS}/ingest/instances.parquet",
        votes=asked(RUN.votes),
        reviewed=f"{RESULTS}/review/reviewed.parquet",
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
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        code=code("stages.consensus"),
        votes=asked(RUN.vote_options),
        shards=RUN.config.shards,
        options=RUN.settings("consensus"),
    message:
        "consensus: merge the votes on {wildcards.task}"
    shell:
        "secondlook consensus --instances {input.instances} {params.votes} --shards {params.shards} "
        "--reviewed {input.reviewed} --out {output.consensus} --options {params.options:q} 2> {log}"
