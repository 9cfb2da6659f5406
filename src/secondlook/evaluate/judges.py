"""Everyone whose labels are compared with the truth: the given labels, each labeler, majority and consensus."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook import records
from secondlook.taxonomy import Taxonomy


@dataclass(frozen=True)
class Objects:
    """The objects with a known truth: `truth`, `given` and `image` are (objects,)."""

    instance_ids: list[str]
    truth: NDArray[np.int64]
    given: NDArray[np.int64]
    picture: NDArray[np.int64]
    pictures: int


@dataclass(frozen=True)
class Judge:
    """A name, its family, and its answers (objects,), -1 where it gave none; `asked` masks the objects scored."""

    name: str
    family: str
    answer: NDArray[np.int64]
    asked: NDArray[np.bool_]


def load_objects(instances: Path, taxonomy: Taxonomy) -> Objects:
    """Read the objects that have a truth."""
    table = records.read(instances, records.INSTANCE)
    table = table.filter(table["truth"].is_valid())
    image_ids = table["image_id"].to_pylist()
    position = {image_id: index for index, image_id in enumerate(dict.fromkeys(image_ids))}
    return Objects(
        table["instance_id"].to_pylist(),
        _positions(table["truth"], taxonomy),
        _positions(table["given"], taxonomy),
        np.array([position[image_id] for image_id in image_ids], dtype=np.int64),
        len(position),
    )


def load_judges(objects: Objects, votes: Sequence[Path], consensus: Path, taxonomy: Taxonomy) -> list[Judge]:
    """Return given, each labeler, majority, consensus over all objects, and consensus over accepted ones."""
    everyone = np.ones(len(objects.instance_ids), dtype=np.bool_)
    judges = [Judge("given", "given", objects.given, everyone)]
    by_labeler: dict[str, list[Path]] = {}
    for path in votes:
        by_labeler.setdefault(str(records.made_by(path)["labeler"]), []).append(path)
    for name, paths in by_labeler.items():
        family = str(records.made_by(paths[0])["family"])
        answer = _answers(objects, records.read_many(paths, records.VOTE), taxonomy)
        judges.append(Judge(name, family, answer, everyone))
    majority = records.read(records.majority_beside(consensus), records.DECISION)
    judges.append(Judge("majority", "", _answers(objects, majority, taxonomy), everyone))
    decisions = records.read(consensus, records.DECISION)
    answer = _answers(objects, decisions, taxonomy)
    judges.append(Judge("consensus", "", answer, everyone))
    judges.append(Judge("consensus, accepted", "", answer, _accepted(objects, decisions)))
    return judges


def _answers(objects: Objects, table: pa.Table, taxonomy: Taxonomy) -> NDArray[np.int64]:
    said = dict(zip(table["instance_id"].to_pylist(), _positions(table["label"], taxonomy).tolist(), strict=True))
    return np.array([said.get(instance_id, -1) for instance_id in objects.instance_ids], dtype=np.int64)


def _accepted(objects: Objects, decisions: pa.Table) -> NDArray[np.bool_]:
    action = dict(zip(decisions["instance_id"].to_pylist(), decisions["action"].to_pylist(), strict=True))
    accepted = [action.get(instance_id) in records.ACCEPTED for instance_id in objects.instance_ids]
    return np.array(accepted, dtype=np.bool_)


def _positions(column: pa.ChunkedArray, taxonomy: Taxonomy) -> NDArray[np.int64]:
    position = {name: index for index, name in enumerate(taxonomy.classes)}
    return np.array([position.get(name, -1) for name in column.to_pylist()], dtype=np.int64)
