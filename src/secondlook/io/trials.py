"""Trials of the pilot: what a command needed on a few objects, and what it will need on a part of the dataset."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from secondlook.base.errors import DataError
from secondlook.base.text import counted
from secondlook.io import files

PILOT = "pilot"  # the folder of the pilot in the results; in it the tasks have the folders that they have there
SHARDS = ("00000", "00001", "00002")  # of a sample: two small ones, and the rest
SAMPLE, PAGE = "sample.json", "pilot.html"
_FAILED = ".failed"  # beside a trial: a line for each time that it failed
Unit = Literal["object", "image"]


@dataclass(frozen=True)
class Asked:
    """What the first attempt of a job requests."""

    gpus: int
    cpus: int
    mem_mb: int
    runtime: int

    def at(self, attempt: int) -> str:
        """Return in words what an attempt requests."""
        return f"{attempt * self.mem_mb} MB and {counted(attempt * self.runtime, 'minute')}"


@dataclass(frozen=True)
class Pace:
    """The seconds of a job: `start_s` once, `file_s` for each file, `unit_s` for each object or image."""

    start_s: float
    file_s: float
    unit_s: float
    unit: Unit

    @classmethod
    def of(cls, appeared_s: Sequence[float], seconds: float, sizes: Sequence[int], unit: Unit) -> "Pace":
        """Return the pace of a command that made three files one after the other, the first two of them small.

        `appeared_s` are the seconds until each file was there, `seconds` those until the command ended. The second and
        the third file give the seconds of a file and of a unit; the rest is start-up: it holds what is loaded once.
        """
        second, third = appeared_s[1] - appeared_s[0], appeared_s[2] - appeared_s[1]
        unit_s = (third - second) / (sizes[2] - sizes[1]) if sizes[2] > sizes[1] else 0.0
        file_s = second - unit_s * sizes[1]
        if unit_s <= 0 or file_s < 0:  # a file alone costs nothing that can be measured
            unit_s, file_s = (second + third) / max(1, sizes[1] + sizes[2]), 0.0
        return cls(max(0.0, seconds - 3 * file_s - unit_s * sum(sizes)), file_s, unit_s, unit)

    def seconds(self, units: float, number_of_files: int = 1) -> float:
        """Return the seconds of a job on so many objects or images."""
        return self.start_s + number_of_files * self.file_s + self.unit_s * units


@dataclass(frozen=True)
class Trial:
    """A command that was tried: `sentence` says why it failed, None where it did not.

    `untried`: nothing failed, but the sample is too small to teach it; `sentence` says so.
    `killed` are the attempts before this one, which left no record. `pace` is None where nothing was timed file by
    file; `cached`: the results cache answered, or an earlier attempt had done a part, so that its seconds and memory
    say nothing.
    """

    step: str
    command: Sequence[str]
    asked: Asked
    attempt: int = 1
    sentence: str | None = None
    seconds: float = 0.0
    peak_mb: int | None = None
    gpu_mb: int | None = None
    pace: Pace | None = None
    cached: bool = False
    untried: bool = False

    @property
    def killed(self) -> str | None:
        """What the attempts before this one requested, in words; None for the first one."""
        before = [f"attempt {one} ({self.asked.at(one)})" for one in range(1, self.attempt)]
        return f"was killed at {' and at '.join(before)}" if before else None

    def write(self, path: Path) -> None:
        """Write the trial as JSON."""
        files.write_text(path, json.dumps(asdict(self), indent=2) + "\n")


def failures(path: Path) -> int:
    """Return how often the trial that is written to `path` has failed so far."""
    noted = path.with_suffix(_FAILED)
    return len(noted.read_text(encoding="utf-8").splitlines()) if noted.is_file() else 0


def note_failure(path: Path, sentence: str) -> None:
    """Note beside a trial that it failed; no output of a job, for the next plan counts these lines to try it again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(_FAILED).open("a", encoding="utf-8") as noted:
        noted.write(" ".join(sentence.split()) + "\n")


def read_trial(path: Path) -> Trial:
    """Read a trial; raises DataError for a file that is none."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        pace = content.pop("pace")
        asked = Asked(**content.pop("asked"))
        return Trial(**content, asked=asked, pace=None if pace is None else Pace(**pace))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is no trial of the pilot; run `snakemake pilot` again.") from error


@dataclass(frozen=True)
class Sample:
    """How many objects and images are in each file of a sample, and in the dataset."""

    objects: Sequence[int]
    images: Sequence[int]
    of_objects: int
    of_images: int
    classes: dict[str, int] = field(default_factory=dict)

    def sizes(self, unit: Unit) -> Sequence[int]:
        """Return the number of objects or images of each file."""
        return self.images if unit == "image" else self.objects

    def total(self, unit: Unit) -> int:
        """Return the number of objects or images of the dataset."""
        return self.of_images if unit == "image" else self.of_objects

    def write(self, path: Path) -> None:
        """Write the counts as JSON."""
        files.write_text(path, json.dumps(asdict(self), indent=2) + "\n")


def read_sample(path: Path) -> Sample:
    """Read the counts of a sample; raises DataError for a file that has none."""
    try:
        return Sample(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: does not describe a sample; run `snakemake pilot` again.") from error
