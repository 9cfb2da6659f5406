"""Whether jobs fit what they request: the minutes and memory of each kind of job, and the shards that make them fit.

The minutes of a job by shard are `loading + work / parts`: more parts shorten its work, never the loading of weights.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from secondlook.config.root import Config
from secondlook.workflow.costs import load_costs
from secondlook.workflow.job_groups import JobGroup

MOST_JOBS = 5000
LONGEST_ATTEMPT = 3  # the profiles allow two retries, and attempt n gets n times the minutes
_DONE_ONCE = 100
_SHORT_MIN, _AIM_MIN, _LONG_MIN = 30, 60, 90  # minutes of the slowest GPU job by shard
_AIM_CPU_MIN = 15  # of the slowest job by shard, where none of them needs a GPU
_BESIDE_WEIGHTS_MB = 2000  # Python with PyTorch; a lower bound, as activations are not counted
_ROUNDING = 1 + 1e-6
SPARE = 1.2  # of a proposed limit, over the estimate
_TINY_MIN = 10  # no proposal makes jobs that short only because of their limit
_INSTEAD_MIN = 50  # and these minutes are aimed at instead, with a longer limit: an hour with what is spare


@dataclass(frozen=True)
class Fit:
    """Kinds of jobs with known costs, split into `parts` now, and what makes all of them fit.

    `others` is the number of jobs that do not depend on the number of parts. With `shards: auto` each task has a number
    of its own: `parts` is 1 then, and stands for the split of now.
    """

    kinds: Sequence[JobGroup]
    parts: int
    others: int

    @classmethod
    def of(cls, kinds: Iterable[JobGroup], config: Config) -> "Fit":
        """Return the fit of some kinds of jobs under the shards of a config."""
        groups = list(kinds)
        others = sum(kind.jobs for kind in groups if not kind.by_part)
        parts = 1 if config.shards == "auto" else config.shards // config.shards_per_job
        return cls(groups, parts, others)

    @cached_property
    def able(self) -> list[JobGroup]:
        """The kinds of jobs that can run: those that are judged."""
        return [kind for kind in self.kinds if not kind.cannot_run]

    @cached_property
    def unable(self) -> list[JobGroup]:
        """The kinds of jobs that cannot run, whatever their limits."""
        return [kind for kind in self.kinds if kind.cannot_run]

    @cached_property
    def unknown(self) -> list[JobGroup]:
        """The kinds of jobs that can run, and whose minutes are unknown."""
        return [kind for kind in self.able if kind.cost.minutes is None]

    def minutes(self, kind: JobGroup, parts: int) -> float:
        """Return the minutes of a job if the objects were split into so many parts; 0 where they are unknown."""
        now, loading = kind.cost.minutes or 0.0, loading_minutes(kind)
        return loading + (now - loading) * self.parts / parts if kind.by_part else now

    def too_long(self, parts: int) -> list[JobGroup]:
        """Return the kinds of jobs that would exceed the limit of their first attempt."""
        return [kind for kind in self.able if self.minutes(kind, parts) > kind.needs.runtime * _ROUNDING]

    @cached_property
    def too_large(self) -> list[JobGroup]:
        """The kinds of jobs whose weights alone need more memory than they request."""
        return [kind for kind in self.able if kind.needs.mem_mb < least_memory_mb(kind)]

    @property
    def fits(self) -> bool:
        """Whether every kind of job stays below its limits."""
        return not self.too_long(self.parts) and not self.too_large

    def slowest(self, parts: int) -> JobGroup | None:
        """Return the kind of the longest GPU job by shard, None without one."""
        on_gpu = [kind for kind in self.able if kind.by_part and kind.on_gpu and kind.cost.minutes]
        return max(on_gpu, key=lambda kind: self.minutes(kind, parts), default=None)

    def suits(self, minutes: float) -> bool:
        """Whether the slowest GPU job by shard may last so long; jobs of a single part may be shorter."""
        return minutes <= _LONG_MIN * _ROUNDING and (minutes >= _SHORT_MIN or self.parts == 1)

    @cached_property
    def most_parts(self) -> int:
        """The most parts with which a run stays below 5,000 jobs, a hundred of them for what is done once."""
        by_part = sum(kind.by_part for kind in self.kinds)
        return most_parts(by_part, self.others) if by_part else self.parts

    @cached_property
    def best_parts(self) -> int:
        """The parts for which jobs fit, and the slowest GPU job lasts about an hour, unless that are too many jobs."""
        by_part = [kind for kind in self.able if kind.by_part]
        slowest = self.slowest(1)
        least = [self._least_parts(kind, self._aim(kind)) for kind in by_part]
        wanted = [parts for parts in least if parts <= self.most_parts]
        if slowest is not None:
            wanted.append(min(self.most_parts, self._least_parts(slowest, _AIM_MIN)))
        return max(1, *wanted) if wanted else self.parts

    @cached_property
    def even_parts(self) -> int:
        """The power of two that `shards: auto` takes for a dataset: these parts, rounded up.

        Without a GPU job by shard, the slowest of all lasts a quarter of an hour: cores then share the work.
        """
        wanted = self.best_parts
        if self.slowest(1) is None:
            by_part = [kind for kind in self.able if kind.by_part]
            wanted = max([wanted, *(self._least_parts(kind, _AIM_CPU_MIN) for kind in by_part)])
        most = 1 << (self.most_parts.bit_length() - 1)
        return min(most, 1 << (wanted - 1).bit_length())

    def _aim(self, kind: JobGroup) -> float:
        """Return the minutes that a job should last at most: a fifth below its limit, unless that limit is tiny."""
        most = kind.needs.runtime / SPARE
        if most >= _TINY_MIN:
            return most
        exceeded = self.minutes(kind, self.parts) > kind.needs.runtime * _ROUNDING
        return _INSTEAD_MIN if exceeded else most

    @property
    def parts_to_set(self) -> int:
        """The parts of now, unless jobs exceed their limit, or the slowest GPU job is too long, or too short.

        More parts than needed still fit; fewer are proposed only where GPU jobs last less than half an hour.
        """
        slowest = self.slowest(self.parts)
        minutes = self.minutes(slowest, self.parts) if slowest is not None else None
        exceeded = any(kind.by_part for kind in self.too_long(self.parts))
        unsuited = minutes is not None and not self.suits(minutes)
        if not (exceeded or unsuited):
            return self.parts
        fewer_help = minutes is not None and minutes < _SHORT_MIN
        more_help = exceeded or not fewer_help
        return self.best_parts if (fewer_help if self.best_parts < self.parts else more_help) else self.parts

    def _least_parts(self, kind: JobGroup, limit: float) -> int:
        """Return the fewest parts whose jobs last no longer than `limit` minutes; too many where none are enough."""
        loading = loading_minutes(kind)
        work = self.minutes(kind, 1) - loading
        return math.ceil(work / (limit - loading) / _ROUNDING) if loading < limit else MOST_JOBS + 1


def most_parts(by_part: int, others: int) -> int:
    """Return the most parts of a run with `by_part` jobs for each part and `others` that do not depend on them."""
    return max(1, (MOST_JOBS - max(others, _DONE_ONCE)) // by_part)


def loading_minutes(kind: JobGroup) -> float:
    """Return the minutes in which a job reads its weights, at most those that it lasts."""
    return min(kind.cost.minutes or 0.0, load_costs().loading_minutes(kind.cost.network, on_gpu=kind.on_gpu))


def least_memory_mb(kind: JobGroup) -> float:
    """Return the memory that a job needs at least: its weights pass through it; 0 where another process loads them."""
    network = kind.cost.network
    return 0.0 if network is None or kind.cost.on_server else 1000 * network.weights_gb + _BESIDE_WEIGHTS_MB
