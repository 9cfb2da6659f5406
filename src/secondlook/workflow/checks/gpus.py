"""Is there a GPU where jobs need one? Not asked where a profile sends them to other machines."""

from collections.abc import Iterator
from dataclasses import replace

from secondlook.base.resources import Resources
from secondlook.workflow.checks.findings import Asked, Finding
from secondlook.workflow.job_groups import JobGroup, expected_costs_of
from secondlook.workflow.verdicts import jobs_of_models

_SMALL_GB = 1.0  # of weights that a CPU computes with in bearable time


def look(asked: Asked) -> Iterator[Finding]:
    """Yield the models that need a GPU on a machine without one; small ones that a CPU manages are noted."""
    if asked.sent_by is not None or not _needs_gpu(asked) or _has_gpu():
        return
    for task in asked.tasks:
        for name in _on_cuda(asked, task):
            message = f"{name}: `device: cuda` needs a GPU, and this machine has none; set `device: auto`{_ELSEWHERE}"
            yield Finding("gpu", task, message)
        on_cpu = {(kind.rule, kind.model): kind for kind in _on_cpu(asked, task)}
        for kind in asked.kinds_of(task):
            if kind.needs.gpus and not kind.cannot_run:
                yield _judged(task, kind, on_cpu[kind.rule, kind.model])
    for pipeline in asked.pipelines:
        if any(needs.gpus for needs in pipeline.resources(asked.run)):
            message = (
                f"its jobs request GPUs, and this machine has none; set `gpus: 0` in their `resources`{_ELSEWHERE}"
            )
            yield Finding("gpu", pipeline.name, message)


_ELSEWHERE = ", or name the profile that runs the jobs elsewhere with --profile"


def _judged(task: str, kind: JobGroup, on_cpu: JobGroup) -> Finding:
    """Return the trouble of a job that requests a GPU, or a note where it is known to be quick without one."""
    network, minutes = kind.cost.network, on_cpu.cost.minutes
    name = f"{kind.model or kind.rule} ({kind.rule})"
    if (
        network is not None
        and minutes is not None
        and network.weights_gb <= _SMALL_GB
        and minutes <= kind.needs.runtime
    ):
        said = (
            f"requests a GPU, and this machine has none; on the CPU a job takes about {max(1, round(minutes))} minutes"
        )
        return Finding("gpu", task, f"{name} {said}", "note")
    about = f", and on the CPU a job takes about {minutes / 60:.1f} hours" if minutes and minutes > 60 else ""
    message = (
        f"{name} requests a GPU, and this machine has none{about}; set `gpus: 0` in its `resources` to compute here"
    )
    return Finding("gpu", task, f"{message}{_ELSEWHERE}")


def _on_cpu(asked: Asked, task: str) -> list[JobGroup]:
    """Return the kinds of jobs of a task with the costs that they have without a GPU."""
    config, none = asked.config(task), {"resources": Resources()}
    models = {
        section: {name: spec.model_copy(update=none) for name, spec in getattr(config, section).items()}
        for section in ("labelers", "encoders", "classifiers", "vlms")
    }
    without = config.model_copy(update={**models, "cutout": config.cutout.model_copy(update=none)})
    run = replace(asked.run, added={}, overlaid={task: without}, decided=asked.run.splits)
    jobs = [replace(job, needs=Resources()) for job in jobs_of_models(asked.run, task)]
    return [kind for part in expected_costs_of(run, [task], jobs) for kind in part.kinds]


def _on_cuda(asked: Asked, task: str) -> list[str]:
    """Return the models of a task that may compute on a GPU only."""
    return [name for name, spec in asked.models(task) if getattr(spec, "device", None) == "cuda"]


def _needs_gpu(asked: Asked) -> bool:
    return (
        any(kind.needs.gpus for kind in asked.kinds)
        or any(_on_cuda(asked, task) for task in asked.tasks)
        or any(needs.gpus for pipeline in asked.pipelines for needs in pipeline.resources(asked.run))
    )


def _has_gpu() -> bool:
    from secondlook.models.inference import device_name

    return device_name("auto") == "cuda"
