"""Stage `evaluate`: every method against the truth, and statistics of the committee of labelers."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.config.stages import EvaluateOptions
from secondlook.config.task import Protocol
from secondlook.io import facts, files, records, tabular
from secondlook.io.outputs import Table
from secondlook.stages.evaluate import tables
from secondlook.stages.evaluate.asking import asking_of
from secondlook.stages.evaluate.bought import tiers
from secondlook.stages.evaluate.calibration import POSTERIOR_EDGES, Bins, Confident, bins
from secondlook.stages.evaluate.chance import near_chance, repeats_given
from secondlook.stages.evaluate.diagnosis import diagnose, examine
from secondlook.stages.evaluate.effect import net_effect
from secondlook.stages.evaluate.frontier import Compared, frontier
from secondlook.stages.evaluate.grouping import few_groups, leak
from secondlook.stages.evaluate.label_errors import label_errors
from secondlook.stages.evaluate.methods import Method, consensus_of, levels, load_methods
from secondlook.stages.evaluate.objects import BY_PEOPLE, Objects, load_objects
from secondlook.stages.evaluate.remerge import Places, load_committee
from secondlook.stages.evaluate.scores import Contest, Difference, Scores, TruthAndAnswers, contest
from secondlook.stages.evaluate.scoring import tables as scoring_tables
from secondlook.stages.evaluate.seconds import seconds_of
from secondlook.stages.evaluate.tracks import apart, named, tracks_table
from secondlook.stats.consensus.read import read_dataset, read_reviewed
from secondlook.stats.intervals import Question, ask

__all__ = ["Places", "evaluate"]


def evaluate(places: Places, out: Path, options: EvaluateOptions, protocol: Protocol | None = None) -> None:
    """Write the tables to folder `out`; without truth they have headings and no scores.

    `protocol` is the published scoring of the task, if it has one.
    """
    pa.set_memory_pool(pa.system_memory_pool())  # it gives columns back that are not needed any more
    classes, rehearsal = records.taxonomy_of(places.instances).classes, facts.banner(places.instances)
    made_by = records.made_by(places.consensus)
    dataset = read_dataset(places.instances, places.groups)
    people = read_reviewed(dataset, places.reviewed)
    objects = load_objects(places.instances, dataset, people)
    committee = load_committee(places, dataset, people, objects, options)
    pa.default_memory_pool().release_unused()
    suspicious = _write_label_errors(out, label_errors(objects, committee, classes, places.consensus))
    pa.default_memory_pool().release_unused()
    methods = load_methods(places, objects, committee)
    asked = examine(objects, committee, options)
    asking = asking_of(places.asked, committee.votes, dataset.instance_ids, committee.rows)
    spent = seconds_of(places, committee.shares_asked, len(dataset))
    compared = Compared(asked.trial, asking, objects.against)
    ways, bought = frontier(compared, spent), tiers(compared, spent)
    label, accepted, confidence = consensus_of(places.consensus, objects, committee, classes)
    level = levels(places.consensus, classes, committee.options.accept)
    tracks = tracks_table(places.instances, objects, committee, level, accepted)
    competing, calibrated = _contest(objects, methods, len(classes)), _calibration(objects, label, confidence)
    effect = net_effect(objects, label, accepted, made_by.get("expected", {}))
    pa.default_memory_pool().release_unused()
    questions = [*asked.questions, competing, calibrated, effect, ways, bought]
    found = ask(questions, options.resamples, options.seed)
    diagnosis = diagnose(places, objects, committee, asked, found, spent)
    few = few_groups(objects)
    findings = {
        **diagnosis.findings,
        "effect": found.to(effect),
        "near_chance": near_chance(committee, objects, label),
        "repeats_given": repeats_given(committee, objects),
        "leak": leak(places.groups, places.instances),
        "few_groups": few,
        "tracks": apart(tracks, committee.options.tracks),
        "asking": asking.findings,
        **({"rehearsal": True} if rehearsal else {}),
    }
    scoring = scoring_tables(places, committee, protocol, options)
    written = {
        **_scores(objects, methods, found.to(competing), classes, (rehearsal, few)),
        Table.CALIBRATION: tabular.to_csv(tables.calibration_table(found.to(calibrated))),
        Table.COMMITTEE: tabular.to_csv(diagnosis.labelers),
        Table.COMMITTEE_PAIRS: tabular.to_csv(diagnosis.pairs),
        Table.RELIABILITY: tabular.to_csv(diagnosis.reliability),
        Table.FRONTIER: tabular.to_csv(found.to(ways)),
        Table.TIERS: tabular.to_csv(found.to(bought)),
        Table.TRACKS: tabular.to_csv(named(tracks, classes)),
        **{name: tabular.to_csv(table) for name, table in scoring.items()},
        Table.FINDINGS: _findings({**findings, **suspicious}),
    }
    for name, text in written.items():
        files.write_text(out / name, text)
    source = f" {objects.against}" if objects.against == BY_PEOPLE else ""
    n = len(objects.with_truth.rows)
    progress.say(f"evaluate: {n} of {len(dataset)} objects with truth{source}, {len(methods)} methods")
    if spent.restored:
        names = ", ".join(spent.restored)
        progress.say(f"evaluate: no time is known of {names}: the cache had all that the last jobs wrote")
    if diagnosis.findings["drop"] is not None:
        progress.say(f"evaluate: {diagnosis.findings['drop']['sentence']}")


def _contest(objects: Objects, methods: list[Method], classes: int) -> Question[tuple[list[Scores], list[Difference]]]:
    """Ask for the scores of all methods, and how much better the consensus is than each other one."""
    answers = [one.on(objects) for one in methods]
    *others, ours, _ = zip(methods, answers, strict=True)
    pairs = [(_beside(ours, method, objects, own), own) for method, own in others]
    return contest(Contest(answers, pairs, classes, objects.with_truth.groups))


def _beside(
    ours: tuple[Method, TruthAndAnswers], method: Method, objects: Objects, own: TruthAndAnswers
) -> TruthAndAnswers:
    """Return our answers to the objects that another method is scored on."""
    return ours[1] if own.truth is ours[1].truth else ours[0].on(objects, method.scored)


def _scores(
    objects: Objects,
    methods: list[Method],
    found: tuple[list[Scores], list[Difference]],
    classes: tuple[str, ...],
    notes: tuple[str | None, dict[str, Any] | None],
) -> dict[str, str]:
    scored = list(zip(methods, found[0], strict=True))
    *others, ours, _ = methods
    accuracy = tables.accuracy_table(scored, objects.against)
    return {
        Table.ACCURACY: tabular.to_csv(accuracy),
        Table.ACCURACY_MD: tables.to_markdown(accuracy, *notes),
        Table.ACCURACY_TEX: tables.to_latex(accuracy, notes[0]),
        Table.PER_CLASS: tabular.to_csv(tables.per_class_table(scored, classes)),
        Table.CONFUSION: tabular.to_csv(tables.confusion_table(scored, classes)),
        Table.PAIRED: tabular.to_csv(
            tables.paired_table(ours.name, list(zip(others, found[1], strict=True)), objects.against)
        ),
    }


def _calibration(objects: Objects, label: NDArray[np.int64], confidence: NDArray[np.float64]) -> Question[Bins]:
    with_truth = objects.with_truth
    right = label[with_truth.rows] == objects.truth[with_truth.rows]
    confident = Confident(confidence[with_truth.rows], right, with_truth.group, with_truth.groups)
    return bins(confident, POSTERIOR_EDGES)


def _write_label_errors(out: Path, suspicious: pd.DataFrame) -> dict[str, int]:
    """Write the longest table before the others are made, and return the findings on it."""
    tabular.write_csv(out / Table.LABEL_ERRORS, suspicious)
    return {"checked_labels": len(suspicious), "flagged": int(suspicious["flagged"].sum())}


def _findings(findings: Mapping[str, Any]) -> str:
    return json.dumps(_without_nan(findings), indent=2, sort_keys=True) + "\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
