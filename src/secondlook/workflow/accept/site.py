"""What a profile says about a site, and the probes that follow: one per partition and kind of GPU, and the limits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from secondlook.base.errors import UsageError
from secondlook.base.resources import Resources
from secondlook.base.yamlfile import load
from secondlook.config.root import Config
from secondlook.workflow.run import Run

Kind = Literal["node", "vlm", "memory", "time", "requeue"]
NODE_MB, LIMITED_MB, VLM_MB = 2000, 800, 4000  # each job starts Snakemake twice, 140 MB each
NODE_MINUTES = 10
_MINUTES = {"time": 1, "vlm": 30}
_USUAL_LATENCY_S = 5.0  # of Snakemake, where the profile has no `latency-wait`


@dataclass(frozen=True)
class Probe:
    """A job of the run: what it does and what it asks for, under the names of Snakemake's resources."""

    kind: Kind
    mem_mb: int
    runtime: int
    gpu: int = 0
    slurm_partition: str | None = None
    gpu_model: str | None = None
    constraint: str | None = None

    @property
    def asks_for(self) -> str:
        """What it asks for, for people."""
        place = f"partition {self.slurm_partition}" if self.slurm_partition else "any partition"
        kind = " ".join(filter(None, (self.gpu_model, self.constraint)))
        return f"{place}, {self.gpu} GPU{f' ({kind})' if kind else ''}" if self.gpu else place


@dataclass(frozen=True)
class Site:
    """A profile: its executor, how long files may take to appear, its partitions with their limits, `config:` keys.

    `file` is absolute: Snakemake resolves what a profile names after it has changed to the folder of the run.
    """

    profile: str
    file: Path
    executor: str
    latency_s: float
    partitions: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, str]

    @classmethod
    def of(cls, profile: str) -> "Site":
        """Read a profile as Snakemake finds it; raises UsageError where there is none or it cannot be read."""
        file = _file_of(profile)
        content = _mapping(file)
        named = content.get("slurm-partition-config")
        partitions = _mapping(file.parent / str(named)).get("partitions") if named else {}
        if not isinstance(partitions, dict) or not all(isinstance(limits, dict) for limits in partitions.values()):
            raise UsageError(f"{file.parent / str(named)}: `partitions` must map each partition to its limits.")
        settings = content.get("config") or []
        pairs = settings.items() if isinstance(settings, dict) else (str(one).split("=", 1) for one in settings)
        latency_s = float(content.get("latency-wait", _USUAL_LATENCY_S))
        return cls(profile, file, str(content.get("executor", "local")), latency_s, partitions, dict(pairs))

    def probes(self, run: Run, *, quick: bool) -> dict[str, Probe]:
        """Return the probes by name; `quick` leaves out the limits and the VLM."""
        probes = dict(self._nodes(run))
        with_gpu = [probe for probe in probes.values() if probe.gpu]
        without = [probe for probe in probes.values() if not probe.gpu] or list(probes.values())
        limits: tuple[Kind, ...] = ("memory", "time", "requeue") if self.executor == "slurm" else ()
        if not quick:
            probes |= {kind: _like(without[0], kind) for kind in limits}
            probes["vlm"] = _like((with_gpu or without)[0], "vlm")
        return probes

    def _nodes(self, run: Run) -> Iterator[tuple[str, Probe]]:
        """Yield a probe per partition and kind of GPU in it, and one per kind that a model asks for beside these."""
        named: set[tuple[str | None, str | None]] = set()
        for number, (partition, limits) in enumerate(self.partitions.items()):
            kinds = _kinds(limits)
            named |= set(kinds)
            for model, constraint in kinds:
                tail = [str(part) for part in (model, constraint) if part]
                name = ".".join(["node", _safe(partition, number), *(_safe(one, 0) for one in tail)])
                gpus = int(bool(limits.get("max_gpu")))
                yield name, Probe("node", NODE_MB, NODE_MINUTES, gpus, partition, model, constraint)
        for number, (model, constraint) in enumerate(dict.fromkeys(self._asked_kinds(run))):
            if (model, constraint) not in named:
                name = f"gpu.{_safe('.'.join(filter(None, (model, constraint))), number)}"
                yield name, Probe("node", NODE_MB, NODE_MINUTES, 1, None, model, constraint)
        if not self.partitions:
            yield "node", Probe("node", NODE_MB, NODE_MINUTES)

    def _asked_kinds(self, run: Run) -> Iterator[tuple[str | None, str | None]]:
        """Yield the kinds of GPU that jobs of the tasks will ask for."""
        usual = (run.config.gpu_model or self.settings.get("gpu_model"),
                 run.config.gpu_constraint or self.settings.get("gpu_constraint"))  # fmt: skip
        if any(usual):
            yield usual
        for _, needs in needs_of(run):
            if needs.gpus and (needs.gpu_model or needs.gpu_constraint):
                yield needs.gpu_model or usual[0], needs.gpu_constraint or usual[1]


def needs_of(run: Run) -> Iterator[tuple[str, Resources]]:
    """Yield what the models of the tasks ask for, by name: labelers, their encoders, and what is trained for them."""
    for task in run.names:
        labelers, config = run.labelers_of(task), run.config_of(task)
        yield from ((name, labelers[name].resources) for name in labelers.names)
        yield from ((name, config.encoders[name].resources) for name in labelers.encoders())
        yield from _trained(config, sorted(labelers.trained()))


def _trained(config: Config, names: Sequence[str]) -> Iterator[tuple[str, Resources]]:
    for name in names:
        spec = config.classifiers.get(name) or config.vlms.get(name)
        if spec is not None:
            yield name, spec.resources


def _kinds(limits: Mapping[str, Any]) -> list[tuple[str | None, str | None]]:
    """Return the kinds of GPU of a partition as models and constraints; one without names where none is named."""
    if not limits.get("max_gpu"):
        return [(None, None)]
    models = [(str(model), None) for model in limits.get("available_gpu_models") or []]
    constraints = [(None, str(one)) for one in limits.get("available_constraints") or []]
    return [*models, *constraints] or [(None, None)]


def _like(node: Probe, kind: Kind) -> Probe:
    """Return a probe of another kind that goes to the same nodes."""
    memory = VLM_MB if kind == "vlm" else LIMITED_MB
    return replace(node, kind=kind, mem_mb=memory, runtime=_MINUTES.get(kind, 15))


def _safe(name: str, number: int) -> str:
    """Return a name that a file and a wildcard can have."""
    return name if name.replace("_", "").replace("-", "").isalnum() else f"number{number}"


def _mapping(file: Path) -> dict[str, Any]:
    return load(file)[0]


def _file_of(profile: str) -> Path:
    from snakemake.cli import get_profile_dir

    found = get_profile_dir(profile)
    if found is None:
        raise UsageError(
            f"--profile: there is no profile `{profile}` here; give the folder of one, such as profiles/slurm."
        )
    return Path(found[1]).absolute()
