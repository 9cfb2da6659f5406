"""What one job of a rule costs: its objects, its minutes, the network that it loads, and the bytes that it writes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from secondlook.config.exports import EXPORT_FORMATS
from secondlook.config.labelers import LEARNERS
from secondlook.config.labelers.base import Cost
from secondlook.config.root import Config
from secondlook.models.native import native_of
from secondlook.workflow import vlm_ids
from secondlook.workflow.amounts import Amount, image_bytes_of
from secondlook.workflow.costs import Costs, Network, Passes
from secondlook.workflow.gpu_bench import GpuBench, bench_of
from secondlook.workflow.run import Run

CROP_BYTES = 10 * 1024  # a JPEG of quality 95 of a median 88 px crop
VOTE_BYTES, ROW_BYTES, VECTOR_BYTES = 120, 300, 3072  # a vector of 1,536 in float16
ASSUMED = 1000  # objects of a task whose data is missing
_FORWARD_AND_BACK = 3  # a training step costs three forward passes


@dataclass(frozen=True)
class JobCost:
    """What one job of a kind needs: its objects, its minutes, the network that it loads, and the bytes that it writes.

    Objects and minutes are None where unknown. `on_server`: a GPU elsewhere computes. `asked` is the share of the
    objects of its shards that the labeler is asked about; objects and minutes are those of this share, and `if_all` are
    the minutes if it were asked about all.
    """

    objects: float | None = None
    minutes: float | None = None
    network: Network | None = None
    disk_bytes: float = 0.0
    on_server: bool = False
    asked: float = 1.0
    whole: float | None = None

    @property
    def if_all(self) -> float | None:
        """The minutes if the labeler were asked about all objects of its shards."""
        return self.minutes if self.asked == 1 else self.whole

    def lasting(self, if_all: float | None) -> "JobCost":
        """Return the cost where the job lasts so many minutes if all objects are asked; none asked take none."""
        minutes = if_all if self.asked == 1 else 0.0 if self.asked == 0 else if_all and if_all * self.asked
        return replace(self, minutes=minutes, whole=if_all)

    def of_share(self, share: float) -> "JobCost":
        """Return the cost where a share of all objects is asked, in place of the share so far."""
        part = share / self.asked
        objects = None if self.objects is None else self.objects * part
        return replace(self, objects=objects, asked=share).lasting(self.if_all)


@dataclass(frozen=True)
class TaskFigures:
    """A task of a run, with the figures for the costs of its jobs."""

    run: Run
    name: str
    amount: Amount
    costs: Costs
    benches: Sequence[GpuBench] = ()
    bench: GpuBench | None = None

    def on(self, gpu: str | None) -> "TaskFigures":
        """Return the task with the bench of a kind of GPU, of the one that is assumed if it is unknown."""
        return replace(self, bench=bench_of(gpu or self.costs.gpu.name, self.benches))

    @property
    def config(self) -> Config:
        return self.run.config_of(self.name)

    @property
    def objects(self) -> int:
        return ASSUMED if self.amount.objects is None else self.amount.objects

    @property
    def parts(self) -> int:
        return self.run.files.job_count(self.name)

    @property
    def each(self) -> float:
        return self.objects / self.parts

    @property
    def folds(self) -> int:
        """How often a labeler with its own training is trained."""
        return self.run.tasks[self.name].reference.count or 1

    @property
    def taught(self) -> float | None:
        """The objects that one training learns from: the reference, out of fold those of all other folds too."""
        if self.run.tasks[self.name].reference.own is None:
            return self.amount.reference
        return self.objects * (self.folds - 1) / self.folds + (self.amount.reference or 0)

    @cached_property
    def cannot_run(self) -> Mapping[tuple[str, str], str]:
        return vlm_ids.cannot_run(self.config, self.run.tasks[self.name].labelers)

    def network(self, name: str | None) -> Network | None:
        return self.costs.networks.get(native_of(name) if name else "")

    def minutes(self, passes: Passes | None, *, on_gpu: bool) -> float | None:
        """Return the minutes of a job as `Costs.minutes` does, by the bench of its GPU where there is one."""
        if passes is None:
            return None
        measured = self.bench.minutes(self.costs, passes) if on_gpu and self.bench is not None else None
        return self.costs.minutes(passes, on_gpu=on_gpu) if measured is None else measured

    def by_shard(self, minutes: float | None, network: Network | None, size: int) -> JobCost:
        """Return the cost of a job on a part of the objects that writes `size` bytes for each."""
        return JobCost(self.each, minutes, network, size * self.each)


def _at_once(rule: str, task: TaskFigures, _: str) -> JobCost:
    """Return the cost of a job on all objects without a network."""
    minutes = task.costs.cpu_minutes(rule, task.objects)
    return JobCost(task.objects, minutes, disk_bytes=ROW_BYTES * task.objects)


def _crops(task: TaskFigures, objects: float | None) -> JobCost:
    if objects is None:
        return JobCost()
    return JobCost(objects, task.costs.cpu_minutes("crop", objects), disk_bytes=CROP_BYTES * objects)


def _cutouts(task: TaskFigures, _: str) -> JobCost:
    options = task.config.cutout
    network, on_gpu = task.network(options.segmenter), bool(options.resources.gpus)
    seen = (task.amount.images or task.objects) / task.parts  # an image is encoded once
    passes = Passes.over(network, seen, "segmenter", options.precision)
    return task.by_shard(task.minutes(passes, on_gpu=on_gpu), network, CROP_BYTES)


def _vectors(task: TaskFigures, encoder: str, objects: float | None) -> JobCost:
    spec = task.config.encoders[encoder]
    network, on_gpu = task.network(spec.model), bool(spec.resources.gpus)
    if objects is None:
        return JobCost(network=network)
    if not spec.is_network:
        return JobCost(objects, task.costs.cpu_minutes(spec.kind, objects), disk_bytes=VECTOR_BYTES * objects)
    minutes = task.minutes(Passes.over(network, objects, "encoder", spec.precision), on_gpu=on_gpu)
    return JobCost(objects, minutes, network, VECTOR_BYTES * objects)


def _training(task: TaskFigures, classifier: str) -> JobCost:
    """Return the cost of the training of a classifier; its minutes are known once what it learns from is counted."""
    spec, taught = task.config.classifiers[classifier], task.taught
    network, on_gpu = task.network(spec.model), bool(spec.resources.gpus)
    left = 4e9 * network.parameters if network else 0.0
    if taught is None:
        return JobCost(None, None, network, left)
    passes = Passes.over(network, _FORWARD_AND_BACK * spec.epochs * taught, "train", spec.precision)
    return JobCost(taught, task.minutes(passes, on_gpu=on_gpu), network, left)


def _fine_tuning(task: TaskFigures, vlm: str) -> JobCost:
    """Return the cost of the training of a VLM; adapters leave next to nothing."""
    spec, taught = task.config.vlms[vlm], task.taught
    network, on_gpu = task.network(spec.model), bool(spec.resources.gpus)
    left = 2e9 * network.parameters if network and spec.method == "full" else 0.0
    if taught is None or network is None:
        return JobCost(taught, None, network, left)
    gflop, shown = task.costs.vlm_gflop(network, all_tiles=False), _FORWARD_AND_BACK * spec.epochs * taught
    minutes = task.minutes(Passes(network, shown, "train", spec.precision, gflop), on_gpu=on_gpu)
    return JobCost(taught, minutes, network, left)


def _learning(task: TaskFigures, _: str) -> JobCost:
    """Return the cost of what is learned from vectors, out of fold all folds in one job."""
    taught = task.taught
    return JobCost() if taught is None else JobCost(taught, task.folds * task.costs.cpu_minutes("learn", taught))


def _votes(task: TaskFigures, labeler: str) -> JobCost:
    voter = task.config.labelers[labeler]
    own = task.config.classifiers.get(voter.training(labeler) or "")
    network = task.network(own.model if own else voter.cost.network)
    minutes = _minutes_of_votes(task, voter.cost, network, on_gpu=voter.cost.on_server or bool(voter.resources.gpus))
    cost = replace(task.by_shard(minutes, network, VOTE_BYTES), on_server=voter.cost.on_server)
    return cost if voter.ask is None else cost.of_share(voter.ask.most)


def _exported(task: TaskFigures, written: str) -> JobCost:
    """Return the size of an export that holds the images; how long it takes is known once it ran."""
    kind = EXPORT_FORMATS.get(written.rpartition("/")[2])
    holds = kind is not None and kind.images
    return JobCost(disk_bytes=float(image_bytes_of(task.run, task.name))) if holds else JobCost()


def _minutes_of_votes(task: TaskFigures, cost: Cost, network: Network | None, *, on_gpu: bool) -> float | None:
    if cost.work == "vectors":
        return task.costs.cpu_minutes(cost.work, task.each)
    passes = Passes.over(network, task.each, cost.work, cost.precision)
    if passes is not None and cost.all_tiles is not None:
        passes = replace(passes, gflop=task.costs.vlm_gflop(passes.network, all_tiles=cost.all_tiles))
    return task.minutes(passes, on_gpu=on_gpu)


# the cost of a job of a rule, for a task and the model in the wildcards of the job; others are known once they ran
COSTS: Mapping[str, Callable[[TaskFigures, str], JobCost]] = {
    **{rule: partial(_at_once, rule) for rule in ("ingest", "consensus", "evaluate")},
    "crop": lambda task, _: _crops(task, task.each),
    "crop_reference": lambda task, _: _crops(task, task.amount.reference),
    "cutout": _cutouts,
    "embed": lambda task, encoder: _vectors(task, encoder, task.each),
    "embed_reference": lambda task, encoder: _vectors(task, encoder, task.amount.reference),
    **dict.fromkeys(("train", "train_fold"), _training),
    **dict.fromkeys(("train_vlm", "train_vlm_fold"), _fine_tuning),
    **dict.fromkeys([f"train_{kind}{folds}" for kind in LEARNERS for folds in ("", "_folds")], _learning),
    "ask": lambda task, _: _at_once("consensus", task, ""),
    "label": _votes,
    "export_folder": _exported,
}
