"""`secondlook check`: is the config valid, which tasks does it name, and by which troubles would their run end?"""

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from secondlook.base.errors import UsageError
from secondlook.base.shipped import shipped
from secondlook.base.text import counted
from secondlook.config.overlays import read_task
from secondlook.config.root import Config
from secondlook.config.task import Task, task_path
from secondlook.io import records
from secondlook.io.groups import leaks
from secondlook.io.surveys import Survey
from secondlook.workflow import checks, vlm_ids
from secondlook.workflow.amounts import amount_of, unread
from secondlook.workflow.checks.data import missing
from secondlook.workflow.checks.executors import executor
from secondlook.workflow.checks.findings import Asked, DataReader, Finding
from secondlook.workflow.config_files import ConfigFiles
from secondlook.workflow.job_groups import JobGroup
from secondlook.workflow.out_of_fold import described
from secondlook.workflow.pipeline import Added, Pipeline
from secondlook.workflow.plan import rules_of, tasks_of
from secondlook.workflow.run import Run
from secondlook.workflow.verdicts import excess, kinds_of_models, parts_for, refuse, way_out
from secondlook.workflow.weights import absent


@dataclass(frozen=True)
class Request:
    """What to check: the tasks and pipelines of a config by name, those of the config where none is named.

    `profile` is that of Snakemake by which the jobs will run. `with_data`: read their datasets.
    """

    config: ConfigFiles
    names: Sequence[str] = ()
    profile: str | None = None
    with_data: bool = False


@dataclass(frozen=True)
class Report:
    """The description of a config, facts on the asked tasks by name, and what the checks found."""

    description: str
    tasks: Mapping[str, Mapping[str, Any]]
    findings: Sequence[Finding]

    @property
    def troubles(self) -> list[Finding]:
        """The findings by which a run would end."""
        return [one for one in self.findings if one.weight == "trouble"]

    @property
    def text(self) -> str:
        """The description, what was read of the datasets, and the notes."""
        notes = [one for one in self.findings if one.weight == "note"]
        counts = [line for name, facts in self.tasks.items() for line in _counts(name, facts.get("data"))]
        return "\n".join([self.description, *counts, *(f"note: {_said(one)}" for one in notes)])

    @property
    def complaint(self) -> str:
        """The troubles, a line for each."""
        return "\n".join(f"{_said(one).rstrip('.')}." for one in self.troubles)

    @property
    def json(self) -> str:
        """The same, with the troubles, as a JSON document."""
        listed = {weight: [_as_json(one) for one in self.findings if one.weight == weight] for weight in _WEIGHTS}
        document = {"valid": True, "complaints": [], "tasks": self.tasks}
        return json.dumps({**document, "notes": listed["note"], "troubles": listed["trouble"]}, indent=2)


_WEIGHTS = ("note", "trouble")


def invalid_json(error: UsageError) -> str:
    """Return the JSON document on a config that is invalid, or whose jobs could never end."""
    document: dict[str, Any] = {"valid": False, "complaints": str(error).splitlines(), "tasks": {}}
    return json.dumps({**document, "notes": [], "troubles": []}, indent=2)


def _said(finding: Finding) -> str:
    return f"{finding.of}: {finding.message}" if finding.of else finding.message


def _as_json(finding: Finding) -> dict[str, Any]:
    return {"task": finding.of, "kind": finding.kind, "message": finding.message}


def _counts(name: str, data: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield what was read of the dataset of a task."""
    if data is None:
        return
    by_class = ", ".join(f"{label} {count}" for label, count in data["by_class"].items())
    without = f", {data['unlabelled']} without a label" if data["unlabelled"] else ""
    reference = f"; {sum(data['reference'].values())} reference objects" if data["reference"] else ""
    yield f"data of {name}: {counted(data['objects'], 'object')} ({by_class}){without}{reference}"
    for what, counts in (("rejects", data["rejects"]), ("labels that match no class", data["unmatched"])):
        if counts:
            yield f"  {what}: {', '.join(f'{label} {count}' for label, count in counts.items())}"


def report(request: Request, reader: DataReader, pipelines: Sequence[Pipeline] = ()) -> Report:
    """Check a config, and look for what would end the run of the asked tasks and pipelines.

    Raises UsageError with a line per bad key in the config and in its task files.
    """
    with unread() as sentences:
        run = _load(request.config, request.names, pipelines)
        found = _report(run, request, reader, pipelines)
    told = {one.of for one in found.troubles if one.kind == "data"}
    uncounted = [Finding("data", task, sentences[task]) for task in found.tasks if task in sentences.keys() - told]
    return replace(found, findings=[*uncounted, *found.findings])


def _report(run: Run, request: Request, reader: DataReader, pipelines: Sequence[Pipeline]) -> Report:
    names, rules = request.names, rules_of(pipelines)
    description = _description(run, request.config, names, pipelines)
    tasks = [*dict.fromkeys(task for name in names for task in tasks_of(run, name, rules))] if names else [*run.names]
    named = [pipeline for pipeline in pipelines if pipeline.name in names]
    kinds = kinds_of_models(run, tasks)
    asked = Asked(run, tasks, kinds, reader, named, executor(request.profile), request.with_data)
    found = checks.all_of(asked)
    return Report(description, {task: _facts(asked, task) for task in tasks}, found)


def _facts(asked: Asked, task: str) -> dict[str, Any]:
    """Return the facts of a task for scripts."""
    run, amount, survey = asked.run, amount_of(asked.run, task), asked.surveys.get(task)
    facts = {
        "file": str(run.task_files[task]),
        "classes": [*run.tasks[task].classes],
        "labelers": [*run.tasks[task].labelers],
        "shards": run.splits[task],
        "objects": amount.objects,
        "counted": amount.counted and amount.objects is not None,
        "rehearsal": run.tasks[task].rehearsal is not None,
    }
    return {**facts, "data": asdict(survey)} if isinstance(survey, Survey) else facts


def check_all(config: Path, names: Sequence[str] = (), pipelines: Sequence[Pipeline] = ()) -> str:
    """Return a description of the config; raise UsageError with a line per bad key in it and in its task files.

    Jobs are judged, and refused where they could never end, of the tasks of the config, or of those that `names` choose
    (tasks, and pipelines that add tasks). Without names, pipelines are only described.
    """
    files = ConfigFiles.over(config)
    return _description(_load(files, names, pipelines), files, names, pipelines)


def _load(config: ConfigFiles, names: Sequence[str], pipelines: Sequence[Pipeline]) -> Run:
    """Read a config; raise UsageError with all complaints on it and on its task files."""
    complaints: list[str] = []
    parsed = _collect(complaints, config)
    for name in parsed.tasks if parsed else []:
        try:
            read_task(task_path(name))
        except UsageError as error:
            complaints.append(str(error))
    if complaints:
        raise UsageError("\n".join(complaints))
    return Run.load(config, pipelines, names)


def _description(run: Run, config: ConfigFiles, names: Sequence[str], pipelines: Sequence[Pipeline]) -> str:
    shown = names or _of_the_user(config, pipelines)
    chosen = [pipeline for pipeline in pipelines if pipeline.name in shown]
    needs = _needs(run)
    lines = [f"{config.name}: valid", *_judged(run, names, rules_of(pipelines), needs)]
    for pipeline in chosen:
        lines.extend(pipeline.describe(run))
        lines.extend(f"for `snakemake {pipeline.name}`: {line}" for line in _of_pipeline(run, pipeline.name, needs))
    lines.append("`secondlook plan` counts the jobs and estimates their cost")
    return "\n".join(lines)


def _of_the_user(config: ConfigFiles, pipelines: Sequence[Pipeline]) -> list[str]:
    """Return the pipelines but those whose section is only in the shipped config, which another one extends."""
    places = config.document().places
    below = {key[0] for key, place in places.items() if len(key) == 1 and place.file == str(shipped("config.yaml"))}
    return [pipeline.name for pipeline in pipelines if pipeline.name not in below]


def _needs(run: Run) -> dict[str | None, list[JobGroup]]:
    """Return the kinds of jobs of the tasks of the config (None), and of those that each pipeline adds."""
    added = {name: tuple(more.tasks) for name, more in run.added.items() if isinstance(more, Added)}
    return {None: kinds_of_models(run, run.names), **{name: kinds_of_models(run, of) for name, of in added.items()}}


def _kept(run: Run, needs: Mapping[str | None, list[JobGroup]], but: str | None) -> int:
    """Return the parts that the others need: there is one number of shards for all."""
    return max([1, *(parts_for(kinds, run.config) for name, kinds in needs.items() if name != but and kinds)])


def _of_pipeline(run: Run, name: str, needs: Mapping[str | None, list[JobGroup]]) -> Iterator[str]:
    kinds = needs.get(name, [])
    yield from excess(kinds, run.config)
    yield from way_out(kinds, run.config, keep=_kept(run, needs, name))


def _judged(
    run: Run, names: Sequence[str], rules: Set[str], needs: Mapping[str | None, list[JobGroup]]
) -> Iterator[str]:
    """Yield the lines on the chosen tasks, without those that a pipeline describes; raise UsageError as `refuse`."""
    judged = dict.fromkeys(task for name in names for task in tasks_of(run, name, rules)) if names else run.names
    known = {kind.task: kind for kinds in needs.values() for kind in kinds}
    kinds = [kind for group in needs.values() for kind in group if kind.task in judged]
    kinds += kinds_of_models(run, [task for task in judged if task not in known])
    refuse(run, [*judged], kinds)
    described_later = {task for name in names if name in run.added for task in run.of_pipeline(name).names}
    shown = [task for task in judged if task not in described_later]
    kinds = [kind for kind in kinds if kind.task in shown]
    for name in shown:
        yield from _describe(run, name, run.tasks[name])
        yield from (f"  {line}" for line in excess([kind for kind in kinds if kind.task == name], run.config))
    yield from (f"limits: {setting}" for setting in way_out(kinds, run.config, keep=_kept(run, needs, None)))


def notes(run: Run, task: str) -> list[str]:
    """Return the remarks on the labelers of a task, each remark once."""
    labelers_of: dict[str, list[str]] = {}
    labelers = run.labelers_of(task)
    for labeler in labelers.names:
        if remark := labelers[labeler].remark:
            labelers_of.setdefault(remark, []).append(labeler)
    for name, sentence in vlm_ids.remarks(labelers.config, labelers.names):
        labelers_of.setdefault(sentence, []).append(name)
    return [f"  {', '.join(labelers)}: {note}" for note, labelers in labelers_of.items()]


def _collect(complaints: list[str], config: ConfigFiles) -> Config | None:
    try:
        return config.checked()
    except UsageError as error:
        complaints.append(str(error))
        return None


def _describe(run: Run, name: str, task: Task) -> list[str]:
    lines = [
        f"task {name} ({run.task_files[name]}): {len(task.classes)} classes, {len(task.labelers)} labelers, "
        f"{counted(run.splits[name], 'shard')}",
    ]
    if task.rehearsal is not None:
        lines.append(f"  a rehearsal: {100 * task.rehearsal.wrong_fraction:g} % of the given labels are made wrong")
    lines += described(run, name)
    lines += notes(run, name)
    lines += [f"  missing: {path}; {hint}" for path, hint in missing(run, name)]
    lines += [f"  missing: {name}; {hint}" for name, hint in absent(run, name)]
    lines += leakage(run, name)
    return lines


def leakage(run: Run, name: str) -> Iterator[str]:
    """Yield, once the groups of a task are known, how many judged objects are too close to the reference."""
    groups, instances = Path(run.files.groups(name)), Path(run.files.folder(name)) / "ingest" / "instances.parquet"
    if not (groups.is_file() and instances.is_file()):
        return
    found = leaks(groups, instances, records.reference_beside(instances))
    shares = (
        f"{found.shared} of {found.judged} judged objects ({found.fraction:.1%}) have a part of their group or track "
        "in what labelers learned from"
    )
    if found.shared:
        shares += (
            ": labelers look better on them than they are; set `group_by` of the dataset so that they are not split, "
            "or `own: out_of_fold` of the reference"
        )
    yield f"  leakage: {shares}"
