rule report:
    input:
        f"{RESULTS}/consensus/consensus.parquet",
        lambda wildcards: [
            f"{RUN.folder(wildcards.task)}/evaluate/{name}" for name in TABLES
        ],
        asked(RUN.crops),
        asked(RUN.exports),
    output:
        report=f"{RESULTS}/report/report.html",
        summary=f"{RESULTS}/summary.json",
    log:
        "logs/{task}/report.log",
    benchmark:
        f"{RESULTS}/benchmark/report.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=code("stages.report"),
        folder=subpath(output.summary, parent=True),
        options=RUN.settings("report"),
    message:
        "report: write the page of {wildcards.task}"
    shell:
        "secondlook report {params.folder} --out {output.report} --summary {output.summary} "
        "--options {params.options:q} 2> {log}"
