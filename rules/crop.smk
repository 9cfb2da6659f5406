rule crop:
    input:
        SHARDS,
    output:
        [f"{RESULTS}/crop/{{part}}{tail}.parquet" for tail in TAILS],
    log:
        "logs/{task}/crop/{part}.log",
    benchmark:
        f"{RESULTS}/benchmark/crop.{{part}}.tsv"
    priority: 2  # before trainings, which would leave it no two cores
    conda:
        "../envs/secondlook.yaml"
    threads: 2
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(60),
    params:
        code=code("stages.crop"),
        options=OPTIONS.section("crop"),
    shell:
        "secondlook crop {input} --options {params.options:q} "
        f"--out {FOLDER}/crop/ --threads {{threads}} 2> {{log}}"


use rule crop as crop_reference with:
    input:
        f"{RESULTS}/ingest/reference.parquet",
    output:
        f"{RESULTS}/crop/reference.parquet",
    log:
        "logs/{task}/crop/reference.log",
    benchmark:
        f"{RESULTS}/benchmark/crop.reference.tsv"


rule groups:
    input:
        instances=f"{RESULTS}/ingest/instances.parquet",
        crops=from_wildcards(FILES.crops),
        reference=f"{RESULTS}/ingest/reference.parquet",
        reference_crops=f"{RESULTS}/crop/reference.parquet",
    output:
        f"{RESULTS}/crop/groups.parquet",
    log:
        "logs/{task}/crop/groups.log",
    benchmark:
        f"{RESULTS}/benchmark/groups.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 2
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(60),
    params:
        code=code("stages.crop.groups"),
        folder=subpath(output[0], parent=True),
        shards=from_wildcards(FILES.shard_count),
        folds=from_wildcards(OPTIONS.folds),
        options=OPTIONS.section("crop"),
    message:
        "groups: find out which objects of {wildcards.task} belong together"
    shell:
        "secondlook groups {params.folder} --shards {params.shards} --instances {input.instances} "
        "--reference {input.reference} --reference-crops {input.reference_crops} {params.folds} "
        "--out {output} --options {params.options:q} --threads {threads} 2> {log}"


rule cutout:
    input:
        SHARDS,
    output:
        [f"{RESULTS}/crop/cutout/{{part}}{tail}.parquet" for tail in TAILS],
    log:
        "logs/{task}/crop/cutout/{part}.log",
    benchmark:
        f"{RESULTS}/benchmark/crop.cutout.{{part}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 2
    resources:
        **NEEDS.of("cutout"),
    params:
        code=code("stages.crop.cutout"),
        model=RUN.model_state("cutout"),
        options=OPTIONS.section("cutout"),
    shell:
        "secondlook crop {input} --view cutout --options {params.options:q} "
        f"--out {FOLDER}/crop/cutout/ --threads {{threads}} 2> {{log}}"


use rule cutout as cutout_reference with:
    input:
        f"{RESULTS}/ingest/reference.parquet",
    output:
        f"{RESULTS}/crop/cutout/reference.parquet",
    log:
        "logs/{task}/crop/cutout/reference.log",
    benchmark:
        f"{RESULTS}/benchmark/crop.cutout.reference.tsv"
