# A few objects of each class, shown to every labeler before the real run. A trial is a job with the resources of the real
# one; when its command fails, the record of the trial says so, and the next `snakemake pilot` tries it again: the count
# of its failures is a parameter. What is learned is shared with the real run.
from secondlook.pipelines.pilot import run as pilot

PILOT = checked(pilot.PIPELINE.of, RUN)
PILOT_SHARDS, PILOT_SAMPLE, PILOT_PAGE = pilot.SHARDS, pilot.SAMPLE, pilot.PAGE


rule pilot_sample:
    input:
        f"{RESULTS}/ingest/instances.parquet",
    output:
        [
            f"{PILOT.folder}/{{task}}/ingest/shards/{shard}.parquet"
            for shard in PILOT_SHARDS
        ],
        sample=f"{PILOT.folder}/{{task}}/{PILOT_SAMPLE}",
    log:
        "logs/pilot/{task}/sample.log",
    benchmark:
        f"{PILOT.folder}/{{task}}/benchmark/sample.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(30),
    params:
        code=code("pipelines.pilot.sample"),
        folder=subpath(output.sample, parent=True),
        per_class=RUN.config.pilot.objects_per_class,
    message:
        "pilot: choose objects of {wildcards.task}"
    shell:
        "secondlook pilot sample {input} --per-class {params.per_class} --out {params.folder} 2> {log}"


rule pilot_trial:
    input:
        files=from_wildcards(PILOT.files),
        after=from_wildcards(PILOT.after),
    output:
        f"{PILOT.folder}/{{task}}/trials/{{step}}.json",
    log:
        "logs/pilot/{task}/{step}.log",
    benchmark:
        f"{PILOT.folder}/{{task}}/benchmark/{{step}}.tsv"
    wildcard_constraints:
        step=pilot.STEP,
    conda:
        "../envs/secondlook.yaml"
    threads: PILOT.cpus()
    resources:
        **PILOT.resources(),
    params:
        code=code("pipelines.pilot.trial"),
        made_by=from_wildcards(PILOT.made_by),
        failures=from_wildcards(PILOT.failures),
        arguments=from_wildcards(PILOT.arguments),
        command=from_wildcards(PILOT.command),
    message:
        "pilot: try {wildcards.step} on {wildcards.task}"
    shell:
        "secondlook pilot trial {params.arguments:q} --attempt {resources.attempt} --threads {threads} --out {output} "
        "-- {params.command:q} 2> {log}"


rule pilot_page:
    input:
        from_wildcards(PILOT.trials),
    output:
        page=f"{PILOT.folder}/{{task}}/{PILOT_PAGE}",
        summary=f"{PILOT.folder}/{{task}}/summary.json",
    log:
        "logs/pilot/{task}/page.log",
    benchmark:
        f"{PILOT.folder}/{{task}}/benchmark/page.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(30),
    params:
        code=code("pipelines.pilot.report"),
        folder=subpath(output.page, parent=True),
        steps=from_wildcards(PILOT.names),
        parts=from_wildcards(FILES.job_count),
        per_job=RUN.config.shards_per_job,
    message:
        "pilot: write the page of {wildcards.task}"
    shell:
        "secondlook pilot report {params.folder} {params.steps:q} --task {wildcards.task} --parts {params.parts} "
        "--per-job {params.per_job} --out {output.page} --summary {output.summary} 2> {log}"


rule pilot:
    input:
        lambda wildcards: PILOT.summaries(checked(PILOT.tasks)),
    output:
        PILOT.summary,
    log:
        "logs/pilot.log",
    benchmark:
        f"{RUN.config.results}/benchmark/pilot.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(1000),
        runtime=per_attempt(10),
    params:
        code=code("pipelines.pilot.join"),
    message:
        "pilot: join the figures of its tasks"
    shell:
        "secondlook pilot join {input:q} --out {output} 2> {log} && cat {log} >&2"


use rule pilot as pilot_paper with:
    input:
        lambda wildcards: PILOT.summaries(checked(PILOT.tasks_of, paper.PAPER)),
    output:
        f"{PILOT.folder}/{paper.PAPER}/summary.json",
    log:
        "logs/pilot_paper.log",
    benchmark:
        f"{RUN.config.results}/benchmark/pilot_paper.tsv"


localrules:
    pilot,
    pilot_paper,
