"""What `plan` and `check` say of labelers that are asked only where others are in doubt."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from secondlook.io import records
from secondlook.workflow.run import Run

if TYPE_CHECKING:
    from secondlook.workflow.job_groups import JobGroup


def asked_share(run: Run, task: str, labeler: str) -> float | None:
    """Return the share of the objects that a labeler is asked about, None without a list that says so.

    A list by another rule than that of the config does not count.
    """
    rule = run.config_of(task).labelers[labeler].ask
    for path in map(Path, run.asked_files(task, labeler)):
        told = records.made_by(path) if path.is_file() else {}
        if rule is not None and told.get("options") == rule.model_dump():
            return float(told["counts"]["asked"] / max(1, told["counts"]["objects"]))
    return None


def asked_of(run: Run, task: str) -> list[str]:
    """Return a line on each labeler of a task that is not asked about all objects, for `plan`."""
    return [_line(run, task, name) for name in run.tasks[task].labelers if run.asked_files(task, name)]


def _line(run: Run, task: str, labeler: str) -> str:
    rule = run.config_of(task).labelers[labeler].ask
    share = asked_share(run, task, labeler)
    if share is not None:
        return f"  {labeler} is asked about {100 * share:.1f} % of the objects, by the list of `secondlook ask`"
    most = 1.0 if rule is None else rule.most
    return f"  {labeler} is asked about at most {100 * most:g} % of the objects (`ask`); votes of others tell which"


def savings(kinds: Sequence["JobGroup"]) -> list[str]:
    """Return a line with the hours of the labelers that are asked about some objects, and if they were about all."""
    tiers = [kind for kind in kinds if kind.cost.asked < 1 and kind.cost.minutes is not None]
    return [*_hours([kind for kind in tiers if kind.on_gpu], "GPU"), *_hours([k for k in tiers if not k.on_gpu], "CPU")]


def _hours(kinds: Sequence["JobGroup"], what: str) -> Iterator[str]:
    if not kinds:
        return
    own = sum(kind.jobs * (kind.cost.minutes or 0.0) for kind in kinds) / 60
    known = [kind.jobs * kind.cost.if_all / 60 for kind in kinds if kind.cost.if_all is not None]
    every = f"{sum(known):.2f}" if len(known) == len(kinds) else "unknown"
    names = dict.fromkeys(kind.model for kind in kinds)
    take = "takes" if len(names) == 1 else "take"
    yield f"cascade: {', '.join(names)} {take} {own:.2f} {what}-hours; asked about all objects {every}"
