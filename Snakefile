# Second Look: the table of contents. Every rule calls one `secondlook` command; stages meet only in files.
from snakemake.utils import min_version

min_version("9.10")


configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/demo.smk"
include: "rules/fetch.smk"
include: "rules/ingest.smk"
include: "rules/crop.smk"
include: "rules/embed.smk"
include: "rules/train.smk"
include: "rules/label.smk"
include: "rules/consensus.smk"
include: "rules/evaluate.smk"
include: "rules/review.smk"
include: "rules/export.smk"
include: "rules/report.smk"
include: "rules/paper.smk"
include: "rules/pilot.smk"
include: "rules/video.smk"
include: "rules/retrieve.smk"
include: "rules/scenes.smk"


rule all:
    default_target: True
    input:
        results_of(RUN.names),


rule demo:
    input:
        lambda wildcards: checked(results_of, [DEMO]),


localrules:
    all,
    demo,
