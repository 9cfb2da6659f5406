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
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=code("stages.review.apply"),
        decisions=lambda wildcards: [
            part
            for path in RUN.decisions(wildcards.task)
            for part in ("--apply", path)
        ],
        decided=asked(RUN.decided),
    message:
        "review: bring back what people decided on {wildcards.task}"
    shell:
        "secondlook review {params.decisions:q} --instances {input.instances} --out {output} 2> {log}"


rule review:
    input:
        instances=f"{RESULTS}/ingest/instances.parquet",
        consensus=f"{RESULTS}/consensus/consensus.parquet",
        reviewed=f"{RESULTS}/review/reviewed.parquet",
        crops=asked(RUN.crops),
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
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        code=code("stages.review.page"),
        results=asked(RUN.folder),
        folder=subpath(output.index, parent=True),
        options=RUN.settings("review"),
    message:
        "review: write the pages on which people look at the doubtful objects of {wildcards.task}"
    shell:
        "secondlook review {params.results} --out {params.folder} --options {params.options:q} 2> {log}"
