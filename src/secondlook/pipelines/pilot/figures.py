"""The figures of a pilot: what each labeler answered and needed, and what the real run will need."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from secondlook.io import records
from secondlook.io.trials import SHARDS, Sample, Trial, read_trial

Row = dict[str, Any]
GOAL_MIN = 60.0  # of the longest job that works on a part of the objects: between half an hour and one and a half
_COLUMNS = ["instance_id", "label", "mass", "confidence", "answer", "status"]


@dataclass(frozen=True)
class Answers:
    """The shares of the votes of a labeler by their status, its median `mass`, and how often it names the given label.

    `mass` is None where no vote has one, `agrees` where no object with a vote has a given label.
    """

    answered: float
    abstained: float
    unparsed: float
    failed: float
    mass: float | None
    agrees: float | None


@dataclass(frozen=True)
class Forecast:
    """What a trial says of the real run: the minutes of one job, and the hours of all; None where it has no pace."""

    job_minutes: float | None
    hours: float | None


@dataclass(frozen=True)
class Tried:
    """A step of a pilot with its forecast; `answers` of a labeler that voted."""

    name: str
    trial: Trial
    forecast: Forecast
    answers: Answers | None = None
    family: str = ""

    @property
    def failed_because(self) -> str | None:
        """Why it failed, None where it did not."""
        return None if self.trial.untried else self.trial.sentence

    @property
    def not_tried_because(self) -> str | None:
        """Why the sample cannot try it, None where it was tried."""
        return self.trial.sentence if self.trial.untried else None

    @property
    def answered_no_object(self) -> bool:
        """Whether it voted, and every vote is an abstention, unparsed or failed."""
        return self.answers is not None and self.answers.answered == 0

    def summary(self) -> Row:
        """Return its figures for scripts."""
        trial = self.trial
        figures: Row = {"failed_because": self.failed_because, "not_tried_because": self.not_tried_because}
        figures |= {"answered_no_object": self.answered_no_object}
        figures |= {"killed": trial.killed, "seconds": round(trial.seconds, 3)}
        figures |= {"pace": asdict(trial.pace) if trial.pace else None, "from_cache": trial.cached}
        figures |= {"peak_mb": trial.peak_mb, "gpu_mb": trial.gpu_mb, "asked": asdict(trial.asked)}
        return figures | asdict(self.forecast) | {"answers": asdict(self.answers) if self.answers else None}


def tried(folder: Path, step: str, sample: Sample, given: Mapping[str, str | None], jobs: tuple[int, int]) -> Tried:
    """Return a step with its figures; `jobs` are the number of real jobs, and the shards that each of them takes."""
    trial = read_trial(folder / "trials" / f"{step}.json")
    stage, _, name = step.partition("/")
    forecast = _forecast(trial, sample, *jobs)
    if stage != "label" or trial.sentence is not None:
        return Tried(step if stage != "label" else name, trial, forecast)
    rows, family = votes_of(folder, name)
    return Tried(name, trial, forecast, answers_of(rows, given), family)


def votes_of(folder: Path, labeler: str) -> tuple[list[Row], str]:
    """Return the votes of a labeler on the sample, and its family."""
    paths = [folder / "label" / labeler / f"{shard}.parquet" for shard in SHARDS]
    rows = [row for path in paths for row in records.read_columns(path, records.VOTE, _COLUMNS)]
    return rows, str(records.made_by(paths[0])["family"])


def answers_of(rows: Sequence[Row], given: Mapping[str, str | None]) -> Answers:
    """Return the figures of some votes."""
    status = Counter(row["status"] for row in rows)
    count = max(1, len(rows))
    mass = [row["mass"] for row in rows if row["mass"] is not None]
    pairs = [(row["label"], given.get(row["instance_id"])) for row in rows if row["label"] is not None]
    agrees = [label == own for label, own in pairs if own is not None]
    return Answers(
        answered=status["answered"] / count,
        abstained=sum(status[one] for one in ("abstained", "low_mass", "unknown_class")) / count,
        unparsed=status["unparsed"] / count,
        failed=status["failed"] / count,
        mass=median(mass) if mass else None,
        agrees=sum(agrees) / len(agrees) if agrees else None,
    )


def _forecast(trial: Trial, sample: Sample, parts: int, per_job: int) -> Forecast:
    if trial.pace is None or trial.sentence is not None:
        return Forecast(None, None)
    seconds = trial.pace.seconds(sample.total(trial.pace.unit) / parts, per_job)
    return Forecast(seconds / 60, parts * seconds / 3600)


def parts_that_follow(steps: Sequence[Tried], sample: Sample) -> int:
    """Return the number of jobs with which the longest job takes an hour, of those with GPUs where there are any.

    A job then takes between 30 and 90 minutes unless its labeler is much faster than the slowest one.
    """
    paced = [one.trial for one in steps if one.trial.pace is not None and one.trial.sentence is None]
    on_gpu = [trial for trial in paced if trial.asked.gpus] or paced
    work = [(trial.pace, sample.total(trial.pace.unit)) for trial in on_gpu if trial.pace is not None]
    return max((math.ceil(_work_s(pace.unit_s * total, pace.start_s)) for pace, total in work), default=1)


def _work_s(seconds: float, start_s: float) -> float:
    """Return how many jobs of `GOAL_MIN` some seconds of work are, start-up in each of them."""
    return max(1.0, seconds / max(60.0, 60 * GOAL_MIN - start_s))
