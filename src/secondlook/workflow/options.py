"""Settings of the config and of the task files as options of the commands that rules call."""

from dataclasses import dataclass
from typing import Any

from secondlook.base.types import View
from secondlook.config.root import as_options
from secondlook.config.stages import DemoOptions, IngestOptions
from secondlook.workflow.functions import RuleFunction, rule_function
from secondlook.workflow.run import Run


@dataclass(frozen=True)
class CommandOptions:
    """A run, whose settings become options of commands."""

    run: Run

    def section(self, name: str) -> RuleFunction:
        """Return the function by which a rule gets a section of the config."""
        texts = {task: as_options(getattr(self.run.config_of(task), name)) for task in self.run.tasks}

        @rule_function
        def options(wildcards: Any) -> str:
            return texts[wildcards.task]

        return options

    def of_model(self, wildcard: str) -> RuleFunction:
        """Return the function by which a rule gets the options of the model that a wildcard names."""

        @rule_function
        def options(wildcards: Any) -> str:
            return as_options(self.run.model(wildcard, wildcards))

        return options

    def demo(self) -> DemoOptions:
        """Return the demo's options with the seed of the run."""
        return DemoOptions(**self.run.config.demo.model_dump(), seed=self.run.config.seed)

    def ingest(self, task: str) -> str:
        """Return the options of `secondlook ingest`, with the shards and the seed of the run.

        Tasks that a pipeline adds are read under its scoring.
        """
        config, added = self.run.config, self.run.added_with(task)
        scoring = added.scoring if added else None
        options = IngestOptions(**config.ingest.model_dump(), shards=config.shards, seed=config.seed, scoring=scoring)
        return as_options(options)

    def folds(self, task: str) -> list[str]:
        """Return the number of folds of a task as an option, nothing where nothing is learned out of fold."""
        count = self.run.tasks[task].reference.count
        return [] if count is None else ["--folds", str(count)]

    def encoder(self, task: str, encoder: str) -> str:
        """Return the options of an encoder; one trained here becomes the folder of its classifier."""
        spec = self.run.config_of(task).encoders[encoder]
        if spec.trained is not None:
            trained = f"{self.run.files.folder(task)}/train/{spec.trained}"
            spec = spec.model_copy(update={"model": trained, "trained": None})
        return as_options(spec)

    def label(self, task: str, labeler: str) -> list[str]:
        """Return the options of `secondlook label` for a labeler."""
        labelers = self.run.labelers_of(task)
        spec, source = labelers[labeler], labelers.source(labeler)
        arguments = ["--options", as_options(spec), *(["--source", source] if source else [])]
        if spec.prompt_view is not None:
            prompt = self.prompt(task, spec.prompt_view)
            arguments += ["--prompt", prompt] if prompt else []
            arguments += [part for name in self.offered(task, spec.family or labeler) for part in ("--offer", name)]
        return arguments

    def offered(self, task: str, family: str) -> list[str]:
        """Return the names that the published runs offered the VLMs of a family; only for tasks of a pipeline."""
        protocol = self.run.tasks[task].protocol
        return protocol.vlm.offered_to(family) if protocol is not None and self.run.added_with(task) else []

    def prompt(self, task: str, view: View) -> str:
        """Return the prompt of the task file for a view, empty for the default one."""
        prompts = self.run.tasks[task].prompts
        return "" if prompts is None else str(getattr(prompts, view))

    def vlm_prompt(self, task: str, vlm: str) -> str:
        """Return the prompt of a VLM while it is trained."""
        return self.prompt(task, self.run.config_of(task).vlms[vlm].view)

    def votes(self, task: str) -> list[str]:
        """Return the vote folders of a task."""
        return [f"--votes {folder}" for folder in self.run.files.vote_folders(task)]

    def protocol(self, task: str) -> list[str]:
        """Return the published scoring of a task, nothing where it has none."""
        protocol = self.run.tasks[task].protocol
        return [] if protocol is None else ["--protocol", as_options(protocol)]

    def decisions(self, task: str) -> list[str]:
        """Return the files of the decisions of people on a task."""
        return [part for path in self.run.files.decisions(task) for part in ("--apply", path)]

    def export(self, task: str, name: str) -> list[str]:
        """Return the options of `secondlook export` for the file that it copies."""
        source, label_from = self.run.files.export_source(task, name), self.run.tasks[task].dataset.label_from
        return [*source, "--label-from", label_from] if source and label_from else source
