"""What the rule of `evaluate` says of the labelers: how their objects were chosen, and what computes on a GPU."""

from dataclasses import dataclass

from secondlook.workflow.run import Run


@dataclass(frozen=True)
class Evaluated:
    """A run whose labelers are evaluated."""

    run: Run

    def lists(self, task: str) -> list[str]:
        """Return the lists of asked objects of all labelers of a task, each once."""
        labelers = self.run.tasks[task].labelers
        return list(dict.fromkeys(path for name in labelers for path in self.run.asked_files(task, name)))

    def arguments(self, task: str) -> list[str]:
        """Return these lists, and the kinds of jobs that compute on a GPU, as options of `secondlook evaluate`."""
        labelers, encoders = self.run.labelers_of(task), self.run.config_of(task).encoders
        on_gpu = [f"label.{name}" for name in labelers.names if labelers[name].is_on_gpu]
        on_gpu += [f"embed.{name}" for name in labelers.encoders() if encoders[name].resources.gpus]
        lists = [part for path in self.lists(task) for part in ("--asked", path)]
        return [*lists, *(part for jobs in on_gpu for part in ("--on-gpu", jobs))]
