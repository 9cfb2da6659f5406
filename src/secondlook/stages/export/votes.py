"""The votes of all labelers, aligned with the objects."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from secondlook.io import records

Ballots = Mapping[str, tuple[pa.Array, pa.Array]]
_COLUMNS = ("instance_id", "labeler", "label", "confidence")


class _Column:
    """The votes of a labeler: of each object the position of its label in `names`, -1 for none, and the confidence."""

    def __init__(self, objects: records.ObjectIds) -> None:
        self._covered = records.Covered(objects)
        self._names: dict[str, int] = {}
        self._label = np.full(len(objects), -1, dtype=np.int32)
        self._confidence = np.full(len(objects), np.nan, dtype=np.float32)

    def add(self, path: Path, votes: pa.Table) -> None:
        """Take the votes of a file; of two on an object the first counts."""
        place = self._covered.add(path, votes)[::-1]
        coded = votes["label"].combine_chunks().dictionary_encode()
        number = [self._names.setdefault(name, len(self._names)) for name in coded.dictionary.to_pylist()]
        self._label[place] = np.array([*number, -1])[pc.fill_null(coded.indices, -1).to_numpy()][::-1]
        self._confidence[place] = pc.fill_null(votes["confidence"], np.nan).to_numpy()[::-1]

    def columns(self) -> tuple[pa.Array, pa.Array]:
        """Return labels, as a dictionary, and confidences, null where there is no label."""
        none = self._label < 0
        labels = pa.DictionaryArray.from_arrays(
            pa.array(self._label, mask=none), pa.array(list(self._names), pa.string())
        )
        return labels, pa.array(self._confidence, mask=none | np.isnan(self._confidence))


def read_ballots(paths: Sequence[Path], instance_ids: pa.Array) -> Ballots:
    """Return each labeler's labels and confidences, one each for every object, null if it gave none.

    Labelers keep the order of the files. Raises DataError for a vote on an unknown object, or two by one labeler.
    """
    found: dict[str, _Column] = {}
    ids = records.ObjectIds(instance_ids)
    for path in paths:
        table = records.read(path, records.VOTE, columns=_COLUMNS).replace_schema_metadata(None)
        for labeler in table["labeler"].unique().to_pylist():
            own = table.filter(pc.equal(table["labeler"], labeler))
            found.setdefault(labeler, _Column(ids)).add(path, own)
    return {labeler: column.columns() for labeler, column in found.items()}


def views_of(paths: Sequence[Path]) -> dict[str, str]:
    """Return the view that each labeler was shown, by the metadata of its votes; those without a view are left out."""
    about = [records.made_by(path) for path in paths]
    views = {str(one.get("labeler")): one.get("options", {}).get("view") for one in about}
    return {labeler: view for labeler, view in views.items() if view is not None}
