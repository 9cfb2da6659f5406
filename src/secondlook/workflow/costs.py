"""`costs.yaml` next to this file: the costs of stages and networks, and the minutes of a job by these figures."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from secondlook.base.types import Precision
from secondlook.base.yamlfile import Strict, parse

COSTS_FILE = Path(__file__).with_name("costs.yaml")
Work = Literal["encoder", "classifier", "train", "vlm", "segmenter"]


class Network(Strict):
    """A network: billions of `parameters`, and GFLOP of a forward pass over one image.

    A VLM sees up to `tiles` images of an object and reads `tokens` for each of them.
    """

    parameters: float = Field(gt=0)
    gflop: float = Field(gt=0)
    tiles: int = Field(1, ge=1)
    tokens: int = Field(0, ge=0)

    @property
    def weights_gb(self) -> float:
        """The bytes that a job loads, in bfloat16."""
        return 2 * self.parameters


class Device(Strict):
    """A device: TFLOP/s by precision, the share of them that is `reached`, and the speed of loading weights."""

    name: str
    tflops: dict[Literal["bfloat16", "float32"], float]
    reached: float = Field(1.0, gt=0, le=1)
    read_gb_per_s: float = Field(gt=0)


@dataclass(frozen=True)
class Passes:
    """The work of a network in a job: so many images, and the GFLOP of one of them."""

    network: Network
    images: float
    work: Work
    precision: Precision
    gflop: float

    @classmethod
    def over(cls, network: Network | None, images: float, work: Work, precision: Precision) -> "Passes | None":
        """Return one pass over each image; None where the network is unknown."""
        return None if network is None else cls(network, images, work, precision, network.gflop)

    @property
    def number(self) -> Literal["bfloat16", "float32"]:
        """The kind of numbers that a GPU computes with."""
        return "float32" if self.precision == "float32" else "bfloat16"


class Costs(Strict):
    """All figures: of our stages, of devices, and of networks by name."""

    cpu_ms_per_object: dict[str, float]
    times_the_network: dict[Work, float]
    cpu: Device
    gpu: Device
    prompt_tokens: int
    networks: dict[str, Network]

    def cpu_minutes(self, stage: str, objects: float) -> float:
        """Return the minutes of a stage without a network."""
        return self.cpu_ms_per_object[stage] * objects / 60_000

    def minutes(self, passes: Passes, *, on_gpu: bool) -> float:
        """Return the minutes of a job: its operations at the reached speed, and its weights read once."""
        device = self._device(on_gpu=on_gpu)
        operations = passes.images * passes.gflop * self.times_the_network[passes.work]
        computing = operations / (60_000 * device.tflops[passes.number] * device.reached)
        return computing + self.loading_minutes(passes.network, on_gpu=on_gpu)

    def loading_minutes(self, network: Network | None, *, on_gpu: bool) -> float:
        """Return the minutes in which a job reads its weights, however few its objects are."""
        return network.weights_gb / self._device(on_gpu=on_gpu).read_gb_per_s / 60 if network else 0.0

    def vlm_gflop(self, network: Network, *, all_tiles: bool) -> float:
        """Return the GFLOP of one object: its tiles, and two operations per parameter and token."""
        tiles = network.tiles if all_tiles else 1
        return tiles * network.gflop + 2 * network.parameters * (tiles * network.tokens + self.prompt_tokens)

    def _device(self, *, on_gpu: bool) -> Device:
        return self.gpu if on_gpu else self.cpu


@cache
def load_costs(path: Path = COSTS_FILE) -> Costs:
    """Read the figures; raises UsageError where the file is missing."""
    return parse(Costs, path)
