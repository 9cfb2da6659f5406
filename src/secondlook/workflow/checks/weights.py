"""Do the folders and files of models hold what is to be read from them? A cheap look: no weights are loaded."""

from collections.abc import Iterator
from pathlib import Path

from secondlook.models.native import native_of, needs_own_code
from secondlook.workflow.checks import weight_files
from secondlook.workflow.checks.findings import Asked, Finding
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


def _fault_of(model: LocalModel) -> str:
    """Return what is wrong with the file or folder of a model; empty where nothing is, and for models of the Hub."""
    if model.library == "timm" and not Path(model.name).exists() and not is_path(model.name):
        known = ":" in model.name or weight_files.timm_knows(model.name)
        return "" if known else f"{model.name}: timm knows no such model, and there is no such folder"
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
