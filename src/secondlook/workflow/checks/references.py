"""Do labelers that learn from a reference have one?"""

from collections.abc import Iterator

from secondlook.workflow.checks.findings import Asked, Finding


def look(asked: Asked) -> Iterator[Finding]:
    """Yield the labelers of a task without a reference that have nothing to learn from."""
    for task in asked.tasks:
        reference = asked.run.tasks[task].reference
        if reference.sources or reference.own is not None or reference.own_fraction:
            continue
        untaught = [name for name in asked.labelers(task).names if _learns(asked, task, name)]
        if untaught:
            message = (
                f"{', '.join(untaught)} learn from a reference, and the task has none; give `reference` a source, "
                "`own_fraction` or `own: out_of_fold`"
            )
            yield Finding("reference", task, message)


def _learns(asked: Asked, task: str, name: str) -> bool:
    labelers, config = asked.labelers(task), asked.config(task)
    encoder = config.encoders.get(labelers.encoder(name) or "")
    if encoder is not None and encoder.trained is not None:
        return True
    return labelers[name].learns_here and (encoder is None or encoder.reference_pt is None)
