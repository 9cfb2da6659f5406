"""What a job asks for."""

from typing import Annotated

from pydantic import Field

from secondlook.base.yamlfile import Strict

GpuName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")]


class Resources(Strict):
    """What a job of a model asks for; `mem_mb` and `runtime` (minutes) are multiplied by the attempt.

    It changes where a job runs, never what it does: nothing is done again when it changes. `cpus` are threads: they
    decode while a GPU computes, and compute where there is none. `gpu_model` and `gpu_constraint` are names of a
    cluster, those of the whole run where they are left out; jobs without a GPU never ask for them.
    """

    gpus: int = Field(0, ge=0)
    gpu_model: GpuName | None = None
    gpu_constraint: str | None = None
    cpus: int = Field(1, ge=1)
    mem_mb: int = Field(4000, ge=500)
    runtime: int = Field(60, ge=1)
