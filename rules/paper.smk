# The tables, figures and page of the paper (workflow/paper/config.yaml), from the tables of its tasks.
from secondlook.pipelines.paper import run as paper

PAPER = checked(paper.PIPELINE.of, RUN)


rule paper:
    input:
        tables=lambda wildcards: checked(PAPER.tables),
        published=PAPER.published(),
        prompts=PAPER.prompts(),
    output:
        PAPER.files(),
        summary=PAPER.summary,
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
        code=code("pipelines.paper.report"),
        tasks=PAPER.tasks(),
        published=[part for path in PAPER.published() for part in ("--published", path)],
        prompts=[part for path in PAPER.prompts() for part in ("--prompts", path)],
        folder=subpath(output.summary, parent=True),
    message:
        "paper: join the tables of its tasks"
    shell:
        "secondlook paper report {params.tasks:q} {params.published:q} {params.prompts:q} --out {params.folder} 2> {log}"
