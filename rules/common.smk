# Reads the config once and turns it into paths and options; the checks live in `secondlook check`.
# Rules that run once per shard have no `message` and few functions: Snakemake works them out for each job of a plan.
from secondlook.workflow.functions import asked, code, growing
from secondlook.models.checkpoints import state_of
from secondlook.config.root import as_options
from secondlook.base.errors import UsageError
from secondlook.io.outputs import (
    CLASSIFIER_FILES,
    EXPORT_FILES,
    REHEARSAL,
    TABLES,
    learned_files,
)
from secondlook.pipelines.registry import pipelines
from secondlook.workflow.run import DEMO, Run
from snakemake.exceptions import WorkflowError


def sound(made, *arguments):
    """Return what a function makes; a mistake in the config becomes one sentence of Snakemake."""
    try:
        return made(*arguments)
    except UsageError as error:
        raise WorkflowError(str(error)) from error


RUN = sound(lambda: Run.of(config, pipelines=pipelines()))

MISSING = RUN.data.missing()


wildcard_constraints:
    task=RUN.one_of(RUN.tasks),
    encoder=RUN.one_of(RUN.names_of("encoders")),
    imported=RUN.one_of(RUN.imported()),
    classifier=RUN.one_of(RUN.names_of("classifiers")),
    vlm=RUN.one_of(RUN.names_of("vlms")),
    prototype=RUN.one_of(RUN.learned("prototype")),
    probe=RUN.one_of(RUN.learned("probe")),
    labeler=RUN.one_of(RUN.names_of("labelers")),
    part=f"[0-9]{{{5 - len(RUN.tails()[0])}}}",
    hundred="[0-9]{3}",
    fetched=RUN.one_of(RUN.config.fetch.sources),
    missing=RUN.one_of(MISSING),
    place=RUN.one_of({place.to for place in RUN.config.fetch.sources.values()}),


RESULTS = f"{RUN.config.results}/{{task}}"
FOLDER = f"{RUN.config.results}/{{wildcards.task}}"  # the same in a command
TAILS, SPLIT_TAILS = RUN.tails(), RUN.split_tails()


def results_of(tasks):
    if not set(tasks) <= set(RUN.tasks):
        raise WorkflowError("the demo needs its labelers in config.yaml; restore them.")
    return [path for task in tasks for path in RUN.final_files(task)]
