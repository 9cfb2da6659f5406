# `stages.label` loads the module of a kind of labeler by its name, so no import leads to it
VOTERS = [f"stages.label.{kind}" for kind in KINDS]


# which objects a labeler is asked about; it hears no review, so that a review never starts a job of `label`
rule ask:
    input:
        instances=f"{RESULTS}/ingest/instances.parquet",
        groups=f"{RESULTS}/crop/groups.parquet",
        votes=from_wildcards(RUN.deciding_votes),
    output:
        f"{RESULTS}/label/asked/{{labeler}}.parquet",
    log:
        "logs/{task}/ask/{labeler}.log",
    benchmark:
        f"{RESULTS}/benchmark/ask.{{labeler}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(30),
    params:
        code=code("stages.label.ask"),
        ask=from_wildcards(RUN.asking),
        shards=from_wildcards(FILES.shard_count, "task"),
    message:
        "ask: list the objects of {wildcards.task} that {wildcards.labeler} is asked about"
    shell:
        "secondlook ask --instances {input.instances} --groups {input.groups} {params.ask:q} "
        "--shards {params.shards} --out {output} 2> {log}"


rule label:
    input:
        objects=from_wildcards(RUN.objects_of),
        source=from_wildcards(RUN.source_files),
        asked=from_wildcards(RUN.asked_files),
    output:
        [f"{RESULTS}/label/{{labeler}}/{{part}}{tail}.parquet" for tail in TAILS],
    log:
        "logs/{task}/label/{labeler}/{part}.log",
    benchmark:
        f"{RESULTS}/benchmark/label.{{labeler}}.{{part}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: NEEDS.cpus("labeler")
    resources:
        **NEEDS.of("labeler"),
    params:
        code=code("stages.label", *VOTERS),
        model=RUN.model_state("labeler"),
        labeler=from_wildcards(OPTIONS.label),
    shell:
        "secondlook label {input.objects} {params.labeler:q} --name {wildcards.labeler} "
        f"--out {FOLDER}/label/{{wildcards.labeler}}/ --threads {{threads}} 2> {{log}}"
