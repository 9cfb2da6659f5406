"""`committee.csv` and its companion tables: the committee, labeler by labeler."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.config.stages import EvaluateOptions
from secondlook.io import records
from secondlook.stages.evaluate import committee as inside
from secondlook.stages.evaluate import contribution, tables
from secondlook.stages.evaluate.answers import Labels
from secondlook.stages.evaluate.calibration import Calibration
from secondlook.stages.evaluate.objects import Objects
from secondlook.stages.evaluate.remerge import Places, Remerge
from secondlook.stages.evaluate.seconds import Seconds
from secondlook.stats.intervals import Answers, Estimate, Estimates, Question

UNKNOWN = Estimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Diagnosis:
    """The tables on the committee, and the findings for the report."""

    labelers: pd.DataFrame
    pairs: pd.DataFrame
    reliability: pd.DataFrame
    findings: dict[str, Any]


@dataclass(frozen=True)
class Members:
    """Figures of each labeler, by name."""

    contribution: Mapping[str, contribution.Contribution]
    seconds: Mapping[str, float | None]
    votes: Mapping[str, int]


@dataclass(frozen=True)
class Examination:
    """What is asked of the draws about the committee, and the labelers of whom it is asked."""

    labels: Labels
    trial: contribution.Trial
    calibrated: Sequence[Question[Calibration] | None]
    pairs: Question[inside.Pairs]
    attendance: Question[inside.Attendance]
    accuracy: Question[tuple[NDArray[np.int64], Estimates]]
    contributions: Question[dict[str, contribution.Contribution]]

    @property
    def questions(self) -> list[Question[Any]]:
        """All of them."""
        voiced = [one for one in self.calibrated if one is not None]
        return [*voiced, self.pairs, self.attendance, self.accuracy, self.contributions]


def examine(objects: Objects, committee: Remerge, options: EvaluateOptions) -> Examination:
    """Count what the statistics of the committee follow from, and merge again without each of its members."""
    votes, labels = committee.votes, committee.everyone.labels
    trial = contribution.trial_of(committee, objects, options)
    return Examination(
        labels,
        trial,
        committee.everyone.calibrated,
        inside.pairs(labels, objects),
        inside.attendance(labels, votes.classes, objects.everything),
        inside.own_accuracy(labels, objects),
        contribution.leave_one_out(trial),
    )


def diagnose(
    places: Places, objects: Objects, committee: Remerge, asked: Examination, found: Answers, spent: Seconds
) -> Diagnosis:
    """Return the statistics of the committee."""
    votes, labels, trial = committee.votes, asked.labels, asked.trial
    calibrated = [None if one is None else found.to(one) for one in asked.calibrated]
    pairs = found.to(asked.pairs)
    members = np.array([votes.labelers.index(name) for name in committee.members], dtype=np.int64)
    count, effective = inside.effective_number(labels, objects, members, pairs)
    contributions = found.to(asked.contributions)
    seconds = {name: spent.of_votes(name) for name in votes.labelers}
    dropped = contribution.drop(trial, contributions)
    n, accuracy = found.to(asked.accuracy)
    not_asked = dict(zip(votes.labelers, committee.everyone.not_asked.tolist(), strict=True))
    columns = {
        **_attendance(found.to(asked.attendance), objects, committee),
        **{"against": objects.against, "n": n, **tables.figure("selective_accuracy", accuracy)},
        **_calibration(calibrated, committee.everyone.confidence),
        **_kinship(pairs, votes.families),
        "dropped": [int(dropped is not None and name in dropped.labelers) for name in votes.labelers],
        **_contribution(votes.labelers, Members(contributions, seconds, _vote_counts(places, not_asked))),
    }
    findings = {
        "against": objects.against,
        "with_truth": len(objects.with_truth.rows),
        "method": committee.method,
        "members": count,
        "effective": asdict(effective),
        "drop": None if dropped is None else {"sentence": dropped.sentence, **asdict(dropped)},
        "merged_again_on": len(trial.everything.rows),
        "objects": len(objects.truth),
        "not_asked": {name: count for name, count in not_asked.items() if count},
    }
    return Diagnosis(
        pd.DataFrame(columns),
        tables.pairs_table(pairs, votes.labelers, votes.families),
        tables.reliability_table(list(zip(votes.labelers, calibrated, strict=True))),
        findings,
    )


def _attendance(counted: inside.Attendance, objects: Objects, committee: Remerge) -> dict[str, Any]:
    asked = len(objects.truth) - committee.everyone.not_asked
    return {
        "labeler": list(committee.votes.labelers),
        "family": list(committee.votes.families),
        "takes_part": [int(name in committee.members) for name in committee.votes.labelers],
        "asked": asked,
        "answered": counted.answered,
        "coverage": np.where(asked > 0, counted.answered / np.maximum(asked, 1), np.nan),
        "compared": counted.compared,
        **tables.figure("conflict", counted.conflict),
    }


def _calibration(calibrated: list[Calibration | None], confidence: Any) -> dict[str, Any]:
    return {
        "mean_confidence": confidence,
        "ece": [np.nan if one is None else one.before.error() for one in calibrated],
        "temperature": [np.nan if one is None else one.temperature for one in calibrated],
        "ece_calibrated": [np.nan if one is None or one.after is None else one.after.error() for one in calibrated],
    }


def _kinship(pairs: inside.Pairs, families: tuple[str, ...]) -> dict[str, Any]:
    relatives, strangers = inside.means_by_kinship(pairs, families)
    return {"error_correlation_family": relatives, "error_correlation_others": strangers}


def _contribution(labelers: tuple[str, ...], members: Members) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {}
    for name in labelers:
        lost = members.contribution.get(name, contribution.Contribution(UNKNOWN, UNKNOWN, UNKNOWN))
        row = {
            **tables.figure("accuracy_lost", lost.accuracy),
            **tables.figure("log_loss_lost", lost.log_loss),
            **tables.figure("changed", lost.changed),
        }
        seconds, votes = members.seconds[name], members.votes.get(name, 0)
        row["seconds"] = np.nan if seconds is None else seconds
        row["seconds_per_vote"] = np.nan if seconds is None or not votes else seconds / votes
        for column, value in row.items():
            columns.setdefault(column, []).append(value)
    return columns


def _vote_counts(places: Places, not_asked: Mapping[str, int]) -> dict[str, int]:
    """Return the number of votes of each labeler, abstentions included, without those on which it was not asked."""
    counts: dict[str, int] = {}
    for path in places.votes:
        name = str(records.made_by(path)["labeler"])
        counts[name] = counts.get(name, -not_asked.get(name, 0)) + records.count(path, records.VOTE)
    return counts
