from secondlook.workflow.exports import Exports

# `stages.export` loads the module of a format by its name, so no import leads to it
EXPORTERS = [f"stages.export.{name}" for name in EXPORT_FORMATS]
EXPORTS = Exports(RUN)


rule export:
    input:
        data=lambda wildcards: RUN.data.inputs(
            wildcards.task, EXPORTS.source(wildcards.task, wildcards.format)
        ),
        instances=f"{RESULTS}/ingest/instances.parquet",
        background=f"{RESULTS}/ingest/instances.background.parquet",
        images=f"{RESULTS}/ingest/instances.images.parquet",
        reference=f"{RESULTS}/ingest/reference.parquet",
        consensus=f"{RESULTS}/consensus/consensus.parquet",
        tables=from_wildcards(EXPORTS.tables, "task", "format"),
    output:
        f"{RESULTS}/export/{{rehearsal}}{{format}}/{{file}}",
    log:
        "logs/{task}/export/{rehearsal}{format}/{file}.log",
    benchmark:
        f"{RESULTS}/benchmark/export.{{rehearsal}}{{format}}.{{file}}.tsv"
    wildcard_constraints:
        rehearsal=f"({REHEARSAL})?",
        format=one_of(EXPORT_FILES),
        file=one_of(EXPORT_FILES.values()),
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(30),
    params:
        code=code("stages.export", *EXPORTERS),
        source=from_wildcards(EXPORTS.copied, "task", "format"),
        votes=from_wildcards(OPTIONS.votes),
        shards=from_wildcards(FILES.shard_count),
        about=from_wildcards(EXPORTS.about),
        evaluation=from_wildcards(EXPORTS.evaluation, "task", "format"),
    message:
        "export: write the corrected dataset of {wildcards.task} as {wildcards.format}"
    shell:
        "secondlook export {params.source:q} --format {wildcards.format} --instances {input.instances} "
        "--reference {input.reference} --background {input.background} "
        "--consensus {input.consensus} {params.votes} "
        "--shards {params.shards} {params.evaluation} --options {params.about:q} --out {output} 2> {log}"


use rule export as export_folder with:
    output:
        directory(f"{RESULTS}/export/{{rehearsal}}{{format}}"),
    log:
        "logs/{task}/export/{rehearsal}{format}.log",
    benchmark:
        f"{RESULTS}/benchmark/export.{{rehearsal}}{{format}}.tsv"
    wildcard_constraints:
        rehearsal=f"({REHEARSAL})?",
        format=one_of(name for name in RUN.export_formats() if name not in EXPORT_FILES),
