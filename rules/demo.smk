# The embedded demo draws its own street scenes: nothing is downloaded.
rule demo_draw:
    output:
        annotations="data/demo_signs/instances_default.json",
        truth="data/demo_signs/truth.csv",
        images=directory("data/demo_signs/images"),
        reference=directory("data/demo_signs/reference"),
    log:
        "logs/demo_signs/demo.log",
    benchmark:
        f"{RUN.config.results}/demo_signs/benchmark/demo.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 2
    resources:
        mem_mb=per_attempt(1000),
        runtime=per_attempt(10),
    params:
        code=code("synthetic.signs"),
        options=as_options(OPTIONS.demo()),
    message:
        "demo: draw street scenes"
    shell:
        "secondlook demo --out data/demo_signs --options {params.options:q} --threads {threads} 2> {log}"
