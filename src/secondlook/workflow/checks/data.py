"""Is the data of the tasks there, can it be read, and do its labels mean classes of the task?"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.base.text import counted
from secondlook.config.task import Dataset
from secondlook.io import packed
from secondlook.io.surveys import Glance, Survey
from secondlook.workflow.checks import references
from secondlook.workflow.checks.findings import Asked, Finding
from secondlook.workflow.run import DEMO, Run

_QUICKLY_READ = 200_000_000  # bytes of an annotation file, which take a second or two
_SHOWN = 5


def look(asked: Asked) -> Iterator[Finding]:
    """Yield what is missing, what cannot be read, and labels that are no class."""
    for task in asked.tasks:
        yield from (Finding("data", task, f"{path} is missing; {hint}") for path, hint in missing(asked.run, task))
        survey = asked.surveys.get(task)
        if isinstance(survey, str):
            yield Finding("data", task, survey)
        elif survey is not None and survey.stops is not None:
            yield _stopped(task, survey)
        else:
            yield from _glanced(asked, task, is_read=survey is not None)
        if isinstance(survey, Survey):
            yield from _of_survey(task, survey)
            if survey.stops is None:
                yield from references.too_little(asked, task, survey.by_class, survey.reference)
    for pipeline in asked.pipelines:
        for path in pipeline.data(asked.run):
            if not Path(path).exists():
                message = f"{path} is missing; put the data there, or correct `{pipeline.name}` in the config"
                yield Finding("data", pipeline.name, message)


def missing(run: Run, name: str) -> Iterator[tuple[str, str]]:
    """Yield each missing path of a task, with the way to get it; the demo draws its own."""
    task = run.tasks[name]
    drawn = set(run.data.paths(DEMO)) if DEMO in run.tasks else set()
    for dataset in (task.dataset, *task.reference.sources):
        for path in (dataset.path, dataset.truth, dataset.images):
            if path is not None and path not in drawn and not Path(path).exists():
                fetched = [entry for entry in task.fetch if path in run.data.brought(entry, name)]
                bring = f"`secondlook fetch {' '.join(fetched)}` downloads it" if fetched else dataset.obtain
                yield path, bring or f"put the data there, or correct the path in {run.task_files[name]}"


def _stopped(task: str, survey: Survey) -> Finding:
    """Return the trouble that `ingest` would stop."""
    labels = {**survey.unmatched, **survey.reference_unmatched}
    of_labels = bool(labels) and 2 * survey.rejects.get("unknown_class", 0) >= sum(survey.rejects.values())
    message = str(survey.stops).rstrip(".")
    if labels:
        message += f"; labels that match no class: {_listed(labels)}; {_ALIASES}"
    return Finding("classes" if of_labels else "data", task, message)


def _of_survey(task: str, survey: Survey) -> Iterator[Finding]:
    """Yield notes on a dataset that was read."""
    there = [name for name, count in survey.by_class.items() if count]
    if survey.unmatched and survey.stops is None:
        message = f"labels that match no class: {_listed(survey.unmatched)}; {_ALIASES}"
        yield Finding("classes", task, message, "note")
    if len(there) == 1 and len(survey.by_class) > 1:
        yield Finding("classes", task, f"all objects with a label are `{there[0]}`", "note")
    absent = [name for name, count in survey.by_class.items() if not count]
    if len(there) > 1 and absent:
        yield Finding("classes", task, f"no object is labelled {_some(absent)}", "note")
    untaught = [name for name in survey.by_class if name not in survey.reference]
    if survey.reference and untaught:
        yield Finding("reference", task, f"the reference has no object of {_some(untaught)}", "note")


_ALIASES = "make them aliases of the classes that they mean, or correct `label_from` or `select`"


def _glanced(asked: Asked, task: str, *, is_read: bool) -> Iterator[Finding]:
    """Yield what the first entries of the datasets show."""
    spec, glances, path = asked.run.tasks[task], list[Glance](), ""
    for dataset in (spec.dataset, *spec.reference.sources):
        path = dataset.path
        if not Path(path).exists() or (dataset.images is not None and not Path(dataset.images).exists()):
            continue
        if _is_large(Path(path)):
            yield from _of_large(task, dataset)
            continue
        try:
            glance = asked.reader.glance(task, spec, dataset, asked.ingest_options(task))
        except (DataError, OSError) as error:
            yield Finding("data", task, str(error))
            continue
        glances.append(glance)
        yield from _of_images(task, glance)
        may_lack = dataset is spec.dataset and spec.unknown_labels == "keep_unlabelled"
        yield from _of_labels(task, dataset, glance, may_lack=may_lack)
    whole = len(glances) == 1 + len(spec.reference.sources) and all(one.whole for one in glances)
    rejects = spec.unknown_labels == "reject"
    if whole and (not rejects or all(one.matched for one in glances)):
        yield from _of_shares(task, glances, asked.config(task).ingest.max_reject_fraction, unknown_rejected=rejects)
    if whole and not is_read and not spec.reference.own_fraction and glances[0].matched:
        sources = sum((Counter(one.by_class) for one in glances[1:]), Counter[str]())
        yield from references.too_little(asked, task, glances[0].by_class, sources)


def _of_images(task: str, glance: Glance) -> Iterator[Finding]:
    if not glance.lost:
        return
    first = f"the first: {glance.first_lost}"
    if glance.lost == glance.looked_for:
        images = f"none of the {glance.looked_for} images looked for" if glance.lost > 1 else "not the first image"
        message = f"{glance.path}: {images} can be used; {first}; correct `images` of the dataset, or put them there"
        yield Finding("data", task, message)
    else:
        message = f"{glance.path}: {glance.lost} of {glance.looked_for} images cannot be used; {first}"
        yield Finding("data", task, message, "note")


def _of_labels(task: str, dataset: Dataset, glance: Glance, *, may_lack: bool) -> Iterator[Finding]:
    of = f"{glance.path}:{'' if glance.whole else f' of the first {glance.entries} entries'}"
    if glance.whole and not glance.selected:
        yield Finding("data", task, f"{of} {_nothing(glance)}")
    elif glance.selected and not glance.labelled and dataset.label_from is not None:
        message = f"{of} no object has the attribute `{dataset.label_from}`; correct `label_from`"
        yield Finding("classes", task, message)
    elif glance.labelled and not glance.matched and glance.unmatched:
        message = f"{of} no label matches a class: {_listed(glance.unmatched)}; {_ALIASES}"
        yield Finding("classes", task, message, "note" if may_lack else "trouble")


def _nothing(glance: Glance) -> str:
    """Say why no object is left."""
    if not glance.entries:
        return "it has no object; correct `path` of the dataset"
    if glance.refused == glance.entries:
        return f"none of its {counted(glance.entries, 'object')} can be read; the first: {glance.first_refused}"
    return f"none of its {counted(glance.entries - glance.refused, 'object')} is selected; correct `select`"


def _of_shares(task: str, glances: list[Glance], limit: float, *, unknown_rejected: bool) -> Iterator[Finding]:
    """Yield what will be refused, for its label or for another reason: as a trouble where `ingest` would stop."""
    labels = sum((Counter(one.unmatched) for one in glances), Counter[str]()) if unknown_rejected else Counter[str]()
    unknown, spoilt = labels.total(), sum(one.spoilt + one.lost_objects for one in glances)
    objects = sum(one.selected for one in glances) + sum(min(one.spoilt, one.refused) for one in glances)
    allows = f"more than `ingest.max_reject_fraction` ({limit:.1%}) allows"
    if unknown:
        share = f"{unknown} of {objects} objects ({unknown / objects:.1%}) have a label that matches no class"
        if unknown / objects > limit:
            yield Finding("classes", task, f"{share}, {allows}: {_listed(labels)}; {_ALIASES}")
        else:
            yield Finding("classes", task, f"{share}: {_listed(labels)}", "note")
    too_many = spoilt / max(1, objects) > limit or unknown / max(1, objects) <= limit < (unknown + spoilt) / objects
    if spoilt and not any(one.lost and one.lost == one.looked_for for one in glances):
        first = next(one.first_spoilt or one.first_lost for one in glances if one.spoilt or one.lost_objects)
        share = f"{spoilt} of {objects} objects ({spoilt / objects:.1%}) will be refused"
        others = f" ({unknown + spoilt} with those of labels that match no class)" if unknown else ""
        if too_many:
            message = f"{share}{others}, {allows}; the first: {first}; put the images there, correct the annotations"
            yield Finding("data", task, f"{message}, or raise the limit")
        elif not any(one.lost for one in glances):  # else a note tells of the images
            yield Finding("data", task, f"{share}; the first: {first}", "note")


def _is_large(path: Path) -> bool:
    return path.is_file() and not packed.is_archive(path) and path.stat().st_size > _QUICKLY_READ


def _of_large(task: str, dataset: Dataset) -> Iterator[Finding]:
    """Yield what is seen without reading a large annotation file: whether its images are there at all."""
    folder = Path(dataset.images or Path(dataset.path).parent)
    if folder.is_dir() and not any(islice(folder.iterdir(), 1)):
        yield Finding("data", task, f"{folder} is empty; put the images there, or correct `images` of the dataset")
    size = Path(dataset.path).stat().st_size / 1e6
    yield Finding("data", task, f"{dataset.path} has {size:.0f} MB and was not read; `--data` does that", "note")


def _listed(labels: Mapping[str, int]) -> str:
    shown = sorted(labels.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {counted(len(shown) - _SHOWN, 'more label')}" if len(shown) > _SHOWN else ""
    return ", ".join(f"`{label}` {count}" for label, count in shown[:_SHOWN]) + more


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:_SHOWN]) + more
