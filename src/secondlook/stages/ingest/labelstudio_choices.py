"""Label Studio's choices for whole images: the labels of objects that fill them, where nothing is drawn at all."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from secondlook.base.text import legible
from secondlook.io.jsonfile import Items
from secondlook.io.records import RefusedError
from secondlook.stages.ingest.shapes import stated_size
from secondlook.stages.ingest.source import SourceObject, to_text

_DRAWN = {"x", "points", "rle", "vertices"}


@dataclass(frozen=True)
class ImageChoices:
    """The choices in tasks; `label_from` names the control whose choice is the label."""

    tasks: Items
    label_from: str | None

    @cached_property
    def controls(self) -> frozenset[str]:
        """The controls that choices come from; none where a task has anything drawn, which choices then describe."""
        found: set[str] = set()
        for result in self._results():
            value = result.get("value")
            keys = value.keys() if isinstance(value, dict) else set()
            if keys & _DRAWN:
                return frozenset()
            if "choices" in keys:
                found.add(str(result.get("from_name")))
        return frozenset(found)

    def _results(self) -> Iterator[dict[str, Any]]:
        for task in self.tasks:
            annotations = (task.get("annotations") or task.get("completions")) if isinstance(task, dict) else None
            for annotation in annotations if isinstance(annotations, list) else ():
                results = annotation.get("result") if isinstance(annotation, dict) else None
                yield from filter(_is_mapping, results if isinstance(results, list) else ())

    def whole(self, group: list[dict[str, Any]], source_id: str, image: str) -> SourceObject | None:
        """Return the object that fills an image from one of its choices; None where they are no labels.

        Raises RefusedError where several controls may be meant and none is named.
        """
        chosen = {str(result.get("from_name")): _chosen(result) for result in group if _chosen(result)}
        if not chosen or not self.controls:
            return None
        if self.label_from is None and len(self.controls) > 1:
            shown = ", ".join(sorted(self.controls))
            raise RefusedError(
                "not_selected", f"images have choices of {shown}; name the label among them: `label_from`"
            )
        wanted = self.label_from or next(iter(self.controls))
        if wanted not in chosen:
            raise RefusedError("not_selected", f"the choice is one of {', '.join(chosen)}, not of `{wanted}`")
        labels = chosen[wanted]
        return SourceObject(
            source_id=source_id,
            image=image,
            box_xywh=None,
            label=labels[0],
            category=labels[0],
            stated_size=stated_size(group[0].get("original_width"), group[0].get("original_height")),
            attributes=to_text({"labels": ", ".join(labels)} if len(labels) > 1 else {}),
        )


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _chosen(result: dict[str, Any]) -> list[str]:
    value = result.get("value")
    choices = value.get("choices") if isinstance(value, dict) else None
    return [legible(str(choice)) for choice in choices] if isinstance(choices, list) else []
