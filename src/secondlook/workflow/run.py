"""What the rules ask about a run: paths, parts and options. Pure values; nothing here imports a stage."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from secondlook.base.errors import UsageError
from secondlook.base.resources import Resources
from secondlook.base.types import NAME, View
from secondlook.base.yamlfile import KeyPath, load, validate
from secondlook.config.labelers import (
    AttributeOptions,
    ClassifierLabelerOptions,
    LearnedOptions,
    VlmOptions,
    ZeroShotOptions,
)
from secondlook.config.root import Config, as_options
from secondlook.config.stages import DemoOptions, IngestOptions
from secondlook.config.task import Task, load_task, task_path
from secondlook.io.files import sha256
from secondlook.io.outputs import (
    EXPORT_COPIES,
    EXPORT_FILES,
    REHEARSAL,
    SPLIT_AT_ONCE,
    TABLES,
)
from secondlook.models.checkpoints import state_of
from secondlook.workflow.data import RunData
from secondlook.workflow.file_names import require_no_wildcards, require_no_wildcards_of_task
from secondlook.workflow.functions import Answer, answer
from secondlook.workflow.pipeline import Added, Pipeline

DEMO = "demo_signs"
REFERENCE = "reference"
# where the models of a wildcard stand; `labeler` and those that learn, `prototype` and `probe`, are labelers
_SECTIONS = {"encoder": "encoders", "classifier": "classifiers", "vlm": "vlms", "cutout": "cutout"}
_ABOUT = "labels.json"  # written last, with the digest of the weights: it changes whenever what was trained does


@dataclass(frozen=True)
class Run:
    """A checked config with its checked task files, by task name.

    `names` are the tasks that were asked for; the demo and those that pipelines add are there beside them. `added` has
    these by the name of their pipeline, and the complaint about those that are not sound.
    """

    config: Config
    tasks: Mapping[str, Task]
    task_files: Mapping[str, Path]
    names: tuple[str, ...]
    added: Mapping[str, Added | UsageError] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        content: Any,
        source: str = "config",
        lines: dict[KeyPath, int] | None = None,
        pipelines: Sequence[Pipeline] = (),
    ) -> "Run":
        """Check a config mapping, the task files it names, and the tasks that pipelines add.

        The demo is there while its labelers are.
        """
        config = validate(Config, content, source=source, lines=lines)
        require_no_wildcards(config, source, lines or {}, pipelines)
        files = {path.stem: path for path in map(task_path, config.tasks)}
        if len(files) < len(config.tasks):
            raise UsageError(f"{source}: `tasks`: two tasks bear the same name; rename one file.")
        for name, path in files.items():
            if not re.fullmatch(NAME, name):
                raise UsageError(f"{path}: a task file name has letters, digits, `_`, `-` and `.` only; rename it.")
            if name in {pipeline.name for pipeline in pipelines}:
                raise UsageError(
                    f"{path}: `{name}` is the name of a pipeline and of its results folder; rename the file."
                )
        tasks = {name: load_task(path) for name, path in files.items()}
        _require_all(files, tasks, config)
        asked = tuple(files)
        demo_file = task_path(DEMO)
        if DEMO not in files and demo_file.is_file():
            demo = load_task(demo_file)
            if set(demo.labelers) <= set(config.labelers):
                files[DEMO], tasks[DEMO] = demo_file, demo
        added = {name: more for name, more in _added_by(pipelines, content, config) if more is not None}
        for more in added.values():
            if isinstance(more, Added):
                files, tasks = {**files, **more.task_files}, {**tasks, **more.tasks}
        return cls(config, tasks, files, asked, added)

    @classmethod
    def load(cls, path: Path, pipelines: Sequence[Pipeline] = ()) -> "Run":
        """Read and check a config file with the task files that it names."""
        content, lines = load(path)
        return cls.of(content, str(path), lines, pipelines)

    def of_pipeline(self, name: str) -> "Run":
        """Return the run of the tasks alone that a pipeline adds; raises UsageError where they are not sound."""
        added = self.added[name]
        if isinstance(added, UsageError):
            raise added
        return replace(self, names=tuple(added.tasks))

    def config_of(self, task: str) -> Config:
        """Return the config that counts for a task: that of the pipeline which added it, where one did."""
        added = self.added_with(task)
        return added.config if added else self.config

    def added_with(self, task: str) -> Added | None:
        """Return what a pipeline added with a task, None for a task of the config."""
        return next((more for more in self._sound() if task in more.tasks), None)

    def _sound(self) -> list[Added]:
        return [more for more in self.added.values() if isinstance(more, Added)]

    @cached_property
    def data(self) -> RunData:
        """What the tasks need on disk."""
        return RunData(self.tasks, self.config.fetch, self.config.results)

    @cached_property
    def configs(self) -> list[Config]:
        """The config, and those of the pipelines that add tasks."""
        return [self.config, *(more.config for more in self._sound())]

    def names_of(self, section: str) -> list[str]:
        """Return the names that stand under `encoders`, `classifiers`, `vlms` or `labelers` for any task."""
        return list(dict.fromkeys(name for config in self.configs for name in getattr(config, section)))

    def settings(self, section: str) -> Answer:
        """Return the function with which a rule asks for a section of the config as options of a command."""
        texts = {task: as_options(getattr(self.config_of(task), section)) for task in self.tasks}
        return answer(lambda wildcards: texts[wildcards.task], "wildcards")

    def options_of(self, wildcard: str) -> Answer:
        """Return the function with which a rule asks for the options of the model that a wildcard names."""
        return answer(lambda wildcards: as_options(self._model(wildcard, wildcards)), "wildcards")

    def model_state(self, what: str) -> Answer:
        """Return the function with which a rule asks what the files of a local model look like now.

        `what` is the wildcard that names it, or the section `cutout`.
        """
        return answer(lambda wildcards: state_of(_checkpoint(self._model(what, wildcards))), "wildcards")

    @staticmethod
    def one_of(names: Iterable[str]) -> str:
        """Return a wildcard constraint that matches any of `names` and nothing else."""
        return "|".join(re.escape(name) for name in names) or "(?!)"

    def folder(self, task: str) -> str:
        """Return the results folder of a task."""
        return f"{self.config.results}/{task}"

    def shards(self) -> list[str]:
        """Return the names of the shards into which a dataset is split: five digits."""
        return [f"{shard:05d}" for shard in range(self.config.shards)]

    def tails(self) -> list[str]:
        """Return the last digits of the shards of a job; the digits before them are its `part`.

        One job makes the shards 00120 to 00129 when there are ten a job: part 0012, tails 0 to 9. So the outputs of a
        job follow from its wildcard, whatever their number.
        """
        digits = len(str(self.config.shards_per_job)) - 1
        return [f"{tail:0{digits}d}" if digits else "" for tail in range(self.config.shards_per_job)]

    def split_tails(self) -> list[str]:
        """Return the last two digits of the shards of a job of `split`; those beyond the last shard have no rows."""
        return [f"{tail:02d}" for tail in range(min(SPLIT_AT_ONCE, self.config.shards))]

    def shards_of(self, part: str) -> list[str]:
        """Return the shards of a job."""
        return [f"{part}{tail}" for tail in self.tails()]

    def instances(self, task: str, part: str) -> list[str]:
        """Return the files of instances of a job."""
        return [f"{self.folder(task)}/ingest/shards/{shard}.parquet" for shard in self.shards_of(part)]

    def final_files(self, task: str) -> list[str]:
        """Return the files that a finished task has."""
        folder = self.folder(task)
        tables = [f"{folder}/evaluate/{name}" for name in TABLES]
        pages = [f"{folder}/report/report.html", f"{folder}/review/index.html"]
        return [f"{folder}/summary.json", *pages, *self.exports(task), *tables]

    def exports(self, task: str) -> list[str]:
        """Return the exported datasets: a file for the formats in `EXPORT_FILES`, a folder for the others.

        Those of a rehearsal hold planted errors, and their folders say so.
        """
        folder = f"{self.folder(task)}/export/{REHEARSAL if self.tasks[task].rehearsal is not None else ''}"
        files = {name: f"/{file}" for name, file in EXPORT_FILES.items()}
        return [f"{folder}{name}{files.get(name, '')}" for name in self.config.export.formats]

    def export_source(self, task: str, name: str) -> list[str]:
        """Return the COCO file of which an export is a copy; none for other formats, and where there is none."""
        dataset = self.tasks[task].dataset
        return [dataset.path] if name in EXPORT_COPIES and dataset.is_coco_file() else []

    def export_arguments(self, task: str, name: str) -> list[str]:
        """Return what `secondlook export` is told about the file that it copies."""
        source, label_from = self.export_source(task, name), self.label_from(task)
        return [*source, "--label-from", label_from] if source and label_from else source

    def votes(self, task: str) -> list[str]:
        """Return the vote files of all labelers of a task, labeler by labeler."""
        return [f"{folder}/{shard}.parquet" for folder in self.vote_folders(task) for shard in self.shards()]

    def crops(self, task: str) -> list[str]:
        """Return the files of crops of a task, without those of the reference."""
        return [self._crops(task, "crop", shard) for shard in self.shards()]

    def crops_of(self, task: str, part: str) -> list[str]:
        """Return the files of crops of a job."""
        return [self._crops(task, "crop", shard) for shard in self.shards_of(part)]

    def _crops(self, task: str, view: View, shard: str) -> str:
        return f"{self.folder(task)}/crop/{'cutout/' if view == 'cutout' else ''}{shard}.parquet"

    def decisions(self, task: str) -> list[str]:
        """Return what people decided so far, as CSV files."""
        return sorted(str(path) for path in (Path(self.config.review.decisions) / task).glob("*.csv"))

    def decided(self, task: str) -> list[str]:
        """Return a digest of each of these files: as inputs their names would be read for wildcards."""
        return [sha256(path) if path.is_file() else "" for path in map(Path, self.decisions(task))]

    def protocol(self, task: str) -> list[str]:
        """Return the published scoring of a task as an option of a command, nothing where it has none."""
        protocol = self.tasks[task].protocol
        return [] if protocol is None else ["--protocol", as_options(protocol)]

    def vote_options(self, task: str) -> list[str]:
        """Return the vote folders as options of a command."""
        return [f"--votes {folder}" for folder in self.vote_folders(task)]

    def vote_folders(self, task: str) -> list[str]:
        """Return the folder of votes of each labeler of a task."""
        return [f"{self.folder(task)}/label/{labeler}" for labeler in self.tasks[task].labelers]

    def objects_of(self, task: str, labeler: str, part: str) -> list[str]:
        """Return the crops, embeddings or instances that a labeler looks at in a job."""
        spec = self.config_of(task).labelers[labeler]
        if isinstance(spec, VlmOptions):
            if reads_images(spec):
                return self.instances(task, part)
            return [self._crops(task, spec.view, shard) for shard in self.shards_of(part)]
        if isinstance(spec, ClassifierLabelerOptions):
            return self.crops_of(task, part)
        return [f"{self.folder(task)}/embed/{spec.encoder}/{shard}.parquet" for shard in self.shards_of(part)]

    def source_of(self, task: str, labeler: str) -> str:
        """Return what a labeler learned from: reference embeddings, a model trained here, or a file made elsewhere.

        Empty for a model that was trained elsewhere and learns nothing here.
        """
        spec = self.config_of(task).labelers[labeler]
        if isinstance(spec, VlmOptions):
            return f"{self.folder(task)}/train/{spec.trained}/checkpoint" if spec.trained else ""
        if isinstance(spec, ClassifierLabelerOptions):
            return spec.weights or f"{self.folder(task)}/train/{spec.classifier}"
        if isinstance(spec, LearnedOptions):
            return f"{self.folder(task)}/train/{labeler}"
        if isinstance(spec, ZeroShotOptions | AttributeOptions):
            return ""
        return self.reference_vectors(task, spec.encoder)

    def learned_from(self, task: str, labeler: str) -> str:
        """Return the reference vectors from which a labeler learns."""
        return self.reference_vectors(task, str(self.encoder_of(task, labeler)))

    def source_files(self, task: str, labeler: str) -> list[str]:
        """Return the files that stand for `source_of`: few, as Snakemake looks at them for each job."""
        spec = self.config_of(task).labelers[labeler]
        source = self.source_of(task, labeler)
        is_classifier = isinstance(spec, ClassifierLabelerOptions) and spec.classifier is not None
        if is_classifier or isinstance(spec, LearnedOptions):
            return [f"{source}/{_ABOUT}"]
        named = spec.labels if isinstance(spec, ClassifierLabelerOptions) else None
        return [path for path in (source, named) if path]

    def reference_vectors(self, task: str, encoder: str) -> str:
        """Return the embeddings of the reference."""
        return f"{self.folder(task)}/embed/{encoder}/{REFERENCE}.parquet"

    def imported(self) -> list[str]:
        """Return the encoders whose reference vectors come from elsewhere."""
        found = [(name, spec) for config in self.configs for name, spec in config.encoders.items()]
        return list(dict.fromkeys(name for name, spec in found if spec.reference_pt is not None))

    def reference_pt(self, task: str, imported: str) -> str:
        """Return the folder of reference vectors of an encoder; one that is nowhere where it has none for this task.

        Snakemake then takes the rule that makes them.
        """
        return self.config_of(task).encoders[imported].reference_pt or f"(no reference_pt of {imported})"

    def learned(self, kind: str) -> list[str]:
        """Return the labelers of a kind that learn from the embeddings of the reference before they vote."""
        found = [(name, spec) for config in self.configs for name, spec in config.labelers.items()]
        return list(dict.fromkeys(name for name, spec in found if spec.kind == kind))

    def label_arguments(self, task: str, labeler: str) -> list[str]:
        """Return what `secondlook label` is told about a labeler."""
        spec, source = self.config_of(task).labelers[labeler], self.source_of(task, labeler)
        arguments = ["--options", as_options(spec), *(["--source", source] if source else [])]
        if isinstance(spec, VlmOptions):
            prompt = self.prompt_of(task, spec.view)
            arguments += ["--prompt", prompt] if prompt else []
            arguments += [part for name in self.offered(task, spec.family or labeler) for part in ("--offer", name)]
        return arguments

    def offered(self, task: str, family: str) -> list[str]:
        """Return the names that the published runs offered the VLMs of a family; none but for tasks of a pipeline."""
        protocol = self.tasks[task].protocol
        return protocol.vlm.offered_to(family) if protocol is not None and self.added_with(task) else []

    def encoder_options(self, task: str, encoder: str) -> str:
        """Return the options of an encoder; one trained here becomes the folder of its classifier."""
        spec = self.config_of(task).encoders[encoder]
        if spec.trained is not None:
            spec = spec.model_copy(update={"model": f"{self.folder(task)}/train/{spec.trained}", "trained": None})
        return as_options(spec)

    def encoder_files(self, task: str, encoder: str) -> list[str]:
        """Return the file that stands for an encoder that is trained here."""
        trained = self.config_of(task).encoders[encoder].trained
        return [f"{self.folder(task)}/train/{trained}/{_ABOUT}"] if trained else []

    def vlm_crops(self, task: str, vlm: str) -> str:
        """Return the reference crops that a VLM is trained on, as its view shows them."""
        return self._crops(task, self.config_of(task).vlms[vlm].view, REFERENCE)

    def vlm_prompt(self, task: str, vlm: str) -> str:
        """Return what a VLM is asked while it is trained."""
        return self.prompt_of(task, self.config_of(task).vlms[vlm].view)

    def prompt_of(self, task: str, view: View) -> str:
        """Return what the task file has a VLM asked about a view, empty for the default question."""
        prompts = self.tasks[task].prompts
        return "" if prompts is None else str(getattr(prompts, view))

    def encoder_of(self, task: str, labeler: str) -> str | None:
        """Return the encoder whose vectors a labeler looks at, None when it looks at pictures."""
        spec = self.config_of(task).labelers[labeler]
        return None if isinstance(spec, ClassifierLabelerOptions | VlmOptions) else spec.encoder

    def cpus(self, wildcard: str) -> Answer:
        """Return the function with which a rule asks for the threads of the model that a wildcard names."""
        return answer(lambda wildcards: self._resources(wildcard, wildcards).cpus, "wildcards")

    def needs(self, what: str) -> dict[str, Answer]:
        """Return the resources of a rule, each as the function that asks for it: those of the model in a wildcard.

        `what` is that wildcard, or the section `cutout`.
        """
        all_needs = [need for config in self.configs for need in _all_resources(config, what)]
        return self.asks_for(lambda wildcards: self._resources(what, wildcards), all_needs)

    def asks_for(self, needed: Callable[[Any], Resources], all_needs: Sequence[Resources]) -> dict[str, Answer]:
        """Return the resources of a rule whose jobs need what `needed` says of their wildcards.

        Kinds of GPUs are asked for where any of `all_needs` does: Snakemake works out each resource of each job.
        """
        asked = {
            "mem_mb": answer(lambda wildcards, attempt: attempt * needed(wildcards).mem_mb, "wildcards", "attempt"),
            "runtime": answer(lambda wildcards, attempt: attempt * needed(wildcards).runtime, "wildcards", "attempt"),
            "gpu": answer(lambda wildcards: needed(wildcards).gpus, "wildcards"),
            "gpu_model": answer(lambda wildcards: self.gpu_model(needed(wildcards)), "wildcards"),
            "constraint": answer(lambda wildcards: self.gpu_constraint(needed(wildcards)), "wildcards"),
        }
        unused = {
            "gpu": not any(need.gpus for need in all_needs),
            "gpu_model": not any(map(self.gpu_model, all_needs)),
            "constraint": not any(map(self.gpu_constraint, all_needs)),
        }
        return {name: ask for name, ask in asked.items() if not unused.get(name)}

    def _resources(self, what: str, wildcards: Any) -> Resources:
        needed: Resources = self._model(what, wildcards).resources
        return needed

    def _model(self, what: str, wildcards: Any) -> Any:
        section = getattr(self.config_of(wildcards.task), _SECTIONS.get(what, "labelers"))
        return section if what == "cutout" else section[getattr(wildcards, what)]

    def gpu_model(self, needs: Resources) -> str | None:
        """Return the model of GPU that a job with these needs asks for, None for one without a GPU."""
        return (needs.gpu_model or self.config.gpu_model) if needs.gpus else None

    def gpu_constraint(self, needs: Resources) -> str | None:
        """Return the constraint on nodes with GPUs, None for a job without a GPU."""
        return (needs.gpu_constraint or self.config.gpu_constraint) if needs.gpus else None

    def trained_for(self, task: str) -> set[str]:
        """Return what is trained for a task: models that vote or lend their body, labelers that learn from vectors."""
        names = set()
        for labeler in self.tasks[task].labelers:
            spec = self.config_of(task).labelers[labeler]
            own = spec.classifier if isinstance(spec, ClassifierLabelerOptions) else getattr(spec, "trained", None)
            encoder = self.encoder_of(task, labeler)
            learner = labeler if isinstance(spec, LearnedOptions) else None
            names |= {own, learner, self.config_of(task).encoders[encoder].trained if encoder else None}
        return {name for name in names if name is not None}

    def jobs(self, task: str) -> dict[str, int]:
        """Return the number of jobs of each stage of a task."""
        parts, labelers = self.config.shards // self.config.shards_per_job, self.tasks[task].labelers
        encoders = {self.encoder_of(task, labeler) for labeler in labelers} - {None}
        fetches = sum(not Path(marker).exists() for marker in self.data.fetch_markers(task))
        return {
            **({"fetch": fetches} if fetches else {}),
            **{"ingest": 1, "split": -(-self.config.shards // SPLIT_AT_ONCE), "crop": parts + 1},
            **({"cutout": parts} if self.shows_cutouts(task) else {}),
            "train": len(self.trained_for(task)),
            "embed": len(encoders) * (parts + 1),
            "label": len(labelers) * parts,
            **{"consensus": 1, "evaluate": 1},
            **(
                {"review": 1}
                if self.added_with(task)
                else {"review": 2, "export": len(self.exports(task)), "report": 1}
            ),
        }

    def shows_cutouts(self, task: str) -> bool:
        """Tell whether any labeler of a task is shown cutouts."""
        return any(
            getattr(self.config_of(task).labelers[labeler], "view", "") == "cutout"
            for labeler in self.tasks[task].labelers
        )

    def demo_options(self) -> DemoOptions:
        """Return the demo's options with the seed of the run."""
        return DemoOptions(**self.config.demo.model_dump(), seed=self.config.seed)

    def ingest_options(self, task: str) -> str:
        """Return the options of `secondlook ingest`, with the shards and the seed of the run.

        Tasks that a pipeline adds are read as it scores them.
        """
        config, added = self.config, self.added_with(task)
        scoring = added.scoring if added else None
        found = IngestOptions(**config.ingest.model_dump(), shards=config.shards, seed=config.seed, scoring=scoring)
        return as_options(found)

    def label_from(self, task: str) -> str | None:
        """Return the annotation attribute that holds the labels of a task, None for the category."""
        return self.tasks[task].dataset.label_from


def _checkpoint(model: Any) -> str | None:
    """Return the name, folder or file that a model is loaded from."""
    found: str | None = getattr(model, "segmenter", None) or getattr(model, "model", None)
    return found


def reads_images(labeler: VlmOptions) -> bool:
    """Tell whether a VLM is shown more than the stored crops: the whole image, or a margin around the object."""
    return labeler.view == "box" or labeler.margin is not None


def _added_by(
    pipelines: Iterable[Pipeline], content: Mapping[str, Any], config: Config
) -> Iterator[tuple[str, Added | UsageError | None]]:
    """Yield what each pipeline adds; what is not sound stops those only who ask for it."""
    for pipeline in pipelines:
        try:
            added = pipeline.add(content, config)
            if added is not None:
                _require_all(added.task_files, added.tasks, added.config)
        except UsageError as error:
            yield pipeline.name, error
        else:
            yield pipeline.name, added


def _all_resources(config: Config, what: str) -> list[Resources]:
    if what == "cutout":
        return [config.cutout.resources]
    return [spec.resources for spec in getattr(config, _SECTIONS.get(what, "labelers")).values()]


def _require_all(files: Mapping[str, Path], tasks: Mapping[str, Task], config: Config) -> None:
    for name, task in tasks.items():
        require_no_wildcards_of_task(files[name], task)
        _require_labelers(files[name], task, config)
        _require_sources(files[name], task, config)


def _require_labelers(path: Path, task: Task, config: Config) -> None:
    for name in task.labelers:
        if name not in config.labelers:
            have = ", ".join(config.labelers) or "none"
            raise UsageError(f"{path}: `labelers`: `{name}` does not stand in the config (there: {have}).")
    if not task.labelers:
        raise UsageError(f"{path}: `labelers` is empty; name at least one of those in the config.")


def _require_sources(path: Path, task: Task, config: Config) -> None:
    for name in task.fetch:
        if name not in config.fetch.sources:
            have = ", ".join(config.fetch.sources) or "none"
            raise UsageError(f"{path}: `fetch`: `{name}` does not stand under `fetch.sources` (there: {have}).")
