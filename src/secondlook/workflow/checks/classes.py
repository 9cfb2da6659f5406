"""Is there anything to decide, and do models that were made elsewhere name the classes of the task?"""

import json
from collections.abc import Iterator
from pathlib import Path

from secondlook.workflow.checks.findings import Asked, Finding


def look(asked: Asked) -> Iterator[Finding]:
    """Yield tasks with one class, and outputs of classifiers that are none of the classes."""
    for task in asked.tasks:
        spec = asked.run.tasks[task]
        if len(spec.classes) == 1:
            message = (
                f"`{next(iter(spec.classes))}` is its only class, so there is nothing to decide; add another class"
            )
            yield Finding("classes", task, message)
        labelers, taxonomy = asked.labelers(task), spec.taxonomy()
        for name in labelers.names:
            folder = labelers[name].made_elsewhere
            unknown = [output for output in _outputs(folder) if taxonomy.resolve(output) is None] if folder else []
            if unknown:
                message = (
                    f"{name}: {folder}: its output `{unknown[0]}` is not a class of the task; add it as an alias of one"
                )
                yield Finding("classes", task, message)


def _outputs(folder: str) -> list[str]:
    """Return the outputs of a classifier in a folder of `secondlook train`; none for others."""
    try:
        classes = json.loads((Path(folder) / "labels.json").read_bytes())["classes"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [str(name) for name in classes] if isinstance(classes, list) else []
