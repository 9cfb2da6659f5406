"""What `make bench-gpu` measured on a kind of GPU, as the minutes of a job there."""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from secondlook.base.errors import UsageError
from secondlook.base.yamlfile import Strict, parse
from secondlook.workflow.costs import Costs, Passes, Work

FOLDER = Path(__file__).with_name("gpus")  # `bench/results` of a checkout is a link to it
_LIKE: dict[Work, Work] = {"classifier": "encoder"}  # a pass over the same network, where it was not measured itself


class Timing(Strict):
    """The seconds that a network of `costs.yaml` needs for an object in a kind of work; for an image as a segmenter.

    They are those of the whole stage, pixels included. `measured` says on how many objects or images.
    """

    work: Work
    network: str
    precision: Literal["bfloat16", "float32"]
    all_tiles: bool = False
    seconds: float = Field(gt=0)
    measured: int = Field(ge=1)

    def gflop(self, costs: Costs) -> float:
        """Return the GFLOP of an object."""
        network = costs.networks[self.network]
        return costs.vlm_gflop(network, all_tiles=self.all_tiles) if self.work == "vlm" else network.gflop


class GpuBench(Strict):
    """A file of the bench: the GPU by the name of its driver, and what was measured on it.

    `others` are seconds of what the plan does not price, by what they are of; `peak_gb` is the most GPU memory of each
    part, `ratios` are the results that the bench printed, and `left_out` says why a part has no figures.
    """

    gpu: str
    date: str
    versions: dict[str, str]
    timings: list[Timing]
    others: dict[str, float]
    peak_gb: dict[str, float]
    ratios: dict[str, float]
    left_out: dict[str, str]

    def minutes(self, costs: Costs, passes: Passes) -> float | None:
        """Return the minutes of a job by the nearest measured network; None where none did this work.

        Nearest is the network itself, else the one with the most similar operations, at whose rate it computes.
        """
        for kind in (passes.work, _LIKE.get(passes.work)):
            fitting = [one for one in self.timings if (one.work, one.precision) == (kind, passes.number)]
            if fitting:
                nearest = min(fitting, key=lambda one: _distance(one, costs, passes))
                seconds = passes.images * nearest.seconds * passes.gflop / nearest.gflop(costs)
                return seconds / 60 + costs.loading_minutes(passes.network, on_gpu=True)
        return None


def read_benches(costs: Costs) -> list[GpuBench]:
    """Read all files of the bench, none where the folder is empty or missing.

    Raises UsageError for a file that is not one, or names a network without costs.
    """
    benches = []
    for path in sorted(FOLDER.glob("*.json")):
        bench = parse(GpuBench, path)
        for timing in bench.timings:
            if timing.network not in costs.networks:
                raise UsageError(
                    f"{path}: `{timing.network}` is no network of costs.yaml; measure again with `make bench-gpu`, or "
                    "remove the file."
                )
        benches.append(bench)
    return benches


def bench_of(gpu: str, benches: Iterable[GpuBench]) -> GpuBench | None:
    """Return the file for a kind of GPU: the one whose name has all words of `gpu`, and the fewest others.

    `a100` and `nvidia_a100_80gb` mean an "NVIDIA A100-SXM4-80GB"; a part of a GPU such as `3g.40gb` means none.
    """
    words = set(_words(gpu))
    fitting = [bench for bench in benches if words and words <= {*_words(bench.gpu)}]
    return min(fitting, key=lambda bench: (len(_words(bench.gpu)), bench.gpu), default=None)


def file_of(gpu: str) -> str:
    """Return the name of the file for the name that a driver gives its GPU."""
    return f"{'-'.join(_words(gpu))}.json"


def _words(gpu: str) -> Sequence[str]:
    return re.findall(r"[a-z0-9]+", gpu.lower())


def _distance(timing: Timing, costs: Costs, passes: Passes) -> tuple[bool, float, str]:
    other = costs.networks[timing.network] != passes.network
    return other, abs(math.log(passes.gflop / timing.gflop(costs))), timing.network
