"""Votes and reviews as arrays: one entry per answer, without abstentions."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

GIVEN = "given"  # the name of the dataset's own label among the labelers
Posterior = NDArray[np.float64]  # (objects, classes), rows sum to 1
Posteriors = NDArray[np.float32] | NDArray[np.float64]  # the same, also where many are stored


@dataclass(frozen=True)
class Whole:
    """What is true of all votes where only some of them are at hand.

    `known` tells which classes each labeler knows, without one fold, (labelers, folds + 1, classes), as
    `known_classes` does. `bare`: some answers of labelers are without probabilities.
    """

    known: NDArray[np.bool_]
    bare: bool


@dataclass(frozen=True)
class Votes:
    """The answers of all labelers.

    `object_index`, `labeler_index` and `class_index` are (answers,); a labeler may answer an object twice, both
    count. `log_p` holds the log-probabilities of every class, float32 (answers, classes), in rows of nan where a
    labeler only names its answer; None where all of them do. `families` names the relatives of each labeler,
    (labelers,). `fold` is that which the labeler never saw, (answers,), -1 where it learned elsewhere; None without
    folds. `track` numbers the tracks whose objects were given one label together, each in one group, (objects,), -1 for
    objects on their own; None where every label was given on its own. `unknown_class` marks the objects whose given
    class some labeler never learned, by its own account, (objects,); None where none says so. `whole` is about all
    votes where these are only some of them. `asked` tells who was asked about what, (labelers, objects): no answer of
    another one is an abstention; None where everybody was asked about everything.
    """

    object_index: NDArray[np.int64]
    labeler_index: NDArray[np.int64]
    class_index: NDArray[np.int64]
    objects: int
    labelers: tuple[str, ...]
    families: tuple[str, ...]
    classes: int
    log_p: NDArray[np.float32] | None = None
    fold: NDArray[np.int64] | None = None
    track: NDArray[np.int64] | None = None
    unknown_class: NDArray[np.bool_] | None = None
    whole: Whole | None = None
    asked: NDArray[np.bool_] | None = None

    @property
    def asked_of_each(self) -> NDArray[np.int64]:
        """The number of objects that each labeler was asked about, (labelers,)."""
        if self.asked is None:
            return np.full(len(self.labelers), self.objects)
        return np.asarray(self.asked.sum(axis=1, dtype=np.int64))

    @property
    def attendance(self) -> NDArray[np.float64] | None:
        """The share of the objects that each labeler was asked about, (labelers,); None where all heard of all."""
        if self.asked is None or self.asked.all():
            return None
        return np.asarray(self.asked_of_each / max(1, self.objects))

    def learner_index(self) -> NDArray[np.int64]:
        """Return the number of what learned together and gave each answer, (answers,): a labeler, without one fold."""
        if self.whole is not None:
            fold = 0 if self.fold is None else self.fold + 1
            return np.asarray(self.labeler_index * self.whole.known.shape[1] + fold)
        if self.fold is None:
            return self.labeler_index
        return np.asarray(self.labeler_index * (self.fold.max(initial=-1) + 2) + self.fold + 1)

    def family_index(self) -> NDArray[np.int64]:
        """Return the number of the family of each labeler, (labelers,), counted from 0 in order of appearance."""
        number = {name: index for index, name in enumerate(dict.fromkeys(self.families))}
        return np.array([number[name] for name in self.families], dtype=np.int64)

    def counts(self) -> NDArray[np.float64]:
        """Return the number of answers per object and class, (objects, classes)."""
        shape = (self.objects, self.classes)
        flat = self.object_index * self.classes + self.class_index
        return np.bincount(flat, minlength=self.objects * self.classes).reshape(shape).astype(np.float64)

    def per_object(self) -> NDArray[np.int64]:
        """Return the number of answers of each object, (objects,)."""
        return np.bincount(self.object_index, minlength=self.objects)

    def per_object_besides(self, labeler: str) -> NDArray[np.int64]:
        """Return the number of answers of each object by all labelers but one, which need not be here, (objects,)."""
        others = self.per_object()
        if labeler in self.labelers:
            own = self.labeler_index == self.labelers.index(labeler)
            others = others - np.bincount(self.object_index[own], minlength=self.objects)
        return others

    def has_p(self) -> NDArray[np.bool_]:
        """Tell which answers come with probabilities, (answers,)."""
        if self.log_p is None or not self.classes:
            return np.zeros(len(self.class_index), dtype=np.bool_)
        return ~np.isnan(self.log_p[:, 0])

    def where(self, kept: NDArray[np.bool_] | slice) -> "Votes":
        """Return the votes whose answers are `kept`, (answers,); objects and labelers stay as they are."""
        return replace(
            self,
            object_index=self.object_index[kept],
            labeler_index=self.labeler_index[kept],
            class_index=self.class_index[kept],
            log_p=None if self.log_p is None else self.log_p[kept],
            fold=None if self.fold is None else self.fold[kept],
        )

    def without(self, labeler: str) -> "Votes":
        """Return the votes of all other labelers; all of them where it is none of these."""
        if labeler not in self.labelers:
            return self
        others = self.labeler_index != self.labelers.index(labeler)
        count = int(others.sum())
        # the given labels are read last: to leave them out takes no copy
        return self.where(slice(count) if others[:count].all() else others)

    def answers_of(self, labeler: str) -> NDArray[np.int64]:
        """Return the answers of a labeler, (objects,), -1 where it gave none or is none of these."""
        answers = np.full(self.objects, -1)
        if labeler in self.labelers:
            own = self.labeler_index == self.labelers.index(labeler)
            answers[self.object_index[own]] = self.class_index[own]
        return answers


@dataclass(frozen=True)
class Reviewed:
    """The labels of people; all fields but `group` are about people only.

    `label` is the class on which those who could tell agree, (objects,), -1 where there is none. `seen` marks the
    objects that anybody looked at. `sampled` marks those of the random sample, as far as it was reviewed, whatever the
    result: also those that were skipped or are in the queue too. `group` numbers the group of each object. `rank`
    orders the objects as the random sample grows, (objects,), infinite where one is not drawn yet; None where the
    sample was drawn elsewhere. `copied` marks the objects that nobody looked at, though they have a label: that of a
    near-duplicate or of their track, (objects,); None where there are none. `chosen` marks the objects that are at hand
    only because people chose to look at them, where others are drawn, (objects,); None where there are none.
    """

    label: NDArray[np.int64]
    seen: NDArray[np.bool_]
    sampled: NDArray[np.bool_]
    group: NDArray[np.int64]
    rank: NDArray[np.float64] | None = None
    copied: NDArray[np.bool_] | None = None
    chosen: NDArray[np.bool_] | None = None

    @classmethod
    def none(cls, objects: int) -> "Reviewed":
        """Return the reviews of a dataset without any; every object its own group."""
        nothing = np.zeros(objects, dtype=np.bool_)
        return cls(np.full(objects, -1), nothing, nothing, np.arange(objects))

    def on(self, rows: NDArray[np.int64]) -> "Reviewed":
        """Return the reviews of some objects, in their order."""
        rank = None if self.rank is None else self.rank[rows]
        copied = None if self.copied is None else self.copied[rows]
        chosen = None if self.chosen is None else self.chosen[rows]
        return Reviewed(self.label[rows], self.seen[rows], self.sampled[rows], self.group[rows], rank, copied, chosen)

    def without_copies(self) -> "Reviewed":
        """Return what people said of the objects that they looked at."""
        if self.copied is None:
            return self
        label = np.where(self.copied, -1, self.label)
        return replace(self, label=label, seen=self.seen & ~self.copied, copied=None)

    @property
    def known(self) -> NDArray[np.int64]:
        """Positions of the objects with a label from people."""
        return np.flatnonzero(self.label >= 0)


def normalised(log_p: NDArray[np.float64]) -> Posterior:
    """Return the probabilities (objects, classes) of unnormalised log-probabilities, which are overwritten."""
    log_p -= np.ascontiguousarray(log_p.T).max(axis=0, initial=-np.inf)[:, None]  # several times as fast as by rows
    np.exp(log_p, out=log_p)
    log_p /= log_p.sum(axis=1, keepdims=True)
    return log_p
