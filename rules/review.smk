rule reviewed:
    input:
        instances=f"{RESULTS}/ingest/instances.parquet",
    output:
        f"{RESULTS}/review/reviewed.parquet",
    log:
        "logs/{task}/reviewed.log",
    benchmark:
        f"{RESULTS}/benchmark/reviewed.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(10),
    params:
        code=code("stages.review.apply"),
        decisions=from_wildcards(OPTIONS.decisions),
        decided=from_wildcards(FILES.decided),
    message:
        "review: read the decisions of people on {wildcards.task}"
    shell:
        "secondlook review {params.decisions:q} --instances {input.instances} --out {output} 2> {log}"


rule review:
    input:
        instances=f"{RESULTS}/ingest/instances.parquet",
        consensus=f"{RESULTS}/consensus/consensus.parquet",
        reviewed=f"{RESULTS}/review/reviewed.parquet",
        crops=from_wildcards(FILES.crops),
    output:
        queue=f"{RESULTS}/review/queue.parquet",
        index=f"{RESULTS}/review/index.html",
    log:
        "logs/{task}/review.log",
    benchmark:
        f"{RESULTS}/benchmark/review.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(30),
    params:
        code=code("stages.review.page"),
        results=from_wildcards(FILES.folder),
        folder=subpath(output.index, parent=True),
        options=OPTIONS.section("review"),
    message:
        "review: write the pages with the doubtful objects of {wildcards.task}"
    shell:
        "secondlook review {params.results} --out {params.folder} --options {params.options:q} 2> {log}"
