# Images by texts: each recipe trains a model (or uses one as it is), ranks validation and test, and is compared.
from secondlook.pipelines.retrieve import run as retrieve

RETRIEVE = checked(retrieve.PIPELINE.of, RUN)
OF_RETRIEVE = RETRIEVE.folder
OF_RECIPE = NEEDS.resources_of(
    lambda wildcards: RETRIEVE.resources(wildcards.recipe), RETRIEVE.all_resources()
)
OF_COMPLETION = NEEDS.resources_of(
    lambda wildcards: RETRIEVE.completion_resources(wildcards.recipe),
    RETRIEVE.all_resources(),
)


wildcard_constraints:
    recipe=one_of(RETRIEVE.recipes),
    merged=one_of(RETRIEVE.options.merged),
    split="val|test",


if RETRIEVE.options.drawn is not None:

    rule retrieve_draw:
        output:
            directory(RETRIEVE.options.data),
        log:
            "logs/retrieve/draw.log",
        benchmark:
            f"{OF_RETRIEVE}/benchmark/draw.tsv"
        conda:
            "../envs/secondlook.yaml"
        threads: 1
        resources:
            mem_mb=per_attempt(1000),
            runtime=per_attempt(30),
        params:
            code=code("pipelines.retrieve.drawn"),
            options=as_options(RETRIEVE.options.drawn),
        message:
            "retrieve: draw the dataset"
        shell:
            "secondlook retrieve draw --out {output} --options {params.options:q} 2> {log}"


rule retrieve_index:
    input:
        RETRIEVE.options.data,
    output:
        RETRIEVE.index_files(),
        rejects=f"{RETRIEVE.index}/rejects.csv",
    log:
        "logs/retrieve/index.log",
    benchmark:
        f"{OF_RETRIEVE}/benchmark/index.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(60),
    params:
        code=code("pipelines.retrieve.index"),
        folder=subpath(output.rejects, parent=True),
        truth=[part for path in RETRIEVE.truth() for part in ("--truth", path)],
    message:
        "retrieve: read labels and queries"
    shell:
        "secondlook retrieve index {input} --out {params.folder} {params.truth:q} 2> {log}"


# Its output begins the log: the accuracy of the completion, slot by slot.
rule retrieve_complete:
    input:
        index=RETRIEVE.index_files(),
        frozen=lambda wildcards: RETRIEVE.frozen_files(wildcards.recipe),
    output:
        [f"{OF_RETRIEVE}/{{recipe}}/complete/{name}" for name in retrieve.COMPLETED],
    log:
        "logs/retrieve/{recipe}/complete.log",
    benchmark:
        f"{OF_RETRIEVE}/benchmark/complete.{{recipe}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: lambda wildcards: RETRIEVE.completion_resources(wildcards.recipe).cpus
    resources:
        **OF_COMPLETION,
    params:
        code=code("pipelines.retrieve.recipe_steps:complete"),
        model=lambda wildcards: state_of(RETRIEVE.completed_by(wildcards.recipe)),
        index=subpath(input[0], parent=True),
        folder=subpath(output[0], parent=True),
        options=lambda wildcards: checked(RETRIEVE.completing, wildcards.recipe),
    message:
        "retrieve: complete the captions of {wildcards.recipe}"
    shell:
        "secondlook retrieve complete {params.index} --out {params.folder} --options {params.options:q} "
        "--threads {threads} > {log} 2>&1"


rule retrieve_train:
    input:
        index=RETRIEVE.index_files(),
        start=lambda wildcards: RETRIEVE.starts_from(wildcards.recipe),
    output:
        [f"{OF_RETRIEVE}/{{recipe}}/train/{name}" for name in retrieve.TRAINED],
    log:
        "logs/retrieve/{recipe}/train.log",
    benchmark:
        f"{OF_RETRIEVE}/benchmark/train.{{recipe}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: lambda wildcards: RETRIEVE.resources(wildcards.recipe).cpus
    resources:
        **OF_RECIPE,
    params:
        code=code("pipelines.retrieve.recipe_steps:train_recipe"),
        model=lambda wildcards: state_of(
            RETRIEVE.recipes[wildcards.recipe].source.model
        ),
        index=subpath(input[0], parent=True),
        folder=subpath(output[0], parent=True),
        completed=lambda wildcards: [
            part
            for path in RETRIEVE.completed(wildcards.recipe)
            for part in ("--completed", path)
        ],
        options=lambda wildcards: RETRIEVE.training(wildcards.recipe),
    message:
        "retrieve: train {wildcards.recipe}"
    shell:
        "secondlook retrieve train {params.index} --out {params.folder} {params.completed:q} "
        "--options {params.options:q} --threads {threads} 2> {log}"


rule retrieve_encode:
    input:
        index=RETRIEVE.index_files(),
        model=lambda wildcards: RETRIEVE.trained_files(wildcards.recipe),
    output:
        f"{OF_RETRIEVE}/{{recipe}}/{{split}}/vectors.safetensors",
    log:
        "logs/retrieve/{recipe}/{split}.encode.log",
    benchmark:
        f"{OF_RETRIEVE}/benchmark/encode.{{recipe}}.{{split}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: lambda wildcards: RETRIEVE.resources(wildcards.recipe).cpus
    resources:
        **OF_RECIPE,
    params:
        code=code("pipelines.retrieve.recipe_steps:encode"),
        model=lambda wildcards: state_of(
            RETRIEVE.recipes[wildcards.recipe].source.model
        ),
        index=subpath(input[0], parent=True),
        mirrored=lambda wildcards: RETRIEVE.mirrored(wildcards.recipe, wildcards.split),
        options=lambda wildcards: RETRIEVE.using(wildcards.recipe),
    message:
        "retrieve: encode {wildcards.split} by {wildcards.recipe}"
    shell:
        "secondlook retrieve encode {params.index} --out {output} --split {wildcards.split} {params.mirrored} "
        "--options {params.options:q} --threads {threads} 2> {log}"


rule retrieve_rank:
    input:
        index=RETRIEVE.index_files(),
        vectors=f"{OF_RETRIEVE}/{{recipe}}/{{split}}/vectors.safetensors",
    output:
        [f"{OF_RETRIEVE}/{{recipe}}/{{split}}/{name}" for name in retrieve.RANKED],
    log:
        "logs/retrieve/{recipe}/{split}.rank.log",
    benchmark:
        f"{OF_RETRIEVE}/benchmark/rank.{{recipe}}.{{split}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: lambda wildcards: RETRIEVE.resources(wildcards.recipe).cpus
    resources:
        **OF_RECIPE,
    params:
        code=code("pipelines.retrieve.recipe_steps:rank_split"),
        index=subpath(input[0], parent=True),
        folder=subpath(output[0], parent=True),
        options=lambda wildcards: RETRIEVE.using(wildcards.recipe),
    message:
        "retrieve: rank {wildcards.split} by {wildcards.recipe}"
    shell:
        "secondlook retrieve rank {params.index} --out {params.folder} --split {wildcards.split} "
        "--vectors {input.vectors} --options {params.options:q} --threads {threads} > {log} 2>&1"


# Recipes for one kind of query each: their lists together are one submission.
rule retrieve_combine:
    input:
        index=RETRIEVE.index_files(),
        parts=lambda wildcards: RETRIEVE.parts(wildcards.merged, wildcards.split),
    output:
        [f"{OF_RETRIEVE}/{{merged}}/{{split}}/{name}" for name in retrieve.RANKED],
    log:
        "logs/retrieve/{merged}/{split}.combine.log",
    benchmark:
        f"{OF_RETRIEVE}/benchmark/combine.{{merged}}.{{split}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(30),
    params:
        code=code("pipelines.retrieve.contest:combine"),
        index=subpath(input[0], parent=True),
        folder=subpath(output[0], parent=True),
    message:
        "retrieve: merge the {wildcards.split} lists of {wildcards.merged}"
    shell:
        "secondlook retrieve combine {params.index} {input.parts:q} --out {params.folder} "
        "--split {wildcards.split} > {log} 2>&1"


rule retrieve_ablate:
    input:
        index=RETRIEVE.index_files(),
        vectors=f"{OF_RETRIEVE}/{{recipe}}/val/vectors.safetensors",
    output:
        f"{OF_RETRIEVE}/{{recipe}}/ablation.csv",
    log:
        "logs/retrieve/{recipe}/ablate.log",
    benchmark:
        f"{OF_RETRIEVE}/benchmark/ablate.{{recipe}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: lambda wildcards: RETRIEVE.resources(wildcards.recipe).cpus
    resources:
        **OF_RECIPE,
    params:
        code=code("pipelines.retrieve.recipe_steps:ablate"),
        index=subpath(input[0], parent=True),
        options=lambda wildcards: RETRIEVE.using(wildcards.recipe),
    message:
        "retrieve: turn the switches of {wildcards.recipe}"
    shell:
        "secondlook retrieve ablate {params.index} --out {output} --vectors {input.vectors} "
        "--options {params.options:q} --threads {threads} > {log} 2>&1"


# Its output is for the terminal: the recipes side by side.
rule retrieve_report:
    input:
        RETRIEVE.reported(RETRIEVE.main()),
    output:
        [f"{OF_RETRIEVE}/report/{name}" for name in retrieve.TABLES],
        summary=RETRIEVE.summary,
    log:
        "logs/retrieve/report.log",
    benchmark:
        f"{OF_RETRIEVE}/benchmark/report.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(30),
    params:
        code=code("pipelines.retrieve.report"),
        results=subpath(input[0], ancestor=2),
        folder=subpath(output[0], parent=True),
        recipes=RETRIEVE.main(),
    message:
        "retrieve: compare the recipes"
    shell:
        "secondlook retrieve report {params.results} {params.recipes} --out {params.folder} "
        "--summary {output.summary} 2> {log}"


# The same with the variants of the ablation, each trained anew.
rule retrieve_report_ablation:
    input:
        lambda wildcards: RETRIEVE.reported(checked(RETRIEVE.varied)),
    output:
        [f"{OF_RETRIEVE}/ablation/{name}" for name in retrieve.TABLES],
        summary=f"{OF_RETRIEVE}/ablation/summary.json",
    log:
        "logs/retrieve/ablation.log",
    benchmark:
        f"{OF_RETRIEVE}/benchmark/ablation.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(30),
    params:
        code=code("pipelines.retrieve.report"),
        results=subpath(input[0], ancestor=2),
        folder=subpath(output[0], parent=True),
        recipes=lambda wildcards: RETRIEVE.varied(),
    message:
        "retrieve: compare the variants"
    shell:
        "secondlook retrieve report {params.results} {params.recipes} --out {params.folder} "
        "--summary {output.summary} 2> {log}"


rule retrieve:
    input:
        lambda wildcards: checked(RETRIEVE.final_files),


rule retrieve_ablation:
    input:
        [f"{OF_RETRIEVE}/ablation/{name}" for name in retrieve.TABLES],


localrules:
    retrieve,
    retrieve_ablation,
