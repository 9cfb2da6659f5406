"""Do the folders and files of models hold what is to be read from them? A cheap look: no weights are loaded."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.models import checkpoints
from secondlook.models.native import native_of, needs_own_code
from secondlook.workflow.checks import weight_files
from secondlook.workflow.checks.findings import Asked, Finding
from secondlook.workflow.checks.packages import is_installed
from secondlook.workflow.weights import LocalModel, absent, is_path, models_of_task


def look(asked: Asked) -> Iterator[Finding]:
    """Yield the models that are not where the config says, and those that are none of their kind."""
    for task in asked.tasks:
        yield from (Finding("weights", task, f"{name} is missing; {way}") for name, way in absent(asked.run, task))
        for model in models_of_task(asked.run, task):
            if fault := _fault_of(model):
                yield Finding("weights", task, f"{fault}; correct `{model.key}`")
    for pipeline in asked.pipelines:
        for path in pipeline.weights(asked.run):
            if not Path(path).exists():
                yield Finding(
                    "weights", pipeline.name, f"{path} is missing; put the weights there, or correct the path"
                )


@cache
def unknown_to_library(name: str, library: str) -> str:
    """Return why timm or open_clip knows no model of a name, empty where it does and for an address of the Hub."""
    if ":" in name or not is_installed(library):
        return ""
    if library == "open_clip":
        return checkpoints.unknown_to_open_clip(name)
    if not weight_files.timm_knows(name):
        return "timm knows no such model, and there is no such folder"
    _, _, tag = name.partition(".")
    if tag and not weight_files.timm_names(name):
        try:
            checkpoints.hub_id_of_timm(name)  # which imports timm
        except DataError as error:
            return str(error).partition(";")[0]
    return ""


def _fault_of(model: LocalModel) -> str:
    """Return what is wrong with the file or folder of a model; empty where nothing is, and for models of the Hub."""
    if model.library in {"timm", "open_clip"} and not Path(model.name).exists() and not is_path(model.name):
        fault = unknown_to_library(model.name, model.library)
        return f"{model.name}: {fault}" if fault else ""
    path = Path(native_of(model.name) if model.library in {"vlm", "transformers"} else model.name)
    if not path.exists():
        return ""
    try:
        fault = weight_files.fault_of(path, model)
    except OSError as error:
        fault = f"cannot be read ({error.strerror or error})"
    if fault:
        return f"{path}: {fault}"
    own_code = needs_own_code(str(path)) if model.library in {"vlm", "transformers"} else ""
    return own_code.rstrip(".")
