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
        """Return the options of `secondlook ingest`, as its rule passes them."""
        return as_options(self.ingest_options(task))

    def ingest_options(self, task: str) -> IngestOptions:
        """Return the options of `secondlook ingest`, with the shards and the seed of the run.

        Tasks that a pipeline adds are read under its scoring.
        """
        ingest, added = self.run.config_of(task).ingest, self.run.added_with(task)
        scoring = added.scoring if added else None
        return IngestOptions(
            **ingest.model_dump(), shards=self.run.splits[task], seed=self.run.config.seed, scoring=scoring
        )

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
        spec = labelers[labeler]
        arguments = ["--options", as_options(spec)]
        arguments += [part for source in labelers.sources(labeler) for part in ("--source", source)]
        arguments += labelers.lessons(labeler)
        arguments += [part for path in labelers.asked(labeler) for part in ("--asked", path)]
        if spec.prompt_view is not None:
            arguments += self._prompted(task, spec.family or labeler, spec.prompt_view)
        return arguments

    def _prompted(self, task: str, family: str, view: View) -> list[str]:
        """Return the prompt of a VLM as arguments: one to send as it stands, or that of the task with its names."""
        added = self.run.added_with(task)
        whole = added.whole_prompt(task, family, view) if added else None
        if whole is not None:
            return ["--prompt", whole, "--as-it-stands"]
        prompt = self.prompt(task, view)
        offered = [part for name in self.offered(task, family) for part in ("--offer", name)]
        return [*(["--prompt", prompt] if prompt else []), *offered]

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

    def taught_crops(self, task: str) -> list[str]:
        """Return what a classifier learns from as arguments of `secondlook train`."""
        return self._taught(task, self.run.files.crop_folder(task, "crop"))

    def vlm_crops(self, task: str, vlm: str) -> list[str]:
        """Return what a VLM learns from as arguments of `secondlook train`."""
        return self._taught(task, self.run.files.crop_folder(task, self.run.config_of(task).vlms[vlm].view))

    def crops_of_other_folds(self, task: str, fold: str) -> list[str]:
        """Return what a classifier learns from that judges a fold, as arguments of `secondlook train`."""
        return [*self.taught_crops(task), "--fold", fold]

    def vlm_crops_of_other_folds(self, task: str, vlm: str, fold: str) -> list[str]:
        """Return what a VLM learns from that judges a fold, as arguments of `secondlook train`."""
        return [*self.vlm_crops(task, vlm), "--fold", fold]

    def taught_vectors(self, task: str, labeler: str) -> list[str]:
        """Return what a labeler with a training of its own learns from as arguments of `secondlook train`."""
        labelers = self.run.labelers_of(task)
        return self._taught(task, labelers.vectors(labeler))

    def _taught(self, task: str, folder: str) -> list[str]:
        taught = self.run.files.taught(task)
        return [*taught.sources(folder), *taught.arguments]

    def lessons(self, task: str) -> list[str]:
        """Return what is learned out of fold as an argument; none where a task learns from a reference."""
        return self.run.files.taught(task).arguments

    def newly_learned(self, task: str) -> list[str]:
        """Return the decisions of people that labelers learn from in a new round, as arguments."""
        return [part for path in self.run.files.newly_learned(task) for part in ("--reviewed", path)]

    def decisions(self, task: str) -> list[str]:
        """Return the files of the decisions of people on a task."""
        return [part for path in self.run.files.decisions(task) for part in ("--apply", path)]

    def frozen(self, task: str) -> list[str]:
        """Return the frozen scores of a task as an argument, nothing where there are none."""
        return [part for path in self.run.files.frozen(task) for part in ("--frozen", path)]
