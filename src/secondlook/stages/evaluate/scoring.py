"""Tables that compare the published scoring with a correct one: the same votes, counted in two ways."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers import KINDS
from secondlook.config.labelers.base import Labeler
from secondlook.config.stages import EvaluateOptions
from secondlook.config.task import Counting, Protocol
from secondlook.io import records
from secondlook.io.outputs import Table
from secondlook.stages.evaluate.objects import Sample
from secondlook.stages.evaluate.protocol import DIFFERENCES, Responses, Scored, differences_of, mended, score
from secondlook.stages.evaluate.remerge import Places, Remerge
from secondlook.stages.evaluate.scores import BY_CLASS, Contest, Difference, Scores, TruthAndAnswers, contest
from secondlook.stages.evaluate.tables import NO_ANSWER, figure
from secondlook.stats.intervals import Draws

_COLUMNS = ["instance_id", "image_id", "given_raw", "given", "truth"]
_ABOUT = ["labeler", "family", "kind", "view"]
_FIGURES = ("accuracy", "selective_accuracy", "macro_f1")
_ENDS = ("", "_low", "_high")
COLUMNS = {
    Table.SCORING: [
        *(*_ABOUT, "n_paper", "paper", "n", "coverage"),
        *(f"{name}{end}" for name in _FIGURES for end in _ENDS),
    ],
    Table.SCORING_DIFFERENCES: [*_ABOUT, "defect", "difference", "n_paper", "paper", "n_mended", "mended", "what"],
    Table.SCORING_PAIRS: [
        *("a", "b", "family_a", "family_b", "n", "only_a_right", "only_b_right", "mcnemar_p", "holm_p"),
        *(f"{name}_difference{end}" for name in ("accuracy", "macro_f1") for end in _ENDS),
    ],
    Table.SCORING_PER_CLASS: [*_ABOUT, "class", "n", *(f"{name}{end}" for name in BY_CLASS for end in _ENDS)],
    Table.SCORING_CONFUSION: [*_ABOUT, "truth", "answer", "count"],
}


@dataclass(frozen=True)
class LabelerVotes:
    """A labeler and its votes: `answer` are positions of classes, -1 without an answer, (objects,).

    `nature` is the class of the options of its kind. `view` is what a VLM was shown, empty for others.
    """

    name: str
    family: str
    kind: str
    nature: type[Labeler]
    view: str
    responses: Responses
    answer: NDArray[np.int16]


@dataclass(frozen=True)
class Labelled:
    """The objects of a dataset with its own labels, which are the truth here if there is no other.

    `image` numbers the images, (objects,): the published figures are clustered by image.
    """

    ids: pa.Array
    raw: Sequence[str | None]
    truth: Sequence[str | None]
    position: NDArray[np.int64]
    image: NDArray[np.int64]


def tables(
    places: Places, committee: Remerge, protocol: Protocol | None, options: EvaluateOptions
) -> dict[str, pd.DataFrame]:
    """Return both scores of each labeler, its published score with each difference fixed alone, and families in pairs.

    The correct score comes with figures by class and confusion counts. All are empty for a task without a protocol.
    """
    if protocol is None:
        return {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
    taxonomy = records.taxonomy_of(places.instances)
    objects = _read_objects(places.instances, taxonomy)
    labelers = list(_labelers(places, committee, objects, taxonomy.classes))
    with_truth = Sample.of(np.flatnonzero(objects.position >= 0), objects.image)
    draws = Draws(with_truth.groups, options.resamples, options.seed)
    truth = objects.position[with_truth.rows]
    answers = {one.name: TruthAndAnswers(truth, one.answer[with_truth.rows], with_truth.group) for one in labelers}
    rivals = [(one, other) for one, other in combinations(labelers, 2) if one.family != other.family]
    paired = [(answers[one.name], answers[other.name]) for one, other in rivals]
    asked = Contest(list(answers.values()), paired, len(taxonomy.classes), with_truth.groups)
    scores, differences = contest(asked).on(draws)
    scored = list(zip(labelers, scores, strict=True))
    rows: dict[str, Iterable[dict[str, object]]] = {
        Table.SCORING: _beside(scored, protocol, taxonomy),
        Table.SCORING_DIFFERENCES: _fix_each(labelers, protocol, taxonomy),
        Table.SCORING_PAIRS: _pairs(rivals, paired, differences),
        Table.SCORING_PER_CLASS: _by_class(scored, taxonomy.classes),
        Table.SCORING_CONFUSION: _confusion(scored, taxonomy.classes),
    }
    return {name: pd.DataFrame(rows[name], columns=columns) for name, columns in COLUMNS.items()}


def _read_objects(instances: Path, taxonomy: Taxonomy) -> Labelled:
    table = records.read(instances, records.INSTANCE, columns=_COLUMNS)
    column = "truth" if table["truth"].null_count < len(table) else "given"
    position = records.class_positions(table[column], taxonomy.classes)
    ids, raw, names = table["instance_id"].combine_chunks(), table["given_raw"].to_pylist(), table[column].to_pylist()
    image = table["image_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return Labelled(ids, raw, names, position, image.astype(np.int64))


def _labelers(places: Places, committee: Remerge, objects: Labelled, classes: Sequence[str]) -> Iterator[LabelerVotes]:
    """Yield the labelers with the votes of the committee; the texts of VLMs are read from their vote files."""
    files: dict[str, list[Path]] = {}
    for path in places.votes:
        files.setdefault(records.made_by(path)["labeler"], []).append(path)
    names = np.array([*classes, None], dtype=object)  # the last one for -1: no answer
    labels = dict(zip(committee.votes.labelers, committee.everyone.labels, strict=True))
    for name, own in files.items():
        made_by = records.made_by(own[-1])
        options = made_by.get("options", {})
        kind = options.get("kind", "classifier")
        nature = KINDS.get(kind, Labeler)  # votes from elsewhere may have other kinds
        view = options.get("view", "") if nature.in_words else ""
        text = _read_texts(own, objects.ids) if nature.in_words else [None] * len(objects.ids)
        responses = Responses(objects.truth, objects.raw, names[labels[name]].tolist(), text)
        yield LabelerVotes(name, made_by.get("family", name), kind, nature, view, responses, labels[name])


def _read_texts(paths: Sequence[Path], instance_ids: pa.Array) -> list[str | None]:
    parts = [records.read(path, records.VOTE, columns=["instance_id", "answer"]) for path in paths]
    table = pa.concat_tables([part.replace_schema_metadata(None) for part in parts])
    row = pc.index_in(instance_ids, value_set=table["instance_id"].combine_chunks())
    texts: list[str | None] = table["answer"].take(row).to_pylist()
    return texts


def _counting_of(labeler: LabelerVotes, protocol: Protocol) -> Counting:
    """Return how its kind was counted."""
    counting: Counting = getattr(protocol, labeler.nature.counted_as)
    return counting


def _beside(
    scored: Sequence[tuple[LabelerVotes, Scores]], protocol: Protocol, taxonomy: Taxonomy
) -> Iterator[dict[str, object]]:
    for labeler, correct in scored:
        paper = _score(labeler, _counting_of(labeler, protocol), taxonomy)
        row: dict[str, object] = {**_about(labeler), "n_paper": paper.n, "paper": paper.accuracy, "n": correct.n}
        row["coverage"] = correct.answered / correct.n if correct.n else float("nan")
        for name in _FIGURES:
            row |= figure(name, getattr(correct, name))
        yield row


def _by_class(scored: Sequence[tuple[LabelerVotes, Scores]], classes: Sequence[str]) -> Iterator[dict[str, object]]:
    for labeler, correct in scored:
        for position, n in enumerate(correct.confusion.sum(axis=1).tolist()):
            row: dict[str, object] = {**_about(labeler), "class": classes[position], "n": n}
            for name in BY_CLASS:
                row |= figure(name, getattr(correct, name)[position])
            yield row


def _confusion(scored: Sequence[tuple[LabelerVotes, Scores]], classes: Sequence[str]) -> Iterator[dict[str, object]]:
    names = [*classes, NO_ANSWER]
    for labeler, correct in scored:
        for truth, answer in np.argwhere(correct.confusion > 0).tolist():
            count = int(correct.confusion[truth, answer])
            yield {**_about(labeler), "truth": classes[truth], "answer": names[answer], "count": count}


def _pairs(
    pairs: Sequence[tuple[LabelerVotes, LabelerVotes]],
    paired: Sequence[tuple[TruthAndAnswers, TruthAndAnswers]],
    differences: Sequence[Difference],
) -> Iterator[dict[str, object]]:
    """Compare every two labelers of different families on the same objects, with the correct scoring."""
    alone = [_right_alone(*pair) for pair in paired]
    p = [mcnemar(*counts) for counts in alone]
    for (one, other), counts, own_p, holm_p, difference in zip(pairs, alone, p, holm(p), differences, strict=True):
        yield {
            **{"a": one.name, "b": other.name, "family_a": one.family, "family_b": other.family, "n": difference.n},
            **{"only_a_right": counts[0], "only_b_right": counts[1], "mcnemar_p": own_p, "holm_p": holm_p},
            **figure("accuracy_difference", difference.accuracy),
            **figure("macro_f1_difference", difference.macro_f1),
        }


def _right_alone(first: TruthAndAnswers, second: TruthAndAnswers) -> tuple[int, int]:
    """Return how many objects only the first, and only the second of two labelers is right about."""
    right, other_right = first.answer == first.truth, second.answer == second.truth
    return int((right & ~other_right).sum()), int((other_right & ~right).sum())


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p of McNemar's test (Psychometrika 12, 1947) for two counts of discordant objects.

    It assumes independent objects, which those of one image are not; the intervals in the table do not assume it.
    """
    from scipy.stats import binomtest  # takes longer to import than most evaluations to make

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """Return p values adjusted for multiple tests, by Holm's step-down method (Scand. J. Statistics 6, 1979).

    Of m values the k-th smallest becomes the largest of (m - j + 1) p_j, j up to k, and 1 at most.
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.arange(len(p), 0, -1) * np.asarray(p)[order])
    return [float(value) for value in np.minimum(adjusted, 1)]


def _fix_each(labelers: Sequence[LabelerVotes], protocol: Protocol, taxonomy: Taxonomy) -> Iterator[dict[str, object]]:
    for labeler in labelers:
        counting = _counting_of(labeler, protocol)
        paper = _score(labeler, counting, taxonomy)
        for name in differences_of(counting, in_words=labeler.nature.in_words):
            without = _score(labeler, mended(counting, name), taxonomy)
            yield {
                **{**_about(labeler), "defect": DIFFERENCES[name].number, "difference": name},
                **{"n_paper": paper.n, "paper": paper.accuracy, "n_mended": without.n, "mended": without.accuracy},
                "what": DIFFERENCES[name].sentence,
            }


def _score(labeler: LabelerVotes, counting: Counting, taxonomy: Taxonomy) -> Scored:
    in_words = labeler.nature.in_words
    return score(labeler.responses, counting, taxonomy, in_words=in_words, family=labeler.family)


def _about(labeler: LabelerVotes) -> dict[str, object]:
    return {"labeler": labeler.name, "family": labeler.family, "kind": labeler.kind, "view": labeler.view}
