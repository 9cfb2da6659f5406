# Reads the config once and turns it into paths and options; `secondlook check` has the checks.
# Rules that run once per shard have no `message` and few functions: Snakemake evaluates them for each job of a plan.
import os
from dataclasses import replace
from pathlib import Path

from secondlook.workflow.functions import code, from_wildcards, one_of, per_attempt
from secondlook.models.checkpoints import state_of
from secondlook.config.exports import EXPORT_FILES, EXPORT_FORMATS
from secondlook.config.labelers import KINDS, LEARNERS
from secondlook.config.root import as_options
from secondlook.base.errors import UsageError
from secondlook.io.scratch import VARIABLE as SCRATCH
from secondlook.io.outputs import (
    CLASSIFIER_FILES,
    FOLD_FILE,
    REHEARSAL,
    TABLES,
    VLM_CHECKPOINT,
    VLM_FILES,
)
from secondlook.pipelines.registry import pipelines
from secondlook.workflow.dry_run import show_limits
from secondlook.workflow.evaluated import Evaluated
from secondlook.workflow.mistakes import checked, show_sentences
from secondlook.workflow.needs import Needs
from secondlook.workflow.options import CommandOptions
from secondlook.workflow.run import DEMO, Run
from secondlook.workflow.shards import hand_down, handed_down, tails
from secondlook.workflow.status.recorder import record_run

show_sentences()

# the files of the config, the one of the Snakefile first: each may extend others
CONFIG_FILES = sorted(
    workflow.configfiles, key=lambda file: file in workflow.overwrite_configfiles
)
RUN = checked(lambda: Run.of(config, pipelines=pipelines(), files=CONFIG_FILES))
if workflow.is_main_process:
    checked(lambda: hand_down(RUN.splits))
else:
    RUN = replace(RUN, decided=handed_down())

if RUN.config.scratch is not None:
    os.environ[SCRATCH] = (
        RUN.config.scratch
    )  # jobs inherit it; it is no parameter, for it changes no result

FILES, OPTIONS, NEEDS = RUN.files, CommandOptions(RUN), Needs(RUN)
EVALUATED = Evaluated(RUN)
TAILS = tails(RUN.config.shards_per_job)
MISSING = RUN.data.missing()
show_limits(RUN, workflow)
record_run(RUN.config.results, workflow)


wildcard_constraints:
    task=one_of(RUN.tasks),
    encoder=one_of(RUN.names_of("encoders")),
    imported=one_of(RUN.imported()),
    classifier=one_of(RUN.names_of("classifiers")),
    vlm=one_of(RUN.names_of("vlms")),
    fold="[0-9]+",
    labeler=one_of(RUN.names_of("labelers")),
    part=f"[0-9]{{{5 - len(TAILS[0])}}}",
    hundred="[0-9]{3}",
    fetched=one_of(RUN.data.fetch.sources),
    missing=one_of(MISSING),
    place=one_of({place.to for place in RUN.data.fetch.sources.values()}),


RESULTS = f"{RUN.config.results}/{{task}}"
FOLDER = f"{RUN.config.results}/{{wildcards.task}}"  # the same in a command
SHARDS = [f"{RESULTS}/ingest/shards/{{part}}{tail}.parquet" for tail in TAILS]


def results_of(tasks):
    if not set(tasks) <= set(RUN.tasks):
        raise UsageError("the demo needs its labelers in config.yaml; restore them.")
    return [path for task in tasks for path in FILES.final(task)]
