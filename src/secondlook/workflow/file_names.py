"""The file names that a user gives and rules use unchanged: Snakemake would read `{x}` in them as a wildcard."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from secondlook.base.errors import UsageError
from secondlook.base.yamlfile import KeyPath, Place
from secondlook.config.root import Config
from secondlook.config.task import Task

_WILDCARD = re.compile(r"\{\s*\w[^{}]*\}")


def require_no_wildcard(where: str, name: str | None) -> None:
    """Raise UsageError for a name that Snakemake would misread; `where` says where it was given."""
    if name is not None and _WILDCARD.search(name):
        raise UsageError(
            f"{where}: Snakemake would take the braces in `{name}` for a wildcard; rename it, or reach it by a link "
            "without braces."
        )


def require_no_wildcards(
    config: Config, source: str, places: Mapping[KeyPath, Place], others: Iterable[tuple[KeyPath, str | None]] = ()
) -> None:
    """Raise UsageError for such a name in a config, or among `others` in it; `places` are those of its keys."""
    for key, name in chain(_names_in(config), others):
        require_no_wildcard(f"{places.get(key, source)}: `{'.'.join(map(str, key))}`", name)


def require_no_wildcards_of_task(path: Path, task: Task) -> None:
    """Raise UsageError for such a name in a task file, or of the file itself."""
    require_no_wildcard("`tasks`", str(path))
    for dataset in [task.dataset, *task.reference.sources]:
        for key, name in (("path", dataset.path), ("truth", dataset.truth)):
            require_no_wildcard(f"{path}: `{key}`", name)


def _names_in(config: Config) -> Iterator[tuple[KeyPath, str | None]]:
    yield ("results",), config.results
    for name, place in config.fetch.sources.items():
        yield ("fetch", "sources", name, "to"), place.to
    for name, labeler in config.labelers.items():
        yield ("labelers", name, "weights"), labeler.made_elsewhere
    for name, encoder in config.encoders.items():
        yield ("encoders", name, "reference_pt"), encoder.reference_pt
