"""A run: the config with its tasks, and those of the paper, read and checked. Nothing here imports a stage."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from secondlook.base.errors import UsageError
from secondlook.base.layered import Document, laid_over
from secondlook.base.types import NAME
from secondlook.config.overlays import TaskFile, read_task
from secondlook.config.root import Config, check_config
from secondlook.config.task import Task, task_path
from secondlook.models.checkpoints import state_of
from secondlook.workflow.config_files import ConfigFiles, as_merged
from secondlook.workflow.data import RunData
from secondlook.workflow.file_names import require_no_wildcards, require_no_wildcards_of_task
from secondlook.workflow.files import Files
from secondlook.workflow.functions import RuleFunction, rule_function
from secondlook.workflow.labelers import Labelers
from secondlook.workflow.one_meaning import require_one_meaning
from secondlook.workflow.pipeline import Added, Pipeline
from secondlook.workflow.vlm_ids import require_allowed

DEMO = "demo_signs"
# the section with the models of a wildcard; others name labelers
_SECTIONS = {"encoder": "encoders", "classifier": "classifiers", "vlm": "vlms", "cutout": "cutout"}
_LOADED = {"labeler": "loads", "cutout": "segmenter"}  # the key that names what to load; `model` elsewhere


@dataclass(frozen=True)
class Run:
    """A checked config with its checked task files, by task name.

    `names` are the tasks of the config; `tasks` also has the demo and those that pipelines add. `added` has the latter
    by the name of their pipeline, and the error where they are invalid. `decided`: the shards of each task, where the
    process that planned the run decided them. `overlaid`: the config of each task of the run whose file changes it.
    """

    config: Config
    tasks: Mapping[str, Task]
    task_files: Mapping[str, Path]
    names: tuple[str, ...]
    added: Mapping[str, Added | UsageError] = field(default_factory=dict)
    decided: Mapping[str, int] = field(default_factory=dict)
    overlaid: Mapping[str, Config] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        content: Mapping[str, Any],
        source: str = "config",
        pipelines: Sequence[Pipeline] = (),
        files: Iterable[Path | str] = (),
    ) -> "Run":
        """Check a config mapping that Snakemake merged from `files`, over the files that each of these extends."""
        return cls.of_document(as_merged(content, [*map(Path, files)], source), source, pipelines)

    @classmethod
    def load(cls, path: Path | ConfigFiles, pipelines: Sequence[Pipeline] = (), names: Iterable[str] = ()) -> "Run":
        """Read and check a config file over the config.yaml of this folder, as `snakemake --configfile PATH` does.

        The files that they extend, the task files that they name, and those of `names` that are task files are read as
        well. Certain files of a config can be given instead.
        """
        files = path if isinstance(path, ConfigFiles) else ConfigFiles.over(path)
        document, source = files.document(), files.name
        listed = document.content.get("tasks")
        if isinstance(listed, list):
            known = {Path(str(task)).stem for task in listed}
            others = [name for name in dict.fromkeys(names) if name not in known and _is_task(name)]
            document = laid_over(document, Document.of({"tasks": [*listed, *others]}, source)) if others else document
        return cls.of_document(document, source, pipelines)

    @classmethod
    def of_document(cls, document: Document, source: str, pipelines: Sequence[Pipeline] = ()) -> "Run":
        """Check a config, the task files it names, and the tasks that pipelines add; errors name `source`.

        The demo is included where the config has its labelers.
        """
        config = check_config(document, source)
        taken = [entry for pipeline in pipelines for entry in pipeline.paths(config)]
        require_no_wildcards(config, source, document.places, taken)
        files = {path.stem: path for path in map(task_path, config.tasks)}
        if len(files) < len(config.tasks):
            raise UsageError(f"{source}: `tasks`: two tasks have the same name; rename one file.")
        for name, path in files.items():
            _require_name(name, path, pipelines)
        read_files = {name: read_task(path) for name, path in files.items()}
        names = tuple(files)
        demo_file = task_path(DEMO)
        if DEMO not in files and demo_file.is_file():
            demo = read_task(demo_file)
            if set(demo.task.labelers) <= set(config.labelers):
                read_files[DEMO] = demo
        overlaid = {name: _overlaid(file, document) for name, file in read_files.items() if file.overlay.content}
        tasks = {name: file.task for name, file in read_files.items()}
        files = {name: file.path for name, file in read_files.items()}
        _require_all(files, tasks, lambda name: overlaid.get(name, config))
        added = {name: more for name, more in _added_by(pipelines, document, config) if more is not None}
        for more in added.values():
            if isinstance(more, Added):
                files, tasks = {**files, **more.task_files}, {**tasks, **more.tasks}
        run = cls(config, tasks, files, names, added, overlaid=overlaid)
        require_one_meaning(run.configs)
        return run

    def of_pipeline(self, name: str) -> "Run":
        """Return the run of only the tasks that a pipeline adds; raises UsageError where they are invalid."""
        added = self.added[name]
        if isinstance(added, UsageError):
            raise added
        return replace(self, names=tuple(added.tasks))

    def config_of(self, task: str) -> Config:
        """Return the config of a task: what its file changes, and the pipeline which added it, are in it."""
        added = self.added_with(task)
        return added.config_of(task) if added else self.overlaid.get(task, self.config)

    def added_with(self, task: str) -> Added | None:
        """Return what a pipeline added together with a task, None for a task of the config."""
        return next((more for more in self._valid() if task in more.tasks), None)

    def _valid(self) -> list[Added]:
        return [more for more in self.added.values() if isinstance(more, Added)]

    @cached_property
    def data(self) -> RunData:
        """What the tasks need on disk; the entries that bring it are those of the config and of all tasks."""
        sources = {name: place for config in self.configs for name, place in config.fetch.sources.items()}
        fetch = self.config.fetch.model_copy(update={"sources": sources})
        return RunData(self.tasks, fetch, self.config.results)

    @cached_property
    def configs(self) -> list[Config]:
        """The config, those of tasks that change it, and those of the pipelines that add tasks."""
        of_pipelines = [config for more in self._valid() for config in (more.config, *more.overlaid.values())]
        return [self.config, *self.overlaid.values(), *of_pipelines]

    @cached_property
    def splits(self) -> Mapping[str, int]:
        """The number of shards of each task: as written, or decided once where the config says `auto`."""
        if self.config.shards != "auto":
            return dict.fromkeys(self.tasks, self.config.shards)
        from secondlook.workflow.auto_shards import decide  # it reads the costs of a run, so it is built on this module

        return self.decided or decide(self)

    @cached_property
    def files(self) -> Files:
        """The files of the tasks."""
        return Files(self.config, self.tasks, {task: self.config_of(task) for task in self.tasks}, self.splits)

    def names_of(self, section: str) -> list[str]:
        """Return the names under `encoders`, `classifiers`, `vlms` or `labelers` for any task."""
        return list(dict.fromkeys(name for config in self.configs for name in getattr(config, section)))

    def export_formats(self) -> list[str]:
        """Return the formats that any task is exported to."""
        return list(dict.fromkeys(name for config in self.configs for name in config.export.formats))

    def imported(self) -> list[str]:
        """Return the encoders whose reference vectors come from elsewhere."""
        encoders = [(name, spec) for config in self.configs for name, spec in config.encoders.items()]
        return list(dict.fromkeys(name for name, spec in encoders if spec.reference_pt is not None))

    def model(self, what: str, wildcards: Any) -> Any:
        """Return the options of the model that the wildcard `what` names, or those of the section `cutout`."""
        section = getattr(self.config_of(wildcards.task), _SECTIONS.get(what, "labelers"))
        return section if what == "cutout" else section[getattr(wildcards, what)]

    def model_state(self, what: str) -> RuleFunction:
        """Return the function by which a rule gets the state of the files of a local model.

        `what` is the wildcard that names it, or the section `cutout`.
        """
        key = _LOADED.get(what, "model")

        @rule_function
        def state(wildcards: Any) -> Any:
            return state_of(getattr(self.model(what, wildcards), key))

        return state

    def labelers_of(self, task: str) -> Labelers:
        """Return the labelers of a task."""
        return Labelers(
            self.tasks[task].labelers, self.config_of(task), self.files.folder(task), self.files.taught(task)
        )

    def objects_of(self, task: str, labeler: str, part: str) -> list[str]:
        """Return the crops, embeddings or instances that a labeler looks at in a job."""
        return self.labelers_of(task).objects(labeler, self.files.shards(task).of(part))

    def taught_files(self, task: str, labeler: str) -> list[str]:
        """Return the files that the training of a labeler waits for."""
        labelers = self.labelers_of(task)
        return labelers.taught.files(labelers.vectors(labeler))

    def fold_counts(self) -> dict[int, list[str]]:
        """Return the tasks that learn out of fold, by their number of folds."""
        tasks: dict[int, list[str]] = {}
        for name, task in self.tasks.items():
            if task.reference.count is not None:
                tasks.setdefault(task.reference.count, []).append(name)
        return tasks

    def asked_files(self, task: str, labeler: str) -> list[str]:
        """Return the list of the objects that a labeler is asked about; empty where it is asked about all."""
        return self.labelers_of(task).asked(labeler)

    def deciding_votes(self, task: str, labeler: str) -> list[str]:
        """Return the vote files, of all shards, that decide on which objects a labeler is asked."""
        folders, shards = self.labelers_of(task).deciding(labeler), self.files.shards(task).names()
        return [f"{folder}/{shard}.parquet" for folder in folders for shard in shards]

    def asking(self, task: str, labeler: str) -> list[str]:
        """Return the options of `secondlook ask` for a labeler."""
        return self.labelers_of(task).asking(labeler)

    def source_files(self, task: str, labeler: str) -> list[str]:
        """Return the files that represent what a labeler learned from."""
        return self.labelers_of(task).source_files(labeler)

    def learned(self, kind: str) -> list[str]:
        """Return the labelers of a kind."""
        labelers = [(name, spec) for config in self.configs for name, spec in config.labelers.items()]
        return list(dict.fromkeys(name for name, spec in labelers if spec.kind == kind))


def _require_name(name: str, path: Path, pipelines: Sequence[Pipeline]) -> None:
    if not re.fullmatch(NAME, name):
        raise UsageError(f"{path}: a task file name has letters, digits, `_`, `-` and `.` only; rename it.")
    if name in {pipeline.name for pipeline in pipelines}:
        raise UsageError(f"{path}: `{name}` is the name of a pipeline and of its results folder; rename the file.")


def _overlaid(file: TaskFile, document: Document) -> Config:
    config = file.config_over(document)
    require_no_wildcards(config, str(file.path), file.overlay.places)
    return config


def _is_task(name: str) -> bool:
    return re.fullmatch(NAME, name) is not None and task_path(name).is_file()


def _added_by(
    pipelines: Iterable[Pipeline], document: Document, config: Config
) -> Iterator[tuple[str, Added | UsageError | None]]:
    """Yield what each pipeline adds, or its error: an error stops only the commands that need the pipeline."""
    for pipeline in pipelines:
        try:
            added = pipeline.add(document, config)
            if added is not None:
                _require_all(added.task_files, added.tasks, added.config_of)
        except UsageError as error:
            yield pipeline.name, error
        else:
            yield pipeline.name, added


def models_of(config: Config, what: str) -> Iterable[Any]:
    """Return the options of all models that the wildcard `what` can name, or those of the section `cutout`."""
    return [config.cutout] if what == "cutout" else getattr(config, _SECTIONS.get(what, "labelers")).values()


def _require_all(files: Mapping[str, Path], tasks: Mapping[str, Task], config_of: Callable[[str], Config]) -> None:
    for name, task in tasks.items():
        config = config_of(name)
        require_no_wildcards_of_task(files[name], task)
        _require_labelers(files[name], task, config)
        _require_deciding(files[name], task, config)
        _require_encoders_made_elsewhere(files[name], task, config)
        _require_sources(files[name], task, config)
        require_allowed(files[name], config, task.labelers)


def _require_labelers(path: Path, task: Task, config: Config) -> None:
    for name in task.labelers:
        if name not in config.labelers:
            have = ", ".join(config.labelers) or "none"
            raise UsageError(f"{path}: `labelers`: `{name}` is not in the config (labelers: {have}).")
    if not task.labelers:
        raise UsageError(f"{path}: `labelers` is empty; name at least one of those in the config.")
    in_words = next((name for name in task.labelers if config.labelers[name].in_words), None)
    if in_words is not None:
        try:
            task.taxonomy().require_distinct()
        except UsageError as error:
            raise UsageError(f"{path}: `classes`: {str(error).rstrip('.')} (`{in_words}` answers in words).") from error


def _require_deciding(path: Path, task: Task, config: Config) -> None:
    """Raise UsageError where a labeler is asked by votes that the task does not have, or that hear people."""
    for name in task.labelers:
        rule = config.labelers[name].ask
        if rule is not None and task.protocol is not None:
            raise UsageError(
                f"{path}: `protocol`: `{name}` is not asked about all objects (its `ask` in the config), but the "
                f"published scoring counts every object; set `ask: null` of `{name}` for this task."
            )
        for other in [] if rule is None else rule.where.labelers:
            if other not in task.labelers:
                raise UsageError(
                    f"{path}: `labelers`: `{name}` is asked by the votes of `{other}` (its `ask` in the config), which "
                    f"does not vote on this task; add `{other}`, or set `ask: null` of `{name}` for this task."
                )
            if task.reference.reviewed and config.labelers[other].learns_here:
                raise UsageError(
                    f"{path}: `reference.reviewed`: `{name}` is asked by the votes of `{other}` (its `ask` in the "
                    "config), which here learns from reviews; then a review would change who is asked, so set "
                    f"`ask: null` of `{name}` for this task, or let others decide."
                )


def _require_encoders_made_elsewhere(path: Path, task: Task, config: Config) -> None:
    """Raise UsageError for vectors of an encoder that learns from the objects which it shows out of fold."""
    labelers = Labelers(task.labelers, config, "")
    for labeler in task.labelers if task.reference.count is not None else []:
        encoder = labelers.encoder(labeler)
        if encoder is not None and config.encoders[encoder].trained is not None:
            raise UsageError(
                f"{path}: `{labeler}` looks at vectors of `{encoder}`, which is `trained` on the objects to judge; "
                "with `own: out_of_fold` give this encoder a `model`, or let the classifier itself vote."
            )


def _require_sources(path: Path, task: Task, config: Config) -> None:
    for name in task.fetch:
        if name not in config.fetch.sources:
            have = ", ".join(config.fetch.sources) or "none"
            raise UsageError(f"{path}: `fetch`: `{name}` is not under `fetch.sources` (entries: {have}).")
