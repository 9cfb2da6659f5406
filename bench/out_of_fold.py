"""Out of fold: a dataset corrects itself, its labelers having learned from its own wrong labels.

Every object is judged by labelers that learned from the other folds, and merged as `secondlook consensus` does, with
default options and nothing reviewed. All figures are means over seeds. The last lines count how many cells (a dataset
and a noise) meet each requirement; those that do not are printed above them. The data are in ../shared/data; the first
run makes vectors and votes, half a minute to two for each noise; `--sets` keeps them.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import groupby
from statistics import mean

import pyarrow as pa

import common
import folded
from folded import Folded, Voted, quiet
from secondlook.config.stages import ConsensusOptions
from secondlook.io import records
from secondlook.stages.consensus import Places, merge_votes

DATASETS = ("demo", "road_signs", "cvat_urban")
NOBODY = ("no labeler answered", "no labeler knows the given class")
COLUMNS = "accuracy | not judgeable | accepted | wrong | expected | wrong before | fixed | broken"


@dataclass(frozen=True)
class Figures:
    """What becomes of a dataset: the accuracy of the consensus, and numbers of objects."""

    accuracy: float
    unjudged: float
    accepted: float
    wrong: float
    expected: float
    before: float
    fixed: float
    broken: float


@dataclass(frozen=True)
class Cell:
    """The figures of a dataset and a noise, means over the seeds."""

    data: Folded
    noise: str
    figures: Figures


REQUIREMENTS = {
    "quarter": (
        lambda one: one.wrong <= one.before / 4,
        "accepted wrong at most a quarter of what was wrong before",
    ),
    "calibrated": (
        lambda one: one.wrong <= 2 * one.expected + 3,
        "accepted wrong at most twice the expected + 3 objects",
    ),
}


def main() -> None:
    """Print the tables, and the results last."""
    args = common.arguments(folded.parser(__doc__), **folded.TOY)
    cells = []
    measured = ((voted, figures(voted)) for voted in folded.voted(args, DATASETS))
    for (_, noise), runs in groupby(measured, lambda run: (run[0].data.name, str(run[0].noise))):
        several = list(runs)
        cells.append(Cell(several[0][0].data, noise, mean_of([one for _, one in several])))
    _tables(cells)
    print("\n".join(_requirements(cells)))


def figures(voted: Voted) -> Figures:
    """Merge the votes as the command does and compare its decisions with the truth."""
    out = voted.folder / "consensus/decisions.parquet"
    with quiet():
        merge_votes(Places(voted.instances, voted.votes, None, out, voted.data.groups), ConsensusOptions())
    table: pa.Table = records.read(out, records.DECISION)
    truth = voted.data.truth
    right = records.class_positions(table["label"], voted.data.classes) == truth
    was_right = voted.given == truth
    accepted = table["action"].to_numpy() != "review"
    return Figures(
        accuracy=float(right.mean()),
        unjudged=float(sum(reason in NOBODY for reason in table["reason"].to_pylist())),
        accepted=float(accepted.sum()),
        wrong=float((accepted & ~right).sum()),
        expected=float(records.made_by(out)["expected"]["wrong"]),
        before=float((~was_right).sum()),
        fixed=float((accepted & right & ~was_right).sum()),
        broken=float((accepted & ~right & was_right).sum()),
    )


def mean_of(several: Sequence[Figures]) -> Figures:
    """Return the mean of each figure."""
    return Figures(*(mean(column) for column in zip(*map(astuple, several), strict=True)))


def _tables(cells: Sequence[Cell]) -> None:
    print("\n| dataset | objects | noise |", COLUMNS, "|")
    print(f"|---|---:|---|{'---:|' * 8}")
    for cell in cells:
        print(f"| {cell.data.name} | {len(cell.data.truth)} | {cell.noise} | {_numbers(cell.figures)} |")
    print()


def _numbers(one: Figures) -> str:
    accuracy, *counts = astuple(one)
    return " | ".join([f"{accuracy:.3f}", *(f"{count:.1f}" for count in counts)])


def _requirements(cells: Sequence[Cell]) -> list[str]:
    """Print the cells that fail a requirement; return the lines of the results."""
    results = []
    for name, (meets, what) in REQUIREMENTS.items():
        failed = [cell for cell in cells if not meets(cell.figures)]
        for cell in failed:
            print(f"not {name}: {cell.data.name}, {cell.noise}: {_numbers(cell.figures)}")
        results.append(f"result: out-of-fold-{name} {len(cells) - len(failed)} of {len(cells)} cells: {what}")
    return results


if __name__ == "__main__":
    main()
