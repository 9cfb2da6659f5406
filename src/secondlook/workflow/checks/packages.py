"""Are the packages installed that the labelers, encoders and trainings need? None is imported."""

import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

from secondlook.workflow.checks.findings import Asked, Finding

_EXTRAS = {  # of this package, by the module that they bring
    "onnxruntime": "encoders",
    "openvino": "encoders",
    "vllm": "vllm",
    "faiss": "search",
    "ijson": "scenes",
    "pycolmap": "scenes",
    "pydensecrf": "crf",
}
_DISTRIBUTIONS = {"open_clip": "open-clip-torch", "sklearn": "scikit-learn"}


def look(asked: Asked) -> Iterator[Finding]:
    """Yield each package that is not installed, with what needs it."""
    for task in asked.tasks:
        yield from _absent(task, _of_task(asked, task))
    for pipeline in asked.pipelines:
        yield from _absent(pipeline.name, ((module, pipeline.name) for module in pipeline.packages(asked.run)))
    if asked.sent_by is not None:
        plugin = f"snakemake_executor_plugin_{asked.sent_by.replace('-', '_')}"
        yield from _absent(None, [(plugin, f"the executor {asked.sent_by} of the profile")])


def _absent(of: str | None, needed: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    users: dict[str, list[str]] = {}
    for module, user in needed:
        users.setdefault(module, []).append(user)
    for module, names in users.items():
        if not is_installed(module):
            who = ", ".join(dict.fromkeys(names))
            yield Finding("package", of, f"{who}: {module} is not installed; run `pip install {_distribution(module)}`")


def _distribution(module: str) -> str:
    if module in _EXTRAS:
        return f"'secondlook[{_EXTRAS[module]}]'"
    return _DISTRIBUTIONS.get(module, module.replace("_", "-"))


def is_installed(module: str) -> bool:
    """Tell whether a module can be imported, without doing so."""
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return find_spec(module) is not None
    except ImportError:  # of a finder that hides it
        return False


def _of_task(asked: Asked, task: str) -> Iterator[tuple[str, str]]:
    """Yield each module that the jobs of a task import, with the model that needs it."""
    for name, spec in asked.models(task):
        yield from ((module, name) for module in spec.packages)
