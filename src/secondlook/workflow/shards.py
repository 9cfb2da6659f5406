"""Shards of a dataset, and how the wildcards of rules name them."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from secondlook.io.outputs import SPLIT_AT_ONCE

_VARIABLE = "SECONDLOOK_SHARDS"


def hand_down(splits: Mapping[str, int]) -> None:
    """Leave the number of shards of each task to the jobs that this process starts, in their environment.

    They read the Snakefile as well, and could decide otherwise: objects that were guessed may be counted by now.
    """
    os.environ[_VARIABLE] = json.dumps(dict(splits))


def handed_down() -> dict[str, int]:
    """Return the number of shards of each task as the process that planned this job decided; empty where none did."""
    splits: dict[str, int] = json.loads(os.environ.get(_VARIABLE, "{}"))
    return splits


def tails(per_job: int) -> list[str]:
    """Return the last digits of the shards of a job; the digits before them are its `part`.

    One job makes the shards 00120 to 00129 when there are ten a job: part 0012, tails 0 to 9. So the outputs of a
    job follow from its wildcard, whatever their number.
    """
    digits = len(str(per_job)) - 1
    return [f"{tail:0{digits}d}" if digits else "" for tail in range(per_job)]


@dataclass(frozen=True)
class Shards:
    """The number of shards into which the dataset of a task is split, and how many of them one job takes."""

    count: int
    per_job: int

    @property
    def parts(self) -> int:
        """The number of jobs for all shards."""
        return self.count // self.per_job

    def names(self) -> list[str]:
        """Return the names of the shards: five digits."""
        return [f"{shard:05d}" for shard in range(self.count)]

    def split_tails(self) -> list[str]:
        """Return the last two digits of the shards of a job of `split`; those after the last shard have no rows."""
        return [f"{tail:02d}" for tail in range(min(SPLIT_AT_ONCE, self.count))]

    def of(self, part: str) -> list[str]:
        """Return the shards of a job."""
        return [f"{part}{tail}" for tail in tails(self.per_job)]
