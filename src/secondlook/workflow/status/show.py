"""The state of a run as text for people, and as JSON for programs."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import join
from time import time
from typing import Any

from secondlook.base.text import counted, duration
from secondlook.workflow.status.processes import is_alive
from secondlook.workflow.status.record import Job, RunState, stage_of
from secondlook.workflow.status.sentences import last_lines, sentence_of
from secondlook.workflow.status.slurm import Slurm

_SHOWN = 10  # jobs under each heading
_LAST = 3  # lines of a failed job's log
_COLUMNS = ("done", "running", "failed", "waiting")


def as_text(results: Path, state: RunState, slurm: Slurm) -> str:
    """Return how far a run is, its stages, and its running and failed jobs."""
    lines = [_summary(results, state), *_table(state)]
    for heading, jobs in _headed(state, slurm):
        if jobs:
            lines += ["", f"{heading}:"]
            lines += [line for job in jobs[:_SHOWN] for line in _described(job, state, slurm)]
            lines += [f"  and {len(jobs) - _SHOWN} more: `secondlook status --json` has all"] * (len(jobs) > _SHOWN)
    return "\n".join(lines)


def as_json(results: Path, state: RunState, slurm: Slurm) -> str:
    """Return the same, of every job that is running or failed."""
    about = state.about
    process = {"pid": about.get("pid"), "host": about.get("host"), "alive": is_alive(about)}
    content = {
        **{"state": _word(state), "results": str(results), "folder": str(state.folder)},
        **{"command": about.get("command"), "begun": state.begun, "seconds": round(_seconds(state), 1)},
        **{"done": state.done, "steps": state.total, "process": process},
        "stages": [{"task": task, "stage": stage, **counts} for (task, stage), counts in _stages(state).items()],
        "running": [_record(job, state, slurm) for job in state.in_state("running")],
        "failed": [_failed_record(job, state, slurm) for job in state.in_state("failed")],
    }
    return json.dumps(content, indent=1)


def _word(state: RunState) -> str:
    """Return one of running, finished, failed, stopped (by a person), killed, unknown (on another machine)."""
    if state.ended:
        if state.in_state("failed"):
            return "failed"
        return "finished" if state.done >= state.total else "stopped"
    alive = is_alive(state.about)
    return "unknown" if alive is None else "running" if alive else "killed"


def _seconds(state: RunState) -> float:
    return (time() if _word(state) == "running" else state.last) - state.begun


def _summary(results: Path, state: RunState) -> str:
    about, word = state.about, _word(state)
    command = join(map(str, about.get("command") or ["snakemake"]))
    process = f"process {about.get('pid')} on {about.get('host')}"
    failed = len(state.in_state("failed"))
    unlock = "" if command.startswith("secondlook") else ", after `snakemake --unlock`"  # which `secondlook run` does
    ways = {
        "running": f"is running ({process})",
        "finished": "has finished",
        "failed": "failed",
        "stopped": "was stopped; the same command goes on",
        "killed": f"was killed ({process} is gone); the same command goes on{unlock}",
        "unknown": f"has not ended, and only its machine can tell whether it still works ({process})",
    }
    failures = f", {counted(failed, 'job')} failed" if failed else ""
    steps = "step" if state.total == 1 else "steps"
    figures = f"{state.done:,} of {state.total:,} {steps} done{failures}, {duration(_seconds(state))}"
    return f"{results}: `{command}` {ways[word]}: {figures}"


def _stages(state: RunState) -> dict[tuple[str, str], dict[str, int]]:
    """Return the jobs of each task and stage by their state; those that were not started wait."""
    planned: Counter[tuple[str, str]] = Counter()
    for (task, rule), number in state.steps.items():
        planned[task, stage_of(rule, task)] += number
    started: dict[tuple[str, str], Counter[str]] = {}
    for job in state.jobs.values():
        started.setdefault((job.task, job.stage), Counter())[job.state] += 1
    rows = {}
    for place in [*planned, *(place for place in started if place not in planned)]:
        if place[0]:  # a target that only collects files belongs to no task
            counts = started.get(place, Counter())
            counts["waiting"] += max(0, planned[place] - counts.total())
            rows[place] = {name: counts[name] for name in _COLUMNS}
    return dict(sorted(rows.items(), key=lambda row: row[0][0]))


def _table(state: RunState) -> Iterator[str]:
    """Yield a line for each task and stage."""
    rows: list[Sequence[str]] = [("task", "stage", *_COLUMNS)]
    rows += [(task, stage, *map(str, counts.values())) for (task, stage), counts in _stages(state).items()]
    if len(rows) == 1:
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        words = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
        numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        yield f"  {'  '.join([*words, *numbers])}".rstrip()


def _headed(state: RunState, slurm: Slurm) -> list[tuple[str, Sequence[Job]]]:
    """Return running and failed jobs under their headings; those of a run that is over were cut off."""
    running = state.in_state("running")
    if _word(state) in {"running", "unknown"}:
        return [("running", running), ("failed", state.in_state("failed"))]
    left = [job for job in running if job.slurm_job and slurm.state_of(job.slurm_job)]
    cut = [job for job in running if job not in left and job.log]
    headings = ("still in the queue of Slurm", "interrupted", "failed")
    return list(zip(headings, (left, cut, state.in_state("failed")), strict=True))


def _described(job: Job, state: RunState, slurm: Slurm) -> Iterator[str]:
    about = [duration((job.ended or time()) - job.since)] if _word(state) == "running" and job.ended is None else []
    about += [f"{job.attempts} attempts"] if job.attempts > 1 else []
    about += [_in_slurm(job, slurm)] if job.slurm_job else []
    yield f"  {', '.join([job.title(with_share=True), *about])}"
    log = state.log_of(job)
    if job.state == "failed":
        sentence = sentence_of(job, state, slurm)
        yield f"    {sentence}"
        yield from (f"    | {line}" for line in last_lines(log, _LAST) if sentence not in line)
        yield f"    {job.log or 'it has no log'}"
    else:
        yield from (f"    {line}" for line in last_lines(log, 1))


def _in_slurm(job: Job, slurm: Slurm) -> str:
    known = slurm.state_of(job.slurm_job or "") if job.state == "running" else ""
    return f"Slurm job {job.slurm_job}" + (f" ({known})" if known else "")


def _record(job: Job, state: RunState, slurm: Slurm) -> dict[str, Any]:
    last = last_lines(state.log_of(job), 1)
    return {
        **{"step": job.title(with_share=True), "rule": job.rule, "task": job.task, "wildcards": dict(job.wildcards)},
        **{"log": job.log, "attempts": job.attempts, "since": job.since, "progress": last[0] if last else None},
        "slurm_job": job.slurm_job,
        "slurm_state": slurm.state_of(job.slurm_job) if job.slurm_job else None,
    }


def _failed_record(job: Job, state: RunState, slurm: Slurm) -> dict[str, Any]:
    record = _record(job, state, slurm)
    del record["progress"], record["slurm_state"]
    lines = last_lines(state.log_of(job), 10 * _LAST)
    return {**record, "sentence": sentence_of(job, state, slurm), "slurm_log": job.slurm_log, "last_lines": lines}
