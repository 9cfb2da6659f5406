rule label:
    input:
        objects=asked(RUN.objects_of),
        source=asked(RUN.source_files),
    output:
        [f"{RESULTS}/label/{{labeler}}/{{part}}{tail}.parquet" for tail in TAILS],
    log:
        "logs/{task}/label/{labeler}/{part}.log",
    benchmark:
        f"{RESULTS}/benchmark/label.{{labeler}}.{{part}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: RUN.cpus("labeler")
    resources:
        **RUN.needs("labeler"),
    params:
        code=code("stages.label"),
        model=RUN.model_state("labeler"),
        labeler=asked(RUN.label_arguments),
    shell:
        "secondlook label {input.objects} {params.labeler:q} --name {wildcards.labeler} "
        f"--out {FOLDER}/label/{{wildcards.labeler}}/ --threads {{threads}} 2> {{log}}"
