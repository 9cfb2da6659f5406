"""What `secondlook check` and `secondlook plan` say of a task that learns out of fold; nothing of other tasks."""

from secondlook.workflow.run import Run


def described(run: Run, task: str) -> list[str]:
    """Return a line on what is judged and how often what is trained."""
    folds = run.tasks[task].reference.count
    if folds is None:
        return []
    trained = sorted(run.labelers_of(task).trained())
    each = f"{folds * len(trained)} trainings, {folds} each of {', '.join(trained)}" if trained else "no training"
    taught = "labels of people, else given ones," if run.tasks[task].reference.reviewed else "given labels"
    return [f"  every object is judged out of fold, by what learned the {taught} of other folds; {folds} folds: {each}"]


def learned_again(run: Run, task: str) -> list[str]:
    """Return a line on what new images lead to: an object teaches whatever judges another fold."""
    if run.tasks[task].reference.count is None:
        return []
    labelers = run.labelers_of(task)
    trained, voting = sorted(labelers.trained()), [name for name in labelers.names if labelers[name].learns_here]
    if not voting:
        return ["  when images are added, only they are judged: no labeler learns here"]
    again = f"train again {', '.join(trained)} (every object teaches), and " if trained else ""
    return [f"  new images {again}let {', '.join(voting)} vote again on all objects"]
