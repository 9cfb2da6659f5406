"""What a job requests: GPUs, CPUs, memory and time."""

from typing import Annotated

from pydantic import Field

from secondlook.base.yamlfile import Strict

GpuName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")]


class Resources(Strict):
    """What a job of a model requests.

    These keys decide where a job runs, never what it computes: changing them runs nothing again.
    """

    gpus: int = Field(0, ge=0)
    """Number of GPUs."""
    gpu_model: GpuName | None = None
    """Kind of GPU, as the cluster names it; left out, `gpu_model` of the whole run. Ignored without GPUs."""
    gpu_constraint: str | None = None
    """Slurm constraint (`sbatch -C`); left out, that of the whole run. Ignored without GPUs."""
    cpus: int = Field(1, ge=1)
    """CPU threads: they decode images while a GPU computes, and compute where there is no GPU."""
    mem_mb: int = Field(4000, ge=500)
    """Memory in MB for the first attempt; attempt n gets n times as much."""
    runtime: int = Field(60, ge=1)
    """Time limit in minutes for the first attempt; attempt n gets n times as much."""
