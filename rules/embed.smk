rule embed:
    input:
        crops=rules.crop.output,
        encoder=from_wildcards(FILES.encoder_files),
    output:
        [f"{RESULTS}/embed/{{encoder}}/{{part}}{tail}.parquet" for tail in TAILS],
    log:
        "logs/{task}/embed/{encoder}/{part}.log",
    benchmark:
        f"{RESULTS}/benchmark/embed.{{encoder}}.{{part}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: NEEDS.cpus("encoder")
    resources:
        **NEEDS.of("encoder"),
    params:
        code=code("stages.embed"),
        model=RUN.model_state("encoder"),
        options=from_wildcards(OPTIONS.encoder),
    shell:
        "secondlook embed {input.crops} --options {params.options:q} "
        f"--out {FOLDER}/embed/{{wildcards.encoder}}/ --threads {{threads}} 2> {{log}}"


use rule embed as embed_reference with:
    input:
        crops=f"{RESULTS}/crop/reference.parquet",
        encoder=from_wildcards(FILES.encoder_files),
    output:
        f"{RESULTS}/embed/{{encoder}}/reference.parquet",
    log:
        "logs/{task}/embed/{encoder}/reference.log",
    benchmark:
        f"{RESULTS}/benchmark/embed.{{encoder}}.reference.tsv"


# Vectors of the published layout are the reference of an encoder with `reference_pt`.
rule embed_import:
    input:
        task=lambda wildcards: RUN.task_files[wildcards.task],
        folder=from_wildcards(FILES.reference_pt),
    output:
        f"{RESULTS}/embed/{{imported}}/reference.parquet",
    log:
        "logs/{task}/embed/{imported}/reference.log",
    benchmark:
        f"{RESULTS}/benchmark/embed.{{imported}}.reference.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(30),
    params:
        code=code("stages.embed.published:import_features"),
        options=from_wildcards(OPTIONS.encoder, "task", "imported"),
    message:
        "embed: take the reference vectors of {wildcards.imported} from {input.folder}"
    shell:
        "secondlook embed --import-pt {input.folder:q} --task {input.task:q} --out {output} "
        "--options {params.options:q} 2> {log}"


ruleorder: embed_import > embed_reference
