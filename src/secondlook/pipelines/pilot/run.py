"""The pilot for Snakemake: its description, and the steps that it tries for each task."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from secondlook.base.errors import UsageError
from secondlook.base.resources import Resources
from secondlook.base.types import View
from secondlook.config.root import as_options
from secondlook.io.outputs import FOLD_FILE
from secondlook.io.trials import PAGE, PILOT, SAMPLE, SHARDS, Unit, failures
from secondlook.jobs.code_digest import code_of
from secondlook.models.checkpoints import state_of
from secondlook.workflow.files import Files
from secondlook.workflow.functions import RuleFunction, rule_function
from secondlook.workflow.labelers import ABOUT, REFERENCE, Labelers
from secondlook.workflow.needs import Needs
from secondlook.workflow.options import CommandOptions
from secondlook.workflow.pipeline import Pipeline
from secondlook.workflow.run import Run, models_of

STEP = r"(crop|cutout|cutout_reference|(embed|embed_reference|label|train)/[^/]+(/[0-9]+)?)"  # as a wildcard
_CROP = Resources(cpus=2, mem_mb=2000, runtime=60)  # what the rule `crop` requests


@dataclass(frozen=True)
class Step:
    """A command of the real run that is tried, on the sample or on what the real run learns from.

    `files` are made by rules of the real run, `after` are other steps. `made` are its outputs, those of a sample in
    their order. `loads` is the model that it loads; `shared`: the real run makes the same.
    `taught_by_sample`: out of fold it learns from vectors, and the pilot has only those of the sample.
    """

    command: Sequence[str]
    made: Sequence[str]
    needs: Resources
    code: Sequence[str]
    files: Sequence[str] = ()
    after: Sequence[str] = ()
    loads: str | None = None
    unit: Unit | None = None
    shared: bool = False
    taught_by_sample: bool = False


@dataclass(frozen=True)
class _PilotFiles(Files):
    """The files of a pilot; the labelers learn from the crops of the real run."""

    real: Files = field(kw_only=True)

    def lessons(self, task: str) -> str:
        return self.real.lessons(task)

    def crop_folder(self, task: str, view: View) -> str:
        return self.real.crop_folder(task, view) if view == "crop" else super().crop_folder(task, view)


class _PilotRun(Run):
    """A run in the folder of the pilot, whose shards are those of a sample."""

    @cached_property
    def files(self) -> Files:
        results = self.config.results.removesuffix(f"/{PILOT}")
        real = Files(self.config.model_copy(update={"results": results}), self.tasks, {}, {})
        configs = {task: self.config_of(task) for task in self.tasks}
        return _PilotFiles(self.config, self.tasks, configs, self.splits, real=real)


@dataclass(frozen=True)
class PilotRun:
    """The pilot of a run."""

    run: Run

    @property
    def folder(self) -> str:
        """Its results folder; a task has the folder in it that it has in the results."""
        return f"{self.run.config.results}/{PILOT}"

    @property
    def summary(self) -> str:
        """The figures of the pilot of the tasks of the config."""
        return f"{self.folder}/summary.json"

    def final_files(self) -> list[str]:
        """Return the page of each task, and the figures of all."""
        return [*(f"{self.folder}/{task}/{PAGE}" for task in self.tasks()), self.summary]

    def tasks(self) -> list[str]:
        """Return the tasks that `snakemake pilot` tries; raises UsageError for one that is unknown."""
        names = [*dict.fromkeys(self.run.config.pilot.tasks or self.run.names)]
        for name in names:
            if name not in self.run.tasks:
                raise UsageError(
                    f"`pilot.tasks`: `{name}` is no task of this run (there: {', '.join(self.run.tasks)})."
                )
        return names

    def tasks_of(self, pipeline: str) -> list[str]:
        """Return the tasks that a pipeline adds; raises UsageError where they are invalid."""
        return [*self.run.of_pipeline(pipeline).names]

    def summaries(self, tasks: Sequence[str]) -> list[str]:
        """Return the figures of each task."""
        return [f"{self.folder}/{task}/summary.json" for task in tasks]

    def sample(self, task: str) -> list[str]:
        """Return the files of the sample of a task."""
        shards = [f"{self.folder}/{task}/ingest/shards/{shard}.parquet" for shard in SHARDS]
        return [*shards, f"{self.folder}/{task}/{SAMPLE}"]

    def names(self, task: str) -> list[str]:
        """Return the names of all steps of a task."""
        return [*self.steps(task)]

    def trials(self, task: str) -> list[str]:
        """Return the trials of all steps of a task, and the sample."""
        return [*self.sample(task), *(self.trial(task, step) for step in self.steps(task))]

    def trial(self, task: str, step: str) -> str:
        """Return the file of a trial."""
        return f"{self.folder}/{task}/trials/{step}.json"

    def steps(self, task: str) -> dict[str, Step]:
        """Return what is tried for a task, in the order of data."""
        return self._steps(task)

    @cached_property
    def _steps(self) -> Callable[[str], dict[str, Step]]:
        config = self.run.config.model_copy(update={"results": self.folder, "shards": len(SHARDS), "shards_per_job": 1})
        real = self.run
        run = _PilotRun(config, real.tasks, real.task_files, real.names, real.added, overlaid=real.overlaid)
        return cache(lambda task: dict(_Steps(self.run, run, task).all()))

    def files(self, task: str, step: str) -> list[str]:
        """Return the files that a step waits for: of the sample, of the real run, and its own that are there."""
        tried = self.steps(task)[step]
        return [*(self.sample(task) if tried.unit else []), *tried.files]

    def after(self, task: str, step: str) -> list[str]:
        """Return the trials that a step waits for."""
        return [self.trial(task, one) for one in self.steps(task)[step].after]

    def arguments(self, task: str, step: str) -> list[str]:
        """Return the options of `secondlook pilot trial` for a step."""
        tried, folder = self.steps(task)[step], f"{self.folder}/{task}"
        needs = tried.needs
        arguments = ["--step", step, *(part for path in tried.made for part in ("--made", path))]
        arguments += ["--asked", *map(str, (needs.gpus, needs.cpus, needs.mem_mb, needs.runtime))]
        arguments += [part for path in self.after(task, step) for part in ("--after", path)]
        arguments += ["--shared", folder, self.run.files.folder(task)] if tried.shared else []
        arguments += ["--sample", f"{folder}/{SAMPLE}"] if tried.unit else []
        arguments += ["--taught-by-sample"] if tried.taught_by_sample else []
        return arguments + (["--by-image"] if tried.unit == "image" else [])

    def command(self, task: str, step: str) -> list[str]:
        """Return the command that a step tries."""
        return ["secondlook", *self.steps(task)[step].command]

    def made_by(self, task: str, step: str) -> list[str]:
        """Return what decides the outcome of a step besides its command: its code and its local model."""
        tried = self.steps(task)[step]
        return [code_of(*(f"secondlook.{entry}" for entry in tried.code)), state_of(tried.loads)]

    def failures(self, task: str, step: str) -> int:
        """Return how often a step has failed: after a failure it is another number, so that the step is tried again."""
        return failures(Path(self.trial(task, step)))

    def cpus(self) -> RuleFunction:
        """Return the function by which the rule requests the threads of a step."""

        @rule_function
        def cpus(wildcards: Any) -> int:
            return self._needs(wildcards).cpus

        return cpus

    def resources(self) -> dict[str, RuleFunction]:
        """Return the resources of the rule: those of the real jobs, and the number of the attempt."""

        @rule_function
        def number(_: Any, attempt: int) -> int:
            return attempt

        kinds = ("encoder", "classifier", "vlm", "labeler", "cutout")
        all_needs = [
            model.resources for config in self.run.configs for kind in kinds for model in models_of(config, kind)
        ]
        return {**Needs(self.run).resources_of(self._needs, all_needs), "attempt": number}

    def _needs(self, wildcards: Any) -> Resources:
        return self.steps(wildcards.task)[wildcards.step].needs


@dataclass(frozen=True)
class _Steps:
    """The steps of a task: `real` makes what is learned from, `pilot` is the same run in the folder of the pilot."""

    real: Run
    pilot: Run
    task: str

    def all(self) -> Iterator[tuple[str, Step]]:
        """Yield the steps by name, in the order of data."""
        yield "crop", self._crop("crop", as_options(self._config.crop), _CROP, "stages.crop")
        yield from self._cutouts()
        for encoder in self._labelers.encoders():
            yield f"embed/{encoder}", self._embed(encoder)
            if self._learns_from_vectors(encoder) and self._taught.with_reference:
                yield f"embed_reference/{encoder}", self._embed_reference(encoder)
        for name in sorted(self._labelers.trained()):
            yield from self._trainings(name)
        for labeler in self._labelers.names:
            yield f"label/{labeler}", self._label(labeler)

    @property
    def _config(self) -> Any:
        return self.pilot.config_of(self.task)

    @cached_property
    def _labelers(self) -> Labelers:
        return self.pilot.labelers_of(self.task)

    @property
    def _taught(self) -> Any:
        return self._labelers.taught

    @property
    def _options(self) -> CommandOptions:
        return CommandOptions(self.pilot)

    @property
    def _folder(self) -> str:
        return self.pilot.files.folder(self.task)

    def _outputs(self, folder: str) -> list[str]:
        return [f"{self._folder}/{folder}/{shard}.parquet" for shard in SHARDS]

    def _crop(self, view: str, options: str, needs: Resources, code: str, loads: str | None = None) -> Step:
        folder = self.pilot.files.folder(self.task) + ("/crop/cutout" if view == "cutout" else "/crop")
        made = [f"{folder}/{shard}.parquet" for shard in SHARDS]
        command = ["crop", *self._outputs("ingest/shards"), "--view", view, "--options", options, "--out", f"{folder}/"]
        return Step(command, made, needs, [code], loads=loads, unit="image")

    def _cutouts(self) -> Iterator[tuple[str, Step]]:
        spec, learned = (
            self._config.cutout,
            [name for name in self._labelers.trained() if self._is_taught_cutouts(name)],
        )
        options, code = as_options(spec), "stages.crop.cutout"
        if self._labelers.show_cutouts() or learned:
            yield "cutout", self._crop("cutout", options, spec.resources, code, spec.segmenter)
        if learned and self._taught.with_reference:
            source, made = (
                f"{self.real.files.folder(self.task)}/ingest/reference.parquet",
                self._reference("crop/cutout"),
            )
            command = ["crop", source, "--view", "cutout", "--options", options, "--out", made]
            needs = spec.resources
            yield (
                "cutout_reference",
                Step(command, [made], needs, [code], [source], loads=spec.segmenter, shared=True),
            )

    def _reference(self, folder: str) -> str:
        return f"{self._folder}/{folder}/{REFERENCE}.parquet"

    def _is_taught_cutouts(self, name: str) -> bool:
        vlm = self._config.vlms.get(name)
        return vlm is not None and vlm.view == "cutout"

    def _learns_from_vectors(self, encoder: str) -> bool:
        names = (name for name in self._labelers.names if self._labelers.encoder(name) == encoder)
        return any(self._labelers[name].learns_here for name in names)

    def _embed(self, encoder: str) -> Step:
        spec = self._config.encoders[encoder]
        made, options = self._outputs(f"embed/{encoder}"), self._options.encoder(self.task, encoder)
        command = ["embed", *self._outputs("crop"), "--options", options, "--out", f"{self._folder}/embed/{encoder}/"]
        after = ["crop", *(self._names_of_trainings(spec.trained) if spec.trained else [])]
        return Step(command, made, spec.resources, ["stages.embed"], after=after, loads=spec.model, unit="object")

    def _embed_reference(self, encoder: str) -> Step:
        spec, made = self._config.encoders[encoder], self._reference(f"embed/{encoder}")
        options = ["--options", self._options.encoder(self.task, encoder), "--out", made]
        if spec.reference_pt is not None:
            task, code = str(self.real.task_files[self.task]), ["stages.embed.published:import_features"]
            command = ["embed", "--import-pt", spec.reference_pt, "--task", task, *options]
            return Step(command, [made], Resources(runtime=30), code, _there([task, spec.reference_pt]), shared=True)
        crops = f"{self.real.files.folder(self.task)}/crop/{REFERENCE}.parquet"
        after = self._names_of_trainings(spec.trained) if spec.trained else []
        code = ["stages.embed"]
        return Step(["embed", crops, *options], [made], spec.resources, code, [crops], after, spec.model, shared=True)

    def _names_of_trainings(self, name: str) -> list[str]:
        return [step for step, _ in self._trainings(name)]

    def _trainings(self, name: str) -> Iterator[tuple[str, Step]]:
        """Yield the training of a model; out of fold one for each fold, of what learns from vectors one for all."""
        folds, step = self._taught.folds, self._training_of(name)
        if folds is None or self._learns_itself(name):
            yield f"train/{name}", step
            return
        for fold in range(folds):
            made = [f"{self._folder}/train/{name}/fold{fold}/{file}" for file in (ABOUT, FOLD_FILE)]
            command = [*step.command, "--fold", str(fold)]
            code = [*step.code, "stages.train.out_of_fold"]
            yield (
                f"train/{name}/{fold}",
                Step(command, made, step.needs, code, step.files, step.after, step.loads, shared=True),
            )

    def _learns_itself(self, name: str) -> bool:
        return name in self._labelers.names and self._labelers[name].learns_from == "training"

    def _training_of(self, name: str) -> Step:
        out = f"{self._folder}/train/{name}"
        arguments, made = ["--out", out], [f"{out}/{ABOUT}"]
        if self._learns_itself(name):
            spec = self._labelers[name]
            encoder, folds = self._labelers.encoder(name), self._taught.folds
            command = ["train", *self._options.taught_vectors(self.task, name), "--kind", spec.kind, *arguments]
            command += ["--options", as_options(spec)]
            made = [f"{out}/fold{fold}/{ABOUT}" for fold in range(folds)] if folds else made
            after, files = self._vectors_learned(encoder), self._taught.lesson_files
            code = [f"stages.train.{spec.kind}"]
            by_sample = folds is not None
            return Step(command, made, spec.resources, code, files, after, shared=True, taught_by_sample=by_sample)
        if name in self._config.classifiers:
            classifier = self._config.classifiers[name]
            command = ["train", *self._options.taught_crops(self.task), *arguments, "--options", as_options(classifier)]
            files = self.real.files.taught_crops(self.task)
            return Step(
                command, made, classifier.resources, ["stages.train"], files, loads=classifier.model, shared=True
            )
        return self._fine_tuning(name, arguments, made)

    def _fine_tuning(self, name: str, arguments: list[str], made: list[str]) -> Step:
        vlm, after = self._config.vlms[name], []
        files = self.real.files.vlm_crops(self.task, name)
        if self._is_taught_cutouts(name):
            files, after = self._taught.lesson_files, ["cutout"] if self._taught.folds else []
            after += ["cutout_reference"] if self._taught.with_reference else []
        command = ["train", *self._options.vlm_crops(self.task, name), "--kind", "vlm", *arguments]
        command += ["--prompt", self._options.vlm_prompt(self.task, name), "--options", as_options(vlm)]
        return Step(command, made, vlm.resources, ["stages.train.vlm"], files, after, vlm.model, shared=True)

    def _vectors_learned(self, encoder: str | None) -> list[str]:
        """Return the steps that make the vectors from which something is learned."""
        own = [f"embed/{encoder}"] if self._taught.folds is not None else []
        return [*own, *([f"embed_reference/{encoder}"] if self._taught.with_reference else [])]

    def _label(self, labeler: str) -> Step:
        spec, encoder, folder = self._labelers[labeler], self._labelers.encoder(labeler), f"label/{labeler}"
        objects = self._labelers.objects(labeler, SHARDS)
        seen = {"crops": ["crop"], "cutouts": ["cutout"], "images": [], "vectors": [f"embed/{encoder}"]}
        after = [*seen[spec.looks_at], *(self._vectors_learned(encoder) if spec.learns_at_vote else [])]
        trained = spec.training(labeler)
        after += self._names_of_trainings(trained) if trained else []
        elsewhere = _there([path for path in (spec.made_elsewhere, spec.beside) if path])
        files = [*elsewhere, *(self._taught.lesson_files if spec.learns_here else [])]
        command = ["label", *objects, *self._options.label(self.task, labeler), "--name", labeler]
        command += ["--out", f"{self._folder}/{folder}/"]
        code = ["stages.label", f"stages.label.{spec.kind}"]
        unique = list(dict.fromkeys(after))
        made = self._outputs(folder)
        step = Step(command, made, spec.resources, code, files, unique, spec.loads, unit="object")
        return replace(step, taught_by_sample=self._taught.folds is not None and spec.learns_at_vote)


def _there(paths: Sequence[str]) -> list[str]:
    """Return the paths that exist: where one is missing, the command says so, and the other steps go on."""
    return [path for path in paths if Path(path).exists()]


def _describe(run: Run) -> Iterator[str]:
    if PILOT in run.config.model_fields_set:
        tasks, count = PilotRun(run).tasks(), run.config.pilot.objects_per_class
        yield f"`snakemake pilot`: up to {count} objects of each class, shown to every labeler of {', '.join(tasks)}"


PIPELINE = Pipeline(name=PILOT, settings={}, of=PilotRun, describe=_describe)
