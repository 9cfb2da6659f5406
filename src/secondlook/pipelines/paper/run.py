"""The paper for Snakemake: its description, the input tables of its tasks, and its outputs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from secondlook.base.errors import UsageError
from secondlook.base.layered import Document, laid_over
from secondlook.base.yamlfile import load, validate
from secondlook.config.overlays import changes, read_task
from secondlook.config.root import Config, check_config
from secondlook.config.task import task_path
from secondlook.io.outputs import SCORING_TABLES
from secondlook.pipelines.paper.prompts import ImportedPrompts, load_prompts
from secondlook.pipelines.paper.settings import PaperRun, in_every_view
from secondlook.workflow.file_names import require_no_wildcard
from secondlook.workflow.pipeline import Added, Pipeline
from secondlook.workflow.run import Run

if TYPE_CHECKING:
    from secondlook.config.labelers.base import Checkpoint

PAPER: Literal["paper"] = "paper"  # its tasks are paper/<task>, and so are their folders under `results`


@dataclass(frozen=True)
class Paper(Added):
    """The tasks of `snakemake paper`, the file of published figures, and that of imported prompts.

    `prompts` are read from `prompts_file` if it is there.
    """

    published: str | None = None
    prompts_file: str | None = None
    prompts: ImportedPrompts | None = None

    def whole_prompt(self, task: str, family: str, view: str) -> str | None:
        """Return the published prompt, if it was imported."""
        return self.prompts.text(Path(task).name, family, view) if self.prompts else None


def load_paper(document: Document, path: Path) -> Paper:
    """Read the file of the paper on top of a config; raises UsageError with the place of each mistake.

    Its settings also override what the files of its tasks change in the config.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file; it must list what the paper runs.")
    own = Document(*load(path))
    paper = validate(PaperRun, own.content, source=str(path), places=own.places)
    require_no_wildcard(f"{path}: `published`", paper.published)
    require_no_wildcard(f"{path}: `prompts`", paper.prompts)
    settings = own.part("settings")
    config, labelers = _config_of(paper, laid_over(document, settings), path)
    files = {f"{PAPER}/{file.stem}": read_task(file) for file in map(task_path, paper.tasks)}
    if len(files) < len(paper.tasks):
        raise UsageError(f"{path}: `tasks`: two tasks have the same name; rename one file.")
    overlaid = {
        name: _config_of(paper, laid_over(file.content_over(document), settings), path)[0]
        for name, file in files.items()
        if file.overlay.content
    }
    tasks = {name: file.task.model_copy(update={"labelers": labelers}) for name, file in files.items()}
    task_files = {name: file.path for name, file in files.items()}
    differing = {
        name: changes(
            labelers, [own.place(("labelers",))] * len(labelers), laid_over(file.overlay, settings), str(path)
        )
        for name, file in files.items()
    }
    imported = paper.prompts if paper.prompts and Path(paper.prompts).exists() else None
    prompts = load_prompts(Path(imported)) if imported else None
    return Paper(config, tasks, task_files, PAPER, overlaid, differing, paper.published, paper.prompts, prompts)


def _config_of(paper: PaperRun, document: Document, path: Path) -> tuple[Config, list[str]]:
    """Return a config with a labeler for each VLM and view, and the labelers that vote."""
    _require_whole(document.content, path)
    config = check_config(document, f"{path}: `settings`")
    by_view = dict(in_every_view(paper, config, path))
    for name in paper.labelers:
        if name not in config.labelers:
            raise UsageError(f"{path}: `labelers`: `{name}` is neither in the config nor under `settings`.")
    config = config.model_copy(update={"labelers": {**config.labelers, **by_view}})
    return config, [*by_view, *paper.labelers]


def _require_whole(content: Mapping[str, Any], path: Path) -> None:
    """Raise UsageError for labelers and encoders of which `settings` change a few keys, and that the config lacks."""
    for section in ("labelers", "encoders"):
        partial = [name for name, entry in content.get(section, {}).items() if entry and "kind" not in entry]
        if partial:
            raise UsageError(
                f"{path}: `settings` change {', '.join(partial)}, which the config lacks under `{section}`; copy them "
                "from the config.yaml of a new checkout."
            )


@dataclass(frozen=True)
class PaperTables:
    """The paper of a run; `paper` is None if its file is missing or invalid."""

    run: Run
    paper: Paper | None

    @classmethod
    def of(cls, run: Run) -> "PaperTables":
        """Return the paper whose tasks were added to a run."""
        added = run.added.get(PAPER)
        return cls(run, added if isinstance(added, Paper) else None)

    @property
    def folder(self) -> str:
        """The results folder of the paper."""
        return self.run.files.folder(PAPER)

    @property
    def summary(self) -> str:
        """The best of each task by both scores, for scripts."""
        return f"{self.folder}/summary.json"

    def tasks(self) -> list[str]:
        """Return the results folders of its tasks."""
        return [self.run.files.folder(task) for task in self.paper.tasks] if self.paper else []

    def tables(self) -> list[str]:
        """Return the input tables of its tasks; raises UsageError if its file is missing or invalid."""
        tasks = self.run.of_pipeline(PAPER).names
        return [f"{self.run.files.folder(task)}/evaluate/{name}" for task in tasks for name in SCORING_TABLES]

    def published(self) -> list[str]:
        """Return the file of published figures, if there is one."""
        return [self.paper.published] if self.paper and self.paper.published else []

    def prompts(self) -> list[str]:
        """Return the file of imported prompts, if it is there."""
        return [self.paper.prompts_file] if self.paper and self.paper.prompts and self.paper.prompts_file else []

    def files(self) -> list[str]:
        """Return its tables, figures and page; none without tasks."""
        return [f"{self.folder}/{name}" for name in outputs([Path(task).name for task in self.tasks()])]

    def final_files(self) -> list[str]:
        """Return all its final files."""
        return [*self.files(), self.summary]


def outputs(tasks: Sequence[str]) -> list[str]:
    """Return the files that `secondlook paper report` writes about tasks, but for its summary, by their names."""
    if not tasks:
        return []
    tables = ["table_accuracy", "table_scoring", "table_differences", *(f"table_{task}" for task in tasks)]
    of_tasks = [f"{kind}_{task}" for kind in ("recall", "confusion") for task in tasks]
    figures = ["accuracy", "scoring", "differences", *of_tasks]
    return [
        *(f"{table}.{kind}" for table in tables for kind in ("csv", "md", "tex")),
        "table_pairs.csv",
        *(f"figures/{figure}.{kind}" for figure in figures for kind in ("svg", "pdf")),
        "paper.html",
    ]


def _describe(run: Run) -> list[str]:
    from secondlook.workflow.check import notes
    from secondlook.workflow.checks.data import missing

    if not Path(run.config.paper).is_file():
        return []
    try:
        paper = run.of_pipeline(PAPER)
    except UsageError as error:
        return [f"`snakemake paper` cannot run: {error}"]
    labelers = {labeler for name in paper.names for labeler in paper.tasks[name].labelers}
    absent = {path for name in paper.names for path, _ in missing(paper, name)}
    data = (
        f"{len(absent)} paths of its data are missing; `snakemake -n paper` lists them"
        if absent
        else "its data is there"
    )
    summary = f"`snakemake paper`: {len(paper.names)} tasks, {len(labelers)} labelers; {data}"
    about = [*_about_prompts(run.added[PAPER]), *notes(paper, paper.names[0])]
    return [summary, *about]


def _about_prompts(paper: "Added | UsageError") -> list[str]:
    if not isinstance(paper, Paper) or paper.prompts_file is None:
        return []
    if paper.prompts is None:
        return [
            "  prompts: our own wording; `secondlook paper import-prompts CLONE --out "
            f"{paper.prompts_file}` takes those of the published runs"
        ]
    asked = [one for task in paper.tasks for one in _asked(paper, task)]
    own = sum(paper.whole_prompt(*one) is None for one in asked)
    but = f", but for {own} of {len(asked)}, which are our own wording" if own else ""
    return [f"  prompts: imported from {paper.prompts.origin}{but}"]


def _asked(paper: Paper, task: str) -> Iterator[tuple[str, str, str]]:
    """Yield the task, family and view of each prompt that a task sends."""
    specs = (paper.config.labelers[name] for name in paper.tasks[task].labelers)
    yield from dict.fromkeys(
        (task, spec.family, spec.prompt_view) for spec in specs if spec.family and spec.prompt_view
    )


def _checkpoints(run: Run) -> "Iterator[Checkpoint]":
    from secondlook.workflow.weights import checkpoints_of

    for task in run.of_pipeline(PAPER).names:
        yield from checkpoints_of(run, task)


def _add(document: Document, config: Config) -> Paper:
    return load_paper(document, Path(config.paper))


SETTINGS: Mapping[type[BaseModel], str] = {
    PaperRun: "`workflow/paper/config.yaml`",
    ImportedPrompts: "`workflow/paper/prompts.yaml`",
}
PIPELINE = Pipeline(
    name=PAPER, settings=SETTINGS, of=PaperTables.of, describe=_describe, checkpoints=_checkpoints, add=_add
)
