# `stages.label` loads the module of a kind of labeler by its name, so no import leads to it
VOTERS = [f"stages.label.{kind}" for kind in KINDS]


rule label:
    input:
        objects=from_wildcards(RUN.objects_of),
        source=from_wildcards(RUN.source_files),
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
