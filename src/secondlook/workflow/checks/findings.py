"""What a check finds, and what it is asked about: tasks and pipelines of a run, and the machines of its jobs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from secondlook.base.errors import DataError
from secondlook.config.root import Config
from secondlook.config.stages import IngestOptions
from secondlook.config.task import Dataset, Task
from secondlook.io.surveys import Glance, Survey
from secondlook.workflow.job_groups import JobGroup
from secondlook.workflow.labelers import Labelers
from secondlook.workflow.options import CommandOptions
from secondlook.workflow.pipeline import Pipeline
from secondlook.workflow.run import Run

Kind = Literal[
    "data",
    "classes",
    "reference",
    "package",
    "weights",
    "hub",
    "server",
    "gpu",
    "shards",
    "disk",
    "permission",
]

Weight = Literal["trouble", "note"]


@dataclass(frozen=True)
class Finding:
    """A trouble, by which a run would end, or a note; its message names the way out.

    `of` is the task or pipeline that it concerns, None for the whole run.
    """

    kind: Kind
    of: str | None
    message: str
    weight: Weight = "trouble"


@dataclass(frozen=True)
class DataReader:
    """How datasets are read, which only stages know: a glance at their first entries, and all that they hold."""

    glance: Callable[[str, Task, Dataset, IngestOptions], Glance]
    survey: Callable[[str, Task, IngestOptions], Survey]


@dataclass(frozen=True)
class Asked:
    """The tasks and pipelines that a check is about, with the kinds of jobs of the tasks.

    `sent_by` is the executor that sends the jobs to other machines, None where they run here. `surveys` are those of
    the datasets that were read, or the sentence on why one cannot be read.
    """

    run: Run
    tasks: Sequence[str]
    kinds: Sequence[JobGroup]
    reader: DataReader
    pipelines: Sequence[Pipeline] = ()
    sent_by: str | None = None
    with_data: bool = False

    def config(self, task: str) -> Config:
        """Return the config of a task."""
        return self.run.config_of(task)

    def labelers(self, task: str) -> Labelers:
        """Return the labelers of a task."""
        return self.run.labelers_of(task)

    def models(self, task: str) -> Iterator[tuple[str, Any]]:
        """Yield the options of what the jobs of a task load or train, with its name."""
        labelers, config = self.labelers(task), self.config(task)
        yield from ((name, labelers[name]) for name in labelers.names)
        yield from ((name, config.encoders[name]) for name in labelers.encoders())
        trainings = {**config.classifiers, **config.vlms}
        yield from ((name, trainings[name]) for name in sorted(labelers.trained() & trainings.keys()))
        if labelers.show_cutouts():
            yield "cutout", config.cutout

    def kinds_of(self, task: str) -> list[JobGroup]:
        """Return the kinds of jobs of a task that load a model, or cut crops."""
        return [kind for kind in self.kinds if kind.task == task]

    @cached_property
    def surveys(self) -> Mapping[str, Survey | str]:
        """The survey of each task whose data is there; empty without `with_data`."""
        return {task: self._survey(task) for task in self.tasks if self.has_data(task)} if self.with_data else {}

    def has_data(self, task: str) -> bool:
        """Tell whether all data of a task is there."""
        return not self.run.data.lacking(task)

    def ingest_options(self, task: str) -> IngestOptions:
        """Return the options of `ingest` for a task."""
        return CommandOptions(self.run).ingest_options(task)

    def _survey(self, task: str) -> Survey | str:
        try:
            return self.reader.survey(task, self.run.tasks[task], self.ingest_options(task))
        except (DataError, OSError) as error:
            return str(error)
