"""The votes of each model on every object, as the runs of arXiv 2508.02047 listed them; for formats that hold votes.

A model that was shown objects in several views is one ballot with an answer for each view, in a fixed order.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from secondlook.base.types import View
from secondlook.io import standing
from secondlook.stages.export.corrected import Corrected, Rows

_VIEWS: tuple[str, ...] = get_args(View)
_COLUMNS = ("image", "truth", "given", "given_raw", "action")


@dataclass(frozen=True)
class Row:
    """An object: the name of its image, its class and the answers of a model to it; None for none.

    `known`: the label is a class of the task.
    """

    image: str
    label: str | None
    answers: tuple[str | None, ...]
    known: bool


def models_of(corrected: Corrected) -> dict[str, tuple[str | None, ...]]:
    """Return the labelers of each model by its name: those of the views `crop`, `box` and `cutout`, None for no vote.

    `a_crop` and `a_box` are views of the model `a`. A labeler without a view is a model of its own.
    """
    views = corrected.views
    stems = {labeler: labeler.removesuffix(f"_{view}") for labeler, view in views.items()}
    taken = Counter((stems[labeler], view) for labeler, view in views.items())
    models: dict[str, dict[str, str]] = {}
    for labeler in corrected.labelers:
        view = views.get(labeler)
        clashes = (
            view is None or taken[stems[labeler], view] > 1 or stems[labeler] in set(corrected.labelers) - {*views}
        )
        models.setdefault(labeler if clashes else stems[labeler], {})[view or ""] = labeler
    return {model: _in_order(by_view) for model, by_view in models.items()}


def file_name(model: str) -> str:
    """Return the name of the file of a model, without its ending."""
    return model.replace("/", "_")


def _in_order(by_view: Mapping[str, str]) -> tuple[str | None, ...]:
    return (by_view[""],) if "" in by_view else tuple(by_view.get(view) for view in _VIEWS)


def rows_of(corrected: Corrected, labelers: Sequence[str | None], rows: Rows | None = None) -> Iterator[Row]:
    """Yield every object that was judged, in the order of the export or of `rows`; those of the reference were not."""
    votes = [None if labeler is None else f"vote_{labeler}" for labeler in labelers]
    classes = set(corrected.taxonomy.classes)
    for batch in corrected.batches([*_COLUMNS, *filter(None, votes)], rows):
        columns = [batch[name].to_pylist() for name in _COLUMNS]
        answers = zip(
            *([None] * len(batch) if name is None else batch[name].to_pylist() for name in votes), strict=True
        )
        for image, truth, given, raw, action, said in zip(*columns, answers, strict=True):
            if action != standing.OF_REFERENCE:
                label = truth or given or raw
                yield Row(image, label, said, label in classes)
