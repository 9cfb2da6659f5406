"""All methods whose labels are compared with the truth: given labels, labelers, people, majority and consensus."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.io import records, standing
from secondlook.stages.evaluate.objects import TRUTH, Objects
from secondlook.stages.evaluate.remerge import Places, Remerge
from secondlook.stages.evaluate.scores import TruthAndAnswers
from secondlook.stats.consensus.accept import UNSEEN
from secondlook.stats.consensus.votes import GIVEN


@dataclass(frozen=True)
class Method:
    """A name, its family, and its answers (objects,), -1 where it gave none; `scored` masks the objects that count."""

    name: str
    family: str
    answer: NDArray[np.signedinteger[Any]]
    scored: NDArray[np.bool_]

    def on(self, objects: Objects, among: NDArray[np.bool_] | None = None) -> TruthAndAnswers:
        """Return its answers to the scored objects with truth, or to those in `among`."""
        with_truth = objects.with_truth
        chosen = self.scored[with_truth.rows] if among is None else (self.scored & among)[with_truth.rows]
        answers = TruthAndAnswers(objects.known_truth, self.answer[with_truth.rows], with_truth.group)
        return answers if chosen.all() else answers.of(chosen)


def load_methods(places: Places, objects: Objects, committee: Remerge) -> list[Method]:
    """Return given, each labeler, each person, majority; last, consensus over all objects and over accepted ones."""
    everyone = np.ones(len(objects.truth), dtype=np.bool_)
    labels = committee.everyone.labels
    classes = records.taxonomy_of(places.instances).classes
    methods = [Method(GIVEN, GIVEN, objects.given, everyone)]
    for index, name in enumerate(committee.votes.labelers):
        if name != GIVEN:
            own = committee.everyone.asked_about(index)
            methods.append(Method(name, committee.votes.families[index], labels[index], own))
    if places.reviewed is not None and objects.against == TRUTH:
        methods += _people(places.reviewed, objects, classes)
    majority = standing.decisions_on(objects.instance_ids, records.majority_beside(places.consensus), ["label"])
    methods.append(Method("majority", "", records.class_positions(majority["label"], classes), everyone))
    label, accepted, _ = consensus_of(places.consensus, objects, committee, classes)
    methods.append(Method("consensus", "", label, everyone))
    methods.append(Method("consensus, accepted", "", label, accepted))
    return methods


def consensus_of(
    consensus: Path, objects: Objects, committee: Remerge, classes: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return what the committee proposes, what needs no person, and the confidence, (objects,) each.

    A person's decision says nothing about the committee: for reviewed objects this is what it proposed before, by a
    fit that did not see the decision, and whether that would have been accepted.
    """
    table = standing.decisions_on(objects.instance_ids, consensus, ["label", "action", "confidence"])
    label = records.class_positions(table["label"], classes)
    accepted = pc.is_in(table["action"], value_set=pa.array(records.ACCEPTED)).to_numpy().astype(np.bool_)
    confidence = table["confidence"].to_numpy().astype(np.float64)
    committee = committee.widest
    if (seen := committee.reviewed.seen).any():
        rows, held = committee.rows[seen], standing.set_the_levels(standing.guarantee_of(consensus))
        again = _told(consensus, objects, rows) if committee.told else _merged_again(committee, held=held)
        level = levels(consensus, classes, committee.options.accept)
        label, accepted = label.copy(), accepted.copy()
        label[rows], confidence[rows] = again.label, again.confidence
        accepted[rows] = (again.label >= 0) & (again.sure >= level[again.label])
    return label, accepted, confidence


@dataclass(frozen=True)
class _Before:
    """What was proposed of reviewed objects before anybody saw them, and what the level is compared with, (seen,)."""

    label: NDArray[np.int64]
    confidence: NDArray[np.float64]
    sure: NDArray[np.float64]


def _merged_again(committee: Remerge, *, held: bool) -> _Before:
    """Return what a merge says of them that saw no object of their group."""
    seen, proposed = committee.reviewed.seen, committee.whole
    sure = proposed.certainty if held else proposed.score
    return _Before(proposed.label[seen], proposed.posterior.max(axis=1, initial=0.0)[seen], sure[seen])


def _told(consensus: Path, objects: Objects, rows: NDArray[np.int64]) -> _Before:
    """Return what the decisions say of them besides the label of the person."""
    table = standing.decisions_on(objects.instance_ids, consensus, ["posterior", "score", "n_votes"]).take(rows)
    posterior = np.array(table["posterior"].to_pylist(), dtype=np.float64).reshape(len(rows), -1)
    sure, votes = table["score"].to_numpy(), table["n_votes"].to_numpy()
    label = np.where((votes > 0) | (sure > UNSEEN), posterior.argmax(axis=1), -1)
    return _Before(label, posterior.max(axis=1), sure)


def levels(consensus: Path, classes: Sequence[str], accept: float) -> NDArray[np.float64]:
    """Return the least posterior at which a label of each class is accepted, (classes,)."""
    levels = standing.guarantee_of(consensus).get("thresholds", {})
    least = [levels.get(name, accept) for name in classes]
    return np.array([np.inf if level is None else level for level in least], dtype=np.float64)


def _people(reviewed: Path, objects: Objects, classes: Sequence[str]) -> list[Method]:
    table = records.read(reviewed, records.REVIEW, columns=["instance_id", "labeler", "label", "sample"])
    table = table.filter(pc.not_equal(table["sample"], records.COPY))  # nobody looked
    methods = []
    for name in pc.unique(table["labeler"]).to_pylist():
        mine = table.filter(pc.equal(table["labeler"], name))
        rows = records.object_positions(reviewed, mine["instance_id"], objects.instance_ids)
        answer, scored = np.full(len(objects.truth), -1), np.zeros(len(objects.truth), dtype=np.bool_)
        answer[rows], scored[rows] = records.class_positions(mine["label"], classes), True
        methods.append(Method(name, "human", answer, scored))
    return methods
