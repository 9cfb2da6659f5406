"""The cost sheet of `secondlook plan NAME`: objects, minutes, memory and disk of each kind of job, and the sum."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from secondlook.base.resources import Resources
from secondlook.config.labelers.base import Cost
from secondlook.config.root import Config
from secondlook.io import cocofile, records
from secondlook.workflow.costs import Costs, Network, load_costs
from secondlook.workflow.labelers import Labelers
from secondlook.workflow.run import Run

CROP_BYTES = 10 * 1024  # a JPEG of quality 95 of a median 88 px crop
VOTE_BYTES, ROW_BYTES, VECTOR_BYTES = 120, 300, 3072  # a vector of 1,536 in float16
ASSUMED = 1000  # objects of a task whose data is not here
_FORWARD_AND_BACK = 3  # a step of training costs three forward passes
_BY_SHARD = ("crop", "embed", "label")
_CPU_NEEDS = Resources(mem_mb=4000)
_HEADINGS = ("stage", "model", "jobs", "objects", "GPU-min", "CPU-min", "memory GB", "weights GB", "disk MB")
_FORM = "  {:<10} {:<24} {:>5} {:>9} {:>9} {:>9} {:>10} {:>10} {:>9}"


@dataclass(frozen=True)
class Amount:
    """How many objects, images and reference objects a task has; None where that is not known."""

    objects: int | None
    images: int | None = None
    reference: int | None = None


@dataclass(frozen=True)
class Kind:
    """Jobs of one kind: how many, the objects and minutes of each, and the bytes that all of them leave.

    Minutes are None where nothing tells them, and `measured` where such jobs ran here. `on_server`: a GPU elsewhere.
    """

    stage: str
    model: str
    jobs: int
    objects: float
    minutes: float | None
    needs: Resources = _CPU_NEEDS
    network: Network | None = None
    disk_bytes: float = 0.0
    measured: bool = False
    on_server: bool = False

    @property
    def on_gpu(self) -> bool:
        """Whether the minutes are those of a GPU: of the job, or of the server that it asks."""
        return self.on_server or bool(self.needs.gpus)


def sheet(run: Run) -> str:
    """Return the sheet of every task of a run, and the sum of all."""
    costs, lines, everything = load_costs(), [], []
    for task in run.names:
        amount = amount_of(run, task)
        kinds = [_as_measured(run, task, kind) for kind in _kinds(_Task(run, task, amount, costs))]
        everything += kinds
        lines += [_title(run, task, amount), _FORM.format(*_HEADINGS), *map(_line, kinds)]
    jobs = sum(sum(run.jobs(task).values()) for task in run.names)
    return "\n".join([*lines, *_sum(everything, jobs, costs)])


def amount_of(run: Run, task: str) -> Amount:
    """Count the objects of a task from what `ingest` left, else from its annotations where that is cheap."""
    folder = Path(run.folder(task)) / "ingest"
    instances, reference = folder / "instances.parquet", folder / "reference.parquet"
    objects = objects_of(run, task)
    if instances.is_file():
        images = {row["image_id"] for row in records.read_columns(instances, records.INSTANCE, ["image_id"])}
        trusted = records.count(reference, records.INSTANCE) if reference.is_file() else None
        return Amount(objects, len(images), trusted)
    return Amount(objects)


def objects_of(run: Run, task: str) -> int | None:
    """Count the objects alone: of what `ingest` left its head says it."""
    instances, dataset = Path(run.folder(task)) / "ingest" / "instances.parquet", run.tasks[task].dataset
    if instances.is_file():
        return records.count(instances, records.INSTANCE)
    annotations = Path(dataset.path)
    return len(cocofile.read(annotations).annotations) if dataset.is_coco_file() and annotations.is_file() else None


@dataclass(frozen=True)
class _Task:
    """A task of a run, and with what its jobs are reckoned."""

    run: Run
    name: str
    amount: Amount
    costs: Costs

    @property
    def config(self) -> Config:
        return self.run.config_of(self.name)

    @property
    def labelers(self) -> Labelers:
        return self.run.labelers_of(self.name)

    @property
    def objects(self) -> int:
        return ASSUMED if self.amount.objects is None else self.amount.objects

    @property
    def parts(self) -> int:
        return self.run.config.shards // self.run.config.shards_per_job

    @property
    def each(self) -> float:
        return self.objects / self.parts

    def network(self, name: str | None) -> Network | None:
        return self.costs.networks.get(name or "")

    def by_shard(
        self, stage: str, model: str, minutes: float | None, needs: Resources, network: Network | None, size: int
    ) -> Kind:
        """Return jobs that take a part of the objects each and leave `size` bytes of each object."""
        return Kind(stage, model, self.parts, self.each, minutes, needs, network, size * self.objects)

    def at_once(self, stage: str) -> Kind:
        """Return the one job of a stage that takes all objects and computes with no network."""
        minutes = self.costs.cpu_minutes(stage, self.objects)
        return Kind(stage, "", 1, self.objects, minutes, disk_bytes=ROW_BYTES * self.objects)


def _kinds(task: _Task) -> Iterator[Kind]:
    """Yield the kinds of jobs of a task, in the order in which data flows."""
    yield task.at_once("ingest")
    yield task.by_shard("crop", "", task.costs.cpu_minutes("crop", task.each), _CPU_NEEDS, None, CROP_BYTES)
    if task.labelers.show_cutouts():
        yield _cutouts(task)
    yield from _vectors(task)
    yield from _trainings(task)
    yield from (_votes(task, labeler) for labeler in task.labelers.names)
    yield task.at_once("consensus")
    yield task.at_once("evaluate")


def _cutouts(task: _Task) -> Kind:
    options = task.config.cutout
    network = task.network(options.segmenter)
    seen = (task.amount.images or task.objects) / task.parts  # an image is encoded once
    needs = options.resources
    minutes = task.costs.minutes(network, seen, "segmenter", options.precision, on_gpu=bool(needs.gpus))
    return task.by_shard("crop", "cutout", minutes, needs, network, CROP_BYTES)


def _vectors(task: _Task) -> Iterator[Kind]:
    for name in task.labelers.encoders():
        spec = task.config.encoders[name]
        network, on_gpu = task.network(spec.model), bool(spec.resources.gpus)
        minutes = task.costs.minutes(network, task.each, "encoder", spec.precision, on_gpu=on_gpu)
        yield task.by_shard("embed", name, minutes, spec.resources, network, VECTOR_BYTES)


def _trainings(task: _Task) -> Iterator[Kind]:
    """Yield the training of each classifier; how long it takes is known once the reference is counted."""
    for name in sorted(task.labelers.trained() & task.config.classifiers.keys()):
        spec, reference = task.config.classifiers[name], task.amount.reference
        network, on_gpu = task.network(spec.model), bool(spec.resources.gpus)
        shown = _FORWARD_AND_BACK * spec.epochs * (reference or 0)
        minutes = task.costs.minutes(network, shown, "train", spec.precision, on_gpu=on_gpu)
        minutes = None if reference is None else minutes
        left = 4e9 * network.parameters if network else 0.0
        yield Kind("train", name, 1, reference or 0, minutes, spec.resources, network, left)


def _votes(task: _Task, labeler: str) -> Kind:
    voter = task.labelers[labeler]
    own = task.config.classifiers.get(voter.training(labeler) or "")
    network = task.network(own.model if own else voter.cost.network)
    minutes = _minutes_of_votes(task, voter.cost, network, on_gpu=voter.cost.on_server or bool(voter.resources.gpus))
    kind = task.by_shard("label", labeler, minutes, voter.resources, network, VOTE_BYTES)
    return replace(kind, on_server=voter.cost.on_server)


def _minutes_of_votes(task: _Task, cost: Cost, network: Network | None, *, on_gpu: bool) -> float | None:
    if cost.work == "vectors":
        return task.costs.cpu_minutes(cost.work, task.each)
    gflop = None
    if network is not None and cost.all_tiles is not None:
        gflop = task.costs.vlm_gflop(network, all_tiles=cost.all_tiles)
    return task.costs.minutes(network, task.each, cost.work, cost.precision, on_gpu=on_gpu, gflop=gflop)


def _as_measured(run: Run, task: str, kind: Kind) -> Kind:
    """Return a kind of jobs with the mean minutes of those that ran here, where any did."""
    folder, name = Path(run.folder(task)) / "benchmark", ".".join(filter(None, (kind.stage, kind.model)))
    files = list(folder.glob(f"{name}.[0-9]*.tsv" if kind.stage in _BY_SHARD else f"{name}.tsv"))
    if not files:
        return kind
    seconds = [float(pd.read_csv(path, sep="\t")["s"].mean()) for path in files]
    return replace(kind, minutes=sum(seconds) / len(seconds) / 60, measured=True)


def _title(run: Run, task: str, amount: Amount) -> str:
    known = (
        f"{amount.objects} objects"
        if amount.objects is not None
        else f"reckoned for {ASSUMED} objects: its data is not here"
    )
    return f"task {task}: {known}, {run.config.shards} shards; objects, minutes, memory and weights are those of a job"


def _line(kind: Kind) -> str:
    minutes = "?" if kind.minutes is None else f"{kind.minutes:.2f}{'*' if kind.measured else ''}"
    return _FORM.format(
        *(kind.stage, kind.model, kind.jobs, f"{kind.objects:.0f}"),
        *((minutes, "-") if kind.on_gpu else ("-", minutes)),
        f"{kind.needs.mem_mb / 1000:.0f}",
        f"{kind.network.weights_gb:.1f}" if kind.network else "-",
        f"{kind.disk_bytes / 1e6:.1f}",
    ).rstrip()


def _sum(kinds: Sequence[Kind], jobs: int, costs: Costs) -> list[str]:
    hours = {True: 0.0, False: 0.0}
    for kind in kinds:
        hours[kind.on_gpu] += kind.jobs * (kind.minutes or 0.0) / 60
    unknown = sorted({kind.model for kind in kinds if kind.minutes is None})
    weights = sum({kind.network: kind.network.weights_gb for kind in kinds if kind.network}.values())
    lines = [
        f"sum: {jobs} jobs, {hours[True]:.1f} GPU-hours, {hours[False]:.2f} CPU-hours, "
        f"at most {max(kind.needs.mem_mb for kind in kinds) / 1000:.0f} GB of memory in a job, "
        f"{sum(kind.disk_bytes for kind in kinds) / 1e9:.2f} GB of results, {weights:.1f} GB of weights",
        f"  minutes are estimates by the package's costs.yaml (GPU: {costs.gpu.name}); "
        "* is the mean of jobs that ran here",
    ]
    if unknown:
        lines.append(f"  not in the sum (?), because nothing tells how long they take yet: {', '.join(unknown)}")
    return lines
