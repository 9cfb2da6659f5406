"""What a task file changes in the config for its task alone: its `config`, and the files that it extends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondlook.base import yamlfile
from secondlook.base.errors import UsageError
from secondlook.base.layered import EXTENDS, SHIPPED, Document, below, laid_over
from secondlook.base.yamlfile import KeyPath, Place
from secondlook.config.root import Config, check_config
from secondlook.config.task import Task

_OF_A_TASK = {
    *("encoders", "classifiers", "vlms", "labelers", "strict_ids"),
    *("ingest", "crop", "cutout", "consensus", "evaluate", "review", "export", "report"),
}


@dataclass(frozen=True)
class TaskFile:
    """A checked task, what its file changes in the config, and where its labelers are listed.

    `overlay` is empty where it changes nothing; the places of `labelers` are those of their names.
    """

    path: Path
    task: Task
    overlay: Document
    labelers: tuple[Place, ...]

    def content_over(self, config: Document) -> Document:
        """Return the config of the task; `config` is that of the run."""
        return laid_over(config, self.overlay)

    def config_over(self, config: Document) -> Config:
        """Return the checked config of the task; raises UsageError with the place of each bad key."""
        return check_config(self.content_over(config), str(self.path))

    def changes(self) -> Document:
        """Return the labelers under `labelers`, and the overlay under `config` where there is one."""
        return changes(self.task.labelers, self.labelers, self.overlay, str(self.path))


def changes(labelers: Sequence[str], places: Sequence[Place], overlay: Document, source: str) -> Document:
    """Return labelers at their places under `labelers`, and what differs for a task under `config`."""
    content: dict[str, Any] = {"labelers": [*labelers]}
    where: dict[KeyPath, Place] = {(): Place(source)}
    where |= {("labelers", index): place for index, place in enumerate(places)}
    where[("labelers",)] = places[0] if places else Place(source)
    if overlay.content:
        content["config"] = overlay.content
        where |= {("config", *path): place for path, place in overlay.places.items()}
    return Document(content, where)


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
    if "labelers" in task.model_fields_set:
        places = [own.place(("labelers", index)) for index in range(len(task.labelers))]
    else:
        voting = [*map(str, overlay.content.get("labelers") or ())]
        places = [overlay.place(("labelers", name)) for name in voting]
        task = task.model_copy(update={"labelers": voting})
    return TaskFile(path, task, overlay, tuple(places))


def _of_a_run(overlay: Document) -> Iterator[KeyPath]:
    """Yield the keys that a task cannot change; those that the config does not know are refused with it."""
    for key, value in overlay.content.items():
        if key == "fetch" and isinstance(value, dict):
            yield from ((key, str(inner)) for inner in value if inner != "sources")
        elif key in Config.model_fields and key not in {*_OF_A_TASK, "fetch"}:
            yield (key,)
