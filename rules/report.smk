rule report:
    input:
        f"{RESULTS}/consensus/consensus.parquet",
        from_wildcards(FILES.evaluation),
        from_wildcards(FILES.crops),
        from_wildcards(FILES.exports),
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
        mem_mb=per_attempt(2000),
        runtime=per_attempt(30),
    params:
        code=code("stages.report"),
        folder=subpath(output.summary, parent=True),
        lessons=from_wildcards(OPTIONS.lessons),
        options=OPTIONS.section("report"),
    message:
        "report: write the page of {wildcards.task}"
    shell:
        "secondlook report {params.folder} --out {output.report} --summary {output.summary} {params.lessons} "
        "--options {params.options:q} 2> {log}"
