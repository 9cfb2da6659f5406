# Reads the config once and turns it into paths and options; the checks live in `secondlook check`.
# Rules that run once per shard have no `message` and few functions: Snakemake works them out for each job of a plan.
from secondlook.workflow.functions import asked, code, growing
from secondlook.models.checkpoints import state_of
from secondlook.config.exports import EXPORT_FORMATS
from secondlook.config.labelers import KINDS as LABELERS
from secondlook.config.root import as_options
from secondlook.base.errors import UsageError
from secondlook.io.outputs import (
    CLASSIFIER_FILES,
    EXPORT_FILES,
    REHEARSAL,
    TABLES,
)
from secondlook.pipelines.retrieve.run import COMPLETED, RANKED, TRAINED, RetrieveRun
from secondlook.pipelines.retrieve.run import TABLES as RETRIEVE_TABLES
from secondlook.pipelines.scenes.run import TABLES as SCENES_TABLES
from secondlook.pipelines.scenes.run import TEXT_LABELERS, ScenesRun
from secondlook.pipelines.scenes.run import TRAINED as SCENES_TRAINED
from secondlook.workflow.run import DEMO, Run
from secondlook.pipelines.video.run import LABELS as VIDEO_LABELS
from secondlook.pipelines.video.run import TABLES as VIDEO_TABLES
from secondlook.pipelines.video.run import VideoRun
from snakemake.exceptions import WorkflowError

try:
    RUN = Run.of(config)
    RETRIEVE = RetrieveRun.of(RUN.config.retrieve, RUN.config.results)
    SCENES = ScenesRun.of(RUN.config.scenes, RUN.config.results)
except UsageError as error:
    raise WorkflowError(str(error)) from error

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


def paper_tables(wildcards):
    try:
        return RUN.of_paper().paper_tables()
    except UsageError as error:
        raise WorkflowError(str(error)) from error


def retrieve_files(wildcards):
    if not RETRIEVE.recipes:
        raise WorkflowError(
            "config: `retrieve.recipes` is empty; name files of workflow/retrieve."
        )
    return RETRIEVE.final_files()


def scenes_files(wildcards):
    try:
        SCENES.require_network()
    except UsageError as error:
        raise WorkflowError(str(error)) from error
    return SCENES.final_files()
