# The tables, figures and page of the paper (workflow/paper/config.yaml), from the tables of its tasks.
rule paper:
    input:
        tables=paper_tables,
        published=RUN.published(),
    output:
        RUN.paper_files(),
        summary=f"{RUN.paper_folder()}/summary.json",
    log:
        "logs/paper.log",
    benchmark:
        f"{RUN.config.results}/benchmark/paper.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(30),
    params:
        code=code("pipelines.paper"),
        tasks=[FILES.folder(task) for task in RUN.tasks if RUN.is_of_paper(task)],
        published=[part for path in RUN.published() for part in ("--published", path)],
        folder=subpath(output.summary, parent=True),
    message:
        "paper: join the tables of its tasks"
    shell:
        "secondlook paper {params.tasks:q} {params.published:q} --out {params.folder} 2> {log}"
