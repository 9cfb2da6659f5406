"""Do labelers that learn from a reference have one, and of more than one class?"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from secondlook.workflow.checks.findings import Asked, Finding


def look(asked: Asked) -> Iterator[Finding]:
    """Yield the labelers of a task without a reference that have nothing to learn from."""
    for task in asked.tasks:
        reference = asked.run.tasks[task].reference
        yield from _of_imported(asked, task)
        if reference.sources or reference.own is not None or reference.own_fraction:
            continue
        untaught = [name for name in asked.labelers(task).names if _learns(asked, task, name)]
        if untaught:
            message = (
                f"{', '.join(untaught)} learn from a reference, and the task has none; give `reference` a source, "
                "`own_fraction` or `own: out_of_fold`"
            )
            yield Finding("reference", task, message)


def _of_imported(asked: Asked, task: str) -> Iterator[Finding]:
    """Yield the reference vectors that are not there: they are then made here, where the task has a reference."""
    reference = asked.run.tasks[task].reference
    has_one = bool(reference.sources or reference.own is not None or reference.own_fraction)
    for name in asked.labelers(task).encoders():
        folder = asked.config(task).encoders[name].reference_pt
        if folder is not None and not Path(folder).exists():
            way = "the vectors are made here" if has_one else "put the vectors there, or give `reference` a source"
            message = f"{folder}, the `reference_pt` of {name}, is missing; {way}"
            yield Finding("reference", task, message, "note" if has_one else "trouble")


def too_little(asked: Asked, task: str, own: Mapping[str, int], sources: Mapping[str, int]) -> Iterator[Finding]:
    """Yield that labelers stop at what they would learn: objects of the dataset and of the reference, by class."""
    spec = asked.run.tasks[task]
    learners = [name for name in asked.labelers(task).names if _learns(asked, task, name)]
    out_of_fold = spec.reference.own is not None
    if len(spec.classes) == 1 or not learners or (out_of_fold and (spec.rehearsal or spec.reference.reviewed)):
        return  # which says more, or makes other classes of some labels
    taught = sorted({name for counts in (own if out_of_fold else {}, sources) for name in counts if counts[name]})
    probes = [name for name in learners if asked.labelers(task)[name].kind == "probe"]
    if not taught and spec.reference.own_fraction:
        share = f"`own_fraction` ({spec.reference.own_fraction:g})"
        message = f"{share} leaves {', '.join(learners)} no object to learn from"
        yield Finding("reference", task, f"{message}; raise it, or add reference `sources`")
    elif len(taught) == 1 and (out_of_fold or probes):
        message = f"all objects that teach {', '.join(learners if out_of_fold else probes)} are `{taught[0]}`"
        yield Finding("reference", task, f"{message}, and two classes are needed; add reference `sources` of others")


def _learns(asked: Asked, task: str, name: str) -> bool:
    labelers, config = asked.labelers(task), asked.config(task)
    encoder = config.encoders.get(labelers.encoder(name) or "")
    if encoder is not None and encoder.trained is not None:
        return True
    return labelers[name].learns_here and (encoder is None or encoder.reference_pt is None)
