"""What a task file changes in the config for its task alone: its `config`, and the files that it extends."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from secondlook.base import yamlfile
from secondlook.base.errors import UsageError
from secondlook.base.layered import EXTENDS, SHIPPED, Document, below, laid_over
from secondlook.base.yamlfile import KeyPath
from secondlook.config.root import Config, check_config
from secondlook.config.task import Task

_OF_A_TASK = {
    *("encoders", "classifiers", "vlms", "labelers", "strict_ids"),
    *("ingest", "crop", "cutout", "consensus", "evaluate", "review", "export", "report"),
}


@dataclass(frozen=True)
class TaskFile:
    """A checked task, and what its file changes in the config; an empty document where it changes nothing."""

    path: Path
    task: Task
    overlay: Document

    def content_over(self, config: Document) -> Document:
        """Return the config of the task; `config` is that of the run."""
        return laid_over(config, self.overlay)

    def config_over(self, config: Document) -> Config:
        """Return the checked config of the task; raises UsageError with the place of each bad key."""
        return check_config(self.content_over(config), str(self.path))


def read_task(path: Path) -> TaskFile:
    """Read and check a task file with the files that it extends.

    Labelers that it does not list are those of its overlay. Raises UsageError for settings of a whole run.
    """
    own = Document(*yamlfile.load(path))
    task = yamlfile.validate(Task, own.content, source=str(path), places=own.places)
    if SHIPPED in ([task.extends] if isinstance(task.extends, str) else task.extends):
        raise UsageError(
            f"{own.place((EXTENDS,))}: `{EXTENDS}: {SHIPPED}` is for the config of a run; a task has it already."
        )
    overlay = laid_over(*below(own, path), own.part("config"))
    for keys in _of_a_run(overlay):
        raise UsageError(
            f"{overlay.place(keys)}: `{'.'.join(map(str, keys))}` is for all tasks of a run; set it in the config of "
            f"the run, not for the task {path}."
        )
    if "labelers" not in task.model_fields_set:
        task = task.model_copy(update={"labelers": [*map(str, overlay.content.get("labelers") or ())]})
    return TaskFile(path, task, overlay)


def _of_a_run(overlay: Document) -> Iterator[KeyPath]:
    """Yield the keys that a task cannot change; those that the config does not know are refused with it."""
    for key, value in overlay.content.items():
        if key == "fetch" and isinstance(value, dict):
            yield from ((key, str(inner)) for inner in value if inner != "sources")
        elif key in Config.model_fields and key not in {*_OF_A_TASK, "fetch"}:
            yield (key,)
