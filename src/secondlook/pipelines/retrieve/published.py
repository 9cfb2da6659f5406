"""Step `complete` without a model: labels that others completed, such as the files that A3R released."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import files, tabular
from secondlook.pipelines.retrieve import augmented
from secondlook.pipelines.retrieve.augmented import Completed, changed_slot
from secondlook.pipelines.retrieve.complete import SLOTS, Completion, Labelled, no_doubts
from secondlook.pipelines.retrieve.index import as_rejects
from secondlook.pipelines.retrieve.track import Refusal


def complete(rows: Sequence[Labelled], labels: Path, rejects: Path) -> Completion:
    """Complete vehicle rows as a file says; rows that it does not name stay as they are.

    Rows of the file that cannot be read, that have no image here or contradict the label there go to `rejects`. Raises
    DataError where none is left. No model is asked, so there is no accuracy, and no label looks wrong.
    """
    found, refused = augmented.read_augmented(labels)
    here = {row.image: row for row in rows}
    wrong = {row.image: refusal for row in found if (refusal := _refusal(row, here.get(row.image)))}
    files.write_text(rejects, tabular.to_csv(as_rejects([*refused, *wrong.values()])))
    taken = {row.image: row for row in found if row.image not in wrong}
    if not taken:
        raise DataError(f"{labels}: completes no label of the training split; {rejects} says why for each row.")
    progress.say(
        f"retrieve: {len(taken)} of {len(rows)} vehicle labels are in {labels}; "
        f"{len(refused) + len(wrong)} rows of it are refused, each with its reason in {rejects}"
    )
    nothing = pd.DataFrame([{"slot": slot, "n": 0} for slot in SLOTS])
    return Completion(augmented.as_table([_filled(row, taken.get(row.image)) for row in rows]), nothing, no_doubts())


def _refusal(row: Completed, label: Labelled | None) -> Refusal | None:
    if label is None:
        return Refusal(row.line, "no_image", f"{row.image} is no vehicle of the training split", row.written.rstrip())
    if changed := changed_slot(label.known, row.completed):
        detail = f"`{row.completed.phrase}` does not keep the {changed} of the label `{label.known.phrase}`"
        return Refusal(row.line, "changed_label", detail, row.written.rstrip())
    return None


def _filled(row: Labelled, completed: Completed | None) -> Completed:
    """Return the row of a label as it is completed; one that is not has no line."""
    if completed is None:
        return Completed(0, row.image, row.known, row.text, row.known, "")
    return replace(completed, known=row.known, text=row.text)
