"""Label errors: how well planted errors are ranked, by `label_errors.csv` and by all scores of cleanlab.

Labelers learn out of fold from the wrong labels; cleanlab gets the same probabilities of the same objects: those of
each labeler, and the mean over labelers. Planted errors are the positives of the average precision; some labels of the
real datasets were wrong before, which lowers all figures alike. All figures are means over seeds. The data are in
../shared/data; the first run makes vectors and votes, half a minute to two for each noise; `--sets` keeps them.
"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from statistics import mean

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_ensemble_scores, get_label_quality_scores
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

import common
import folded
from folded import Voted, quiet
from secondlook.config.stages import ConsensusOptions, EvaluateOptions
from secondlook.stages import consensus
from secondlook.stages.evaluate.label_errors import label_errors
from secondlook.stages.evaluate.objects import load_objects
from secondlook.stages.evaluate.remerge import Places, load_committee
from secondlook.stats.consensus.read import read_dataset
from secondlook.stats.consensus.votes import GIVEN, Reviewed, Votes

DATASETS = ("demo", "road_signs", "gtsdb", "cvat_urban")
ENSEMBLE = "ensemble of all labelers"
METHODS = (
    ("self_confidence", False),
    ("self_confidence", True),
    ("normalized_margin", False),
    ("normalized_margin", True),
    ("confidence_weighted_entropy", False),  # cleanlab adjusts the other two only
)


@dataclass(frozen=True)
class Run:
    """One dataset, noise and seed: the average precision of each ranking, by name, and seconds.

    `on_mean` is by each of cleanlab's scores of the mean probabilities, `on_labeler` the best of them by labeler.
    """

    dataset: str
    noise: str
    ranked: int
    planted: int
    ours: float
    on_mean: dict[str, float]
    on_labeler: dict[str, float]
    seconds: float
    seconds_of_cleanlab: float


def main() -> None:
    """Print the tables, and the results last."""
    args = common.arguments(folded.parser(__doc__), **folded.TOY)
    warnings.filterwarnings("ignore", module="cleanlab")
    runs = [run for voted in folded.voted(args, DATASETS) if (run := measured(voted)) is not None]
    cells = [list(several) for _, several in groupby(runs, lambda run: (run.dataset, run.noise))]
    print("\n".join([*_table(cells), *_means(cells), "", *_results(cells)]))


def measured(voted: Voted) -> Run | None:
    """Rank the given labels as `secondlook evaluate` does, and by all scores of cleanlab.

    None, with a message, where all judged objects are given one class: cleanlab refuses them.
    """
    data, out = voted.data, voted.folder / "consensus/decisions.parquet"
    with quiet():
        places = consensus.Places(voted.instances, voted.votes, None, out, data.groups)
        consensus.merge_votes(places, ConsensusOptions())
        started = time.perf_counter()
        dataset = read_dataset(voted.instances, data.groups)
        people, places = Reviewed.none(len(dataset)), Places(voted.instances, voted.votes, out, groups=data.groups)
        objects = load_objects(voted.instances, dataset, people)
        everything = EvaluateOptions(sample=200_000)
        committee = load_committee(places, dataset, replace(people, group=dataset.group), objects, everything)
        table = label_errors(objects, committee, data.classes)
        seconds = time.perf_counter() - started
    ids = dataset.instance_ids.to_pylist()
    ranked = np.array(list(map({name: row for row, name in enumerate(ids)}.__getitem__, table["instance_id"])))
    if len(np.unique(voted.given[ranked])) < 2:
        print(f"left out: {data.name}, {voted.noise}, seed {voted.noise.seed}: all judged objects are given one class")
        return None
    precision = partial(average_precision, voted.given[ranked] != data.truth[ranked])
    by_labeler = probabilities(committee.votes, ranked)
    started = time.perf_counter()
    names = list(by_labeler)
    given, everyone = voted.given[ranked], np.stack([by_labeler[name] for name in names])
    on_mean = scores(given, np.nanmean(everyone, axis=0))
    on_mean[ENSEMBLE] = get_label_quality_ensemble_scores(given, list(everyone), verbose=False)
    seconds_of_cleanlab = time.perf_counter() - started
    return Run(
        data.name,
        str(voted.noise),
        len(ranked),
        int((voted.given[ranked] != data.truth[ranked]).sum()),
        precision(table["rank"].to_numpy()),
        {name: precision(quality) for name, quality in on_mean.items()},
        {name: max(map(precision, scores(given, by_labeler[name]).values())) for name in names},
        seconds,
        seconds_of_cleanlab,
    )


def average_precision(wrong: NDArray[np.bool_], quality: NDArray[np.float64]) -> float:
    """Return the average precision of a ranking by quality, lowest first."""
    return float(average_precision_score(wrong, -quality))


def probabilities(votes: Votes, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return the probabilities of each labeler on some objects, (objects, classes)."""
    assert votes.log_p is not None, "all labelers give probabilities"
    found = {}
    for index, name in enumerate(votes.labelers):
        if name != GIVEN:
            own = votes.labeler_index == index
            p = np.full((votes.objects, votes.classes), np.nan)
            p[votes.object_index[own]] = np.exp(votes.log_p[own].astype(np.float64))
            found[name] = p[rows] / p[rows].sum(axis=1, keepdims=True)
    return found


def scores(given: NDArray[np.int64], p: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the quality of each given label by every score of cleanlab; `p` is (objects, classes).

    `find_label_issues` ranks only what it finds, by normalized margin; the others follow, by the same.
    """
    found = {}
    for method, adjusted in METHODS:
        name = f"{method.replace('_', ' ')}{', adjusted' if adjusted else ''}"
        found[name] = get_label_quality_scores(given, p, method=method, adjust_pred_probs=adjusted)
    issues = find_label_issues(given, p, n_jobs=1)
    return {**found, "find_label_issues": found["normalized margin"] - 2 * issues}


def _table(cells: Sequence[Sequence[Run]]) -> list[str]:
    """Return the table by dataset and noise."""
    names = list(_on_mean(cells[0]))
    lines = ["", "average precision; cleanlab's scores on the mean probabilities, and the best of them on one labeler"]
    lines.append(f"| dataset | noise | ranked | planted | ours | {' | '.join(names)} | best labeler |")
    lines.append(f"|---|---|{'---:|' * (len(names) + 3)}---|")
    for runs in cells:
        first, best = runs[0], best_labeler(runs)
        figures = [mean(run.ours for run in runs), *_on_mean(runs).values()]
        counts = [f"{mean(run.ranked for run in runs):.0f}", f"{mean(run.planted for run in runs):.0f}"]
        cited = " | ".join([*counts, *(f"{figure:.3f}" for figure in figures)])
        lines.append(f"| {first.dataset} | {first.noise} | {cited} | {best[0]:.3f} {best[1]} |")
    return lines


def best_labeler(runs: Sequence[Run]) -> tuple[float, str]:
    """Return the average precision of the labeler on which cleanlab does best in a cell, and its name."""
    return max((mean(run.on_labeler[name] for run in runs), name) for name in runs[0].on_labeler)


def _means(cells: Sequence[Sequence[Run]]) -> list[str]:
    """Return the means over datasets and noises."""
    runs = [run for cell in cells for run in cell]
    named = {"ours": _mean_of_ours(cells), **_mean_of_cleanlab(cells)}
    for labeler in cells[0][0].on_labeler:
        figures = [mean(run.on_labeler[labeler] for run in cell) for cell in cells if labeler in cell[0].on_labeler]
        named[f"{labeler}, by its best score in each run"] = mean(figures)
    named["the best labeler of each cell, by its best score"] = mean(best_labeler(cell)[0] for cell in cells)
    ours, theirs = sum(run.seconds for run in runs), sum(run.seconds_of_cleanlab for run in runs)
    lines = ["", "| ranking | mean average precision |", "|---|---:|"]
    lines += [f"| {name} | {figure:.4f} |" for name, figure in named.items()]
    return [*lines, "", f"{len(runs)} rankings: ours {ours:.1f} s with reading and merging, cleanlab {theirs:.1f} s"]


def _mean_of_ours(cells: Sequence[Sequence[Run]]) -> float:
    return mean(mean(run.ours for run in cell) for cell in cells)


def _mean_of_cleanlab(cells: Sequence[Sequence[Run]]) -> dict[str, float]:
    return {name: mean(_on_mean(cell)[name] for cell in cells) for name in _on_mean(cells[0])}


def _results(cells: Sequence[Sequence[Run]]) -> list[str]:
    """Return the lines of the results."""
    ours, theirs = _mean_of_ours(cells), _mean_of_cleanlab(cells)
    best = max(theirs, key=lambda name: theirs[name])
    against = f"AP of ours against the best of cleanlab's scores, on the mean probabilities: {best}"
    ahead = sum(mean(run.ours for run in cell) >= max(_on_mean(cell).values()) for cell in cells)
    return [
        f"result: label-errors-ap {ours / theirs[best]:.3f} {against}",
        f"result: label-errors-ahead {ahead} of {len(cells)} cells: AP of ours at or above every score of cleanlab's",
    ]


def _on_mean(cell: Sequence[Run]) -> dict[str, float]:
    return {name: mean(run.on_mean[name] for run in cell) for name in cell[0].on_mean}


if __name__ == "__main__":
    main()
