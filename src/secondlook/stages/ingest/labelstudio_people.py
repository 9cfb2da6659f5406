"""Label Studio's JSON export by person: every annotation of every task counts, not one for each task as in a dataset.

Of several annotations of one person on a task the last one counts, and one that was cancelled only where there is no
other. The id of a region is put among its notes: it is that of a prediction which became an annotation unchanged.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from secondlook.config.task import Dataset
from secondlook.io import jsonfile
from secondlook.io.records import RefusedError
from secondlook.stages.ingest.image_names import ImageNames
from secondlook.stages.ingest.labelstudio import entries, images_in
from secondlook.stages.ingest.labelstudio_choices import ImageChoices
from secondlook.stages.ingest.source import Entries, Submission

REGION = "region_id"  # the attribute that holds the id of a region
_NOBODY, _DRAFT, _SKIPPED = "nobody annotated its task", "its task has a draft that is not submitted", "skipped"
Task = dict[str, Any]


def submissions(dataset: Dataset) -> Iterator[Submission]:
    """Yield what each person submitted for each task; images keep the names that they have in the tasks."""
    seen: set[str] = set()
    for place, task in enumerate(jsonfile.read_items(Path(dataset.path), "tasks")):
        number = f"{task.get('id', f'#{place}')}" if isinstance(task, dict) else f"#{place}"
        image = next(iter(images_in(task.get("data")).values()), None) if isinstance(task, dict) else None
        if number in seen:
            detail = f"task {number} was listed before"
            yield Submission(iter([RefusedError("duplicate_id", detail, image, f"task {number}")]))
        elif image is None:
            yield Submission(_read(task))
        else:
            yield from _of_task(task, number, image)
        seen.add(number)


def _of_task(task: Task, number: str, image: str) -> Iterator[Submission]:
    listed = _list(task.get("annotations") or task.get("completions"))
    people: dict[str | None, list[Task]] = {}
    for annotation in listed:
        if isinstance(annotation, dict):
            people.setdefault(_person(annotation), []).append(annotation)
    if listed and not people:
        yield Submission(_read(task))  # ids of annotations only
    elif not people:
        why = _DRAFT if _list(task.get("drafts")) else _NOBODY
        yield Submission(iter(()), image=image, unanswered=why)
    for person, own in people.items():
        yield from _of_person(task, person, sorted(own, key=_order), (number, image))


def _of_person(
    task: Task, person: str | None, annotations: Sequence[Task], place: tuple[str, str]
) -> Iterator[Submission]:
    """Yield the last of the annotations of one person on a task, and a refusal for each of the others."""
    *others, last = annotations
    number, image = place
    if last.get("was_cancelled"):
        yield Submission(iter(()), person, _time(last), image, _SKIPPED)
    else:
        results = [_with_its_id(result) for result in _list(last.get("result"))]
        single = {**task, "annotations": [{**last, "result": results}]}
        yield Submission(_read(single), person, _time(last), image)
    for other in others:
        what = f"task {number}, annotation {other.get('id')}"
        detail = "cancelled" if other.get("was_cancelled") else "a later annotation of the same person counts"
        yield Submission(iter([RefusedError("not_selected", detail, image, what)]), person, _time(other))


def _read(task: Any) -> Entries:
    tasks, as_stated = jsonfile.Items([task]), ImageNames(Path(), listed=())
    return entries(tasks, as_stated, ImageChoices(tasks, None))


def _order(annotation: Task) -> tuple[bool, str, str]:
    return not annotation.get("was_cancelled"), _time(annotation) or "", str(annotation.get("id")).zfill(20)


def _time(annotation: Task) -> str | None:
    stated = annotation.get("updated_at") or annotation.get("created_at")
    return stated if isinstance(stated, str) else None


def _person(annotation: Task) -> str | None:
    """Return the mail address of who completed an annotation, or the number where the export has only that."""
    stated = annotation.get("completed_by")
    if isinstance(stated, dict):
        stated = stated.get("email") or stated.get("id")
    return None if stated is None else str(stated)


def _with_its_id(result: Any) -> Any:
    if not isinstance(result, dict) or "id" not in result:
        return result
    meta = result["meta"] if isinstance(result.get("meta"), dict) else {}
    return {**result, "meta": {**meta, "text": [*_list(meta.get("text")), f"{REGION}: {result['id']}"]}}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
