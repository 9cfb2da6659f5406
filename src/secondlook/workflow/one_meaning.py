"""Names that mean one thing in all tasks of a run: rules tell trainings apart by them, and data is fetched by them."""

from collections.abc import Iterator, Sequence

from secondlook.base.errors import UsageError
from secondlook.config.root import Config


def require_one_meaning(configs: Sequence[Config]) -> None:
    """Raise UsageError where tasks train two kinds of things, or fetch different data, under one name."""
    kinds: dict[str, str] = {}
    for name, kind in (pair for config in configs for pair in _trained(config)):
        if kinds.setdefault(name, kind) != kind:
            raise UsageError(
                f"`{name}` is {kinds[name]} in one task of this run and {kind} in another; give one of them another "
                "name."
            )
    places: dict[str, object] = {}
    for name, place in (pair for config in configs for pair in config.fetch.sources.items()):
        if places.setdefault(name, place) != place:
            raise UsageError(
                f"`fetch.sources`: `{name}` is not the same in all tasks of this run; give one of them another name."
            )


def _trained(config: Config) -> Iterator[tuple[str, str]]:
    """Yield each name that may have a folder under `train`, and what is trained there."""
    yield from ((name, "a classifier") for name in config.classifiers)
    yield from ((name, "a VLM under `vlms`") for name in config.vlms)
    for name, labeler in config.labelers.items():
        if labeler.learns_from == "training":
            yield name, f"a labeler of kind {labeler.kind}"
