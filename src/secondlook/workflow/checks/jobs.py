"""Do the jobs of each task fit their time limits and memory with the shards that are set?"""

from collections.abc import Iterator

from secondlook.workflow.amounts import amount_of
from secondlook.workflow.checks.findings import Asked, Finding
from secondlook.workflow.limits import MOST_JOBS
from secondlook.workflow.verdicts import excess, way_out


def look(asked: Asked) -> Iterator[Finding]:
    """Yield the jobs that exceed their limits, with what to set, and more shards than a task can use."""
    for task in asked.tasks:
        kinds = asked.kinds_of(task)
        for line in excess(kinds, asked.run.config):
            message = "; ".join([line.removeprefix("limits: "), *way_out(kinds, asked.run.config)])
            yield Finding("shards", task, message)
        parts, amount = asked.run.files.job_count(task), amount_of(asked.run, task)
        jobs = parts * sum(kind.by_part for kind in kinds)
        if amount.counted and amount.objects is not None and parts > amount.objects and jobs > MOST_JOBS:
            message = (
                f"{parts} shards for {amount.objects} objects make {jobs} jobs; set fewer `shards`, or `shards: auto`"
            )
            yield Finding("shards", task, message)
