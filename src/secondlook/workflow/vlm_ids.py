"""The VLMs that a task loads, by the names in the config, and those names that stand for another checkpoint."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondlook.base.errors import UsageError
from secondlook.config.root import Config
from secondlook.models import native
from secondlook.workflow.labelers import Labelers


@dataclass(frozen=True)
class NamedVlm:
    """A VLM under `labelers` or `vlms`, with the Hub id or folder that it names."""

    section: str
    name: str
    model: str
    revision: str | None
    strict: bool


def vlms_of(config: Config, labelers: Sequence[str]) -> Iterator[NamedVlm]:
    """Yield the VLMs that labelers load here, and those that are fine-tuned for them."""
    for name in labelers:
        spec = config.labelers[name]
        if spec.prompt_view is not None and spec.checkpoint is not None and spec.checkpoint.library != "server":
            strict = config.strict_ids or bool(getattr(spec, "strict_ids", False))
            yield NamedVlm("labelers", name, spec.checkpoint.name, spec.checkpoint.revision, strict)
    trained = Labelers(labelers, config, "").trained()
    for name, training in config.vlms.items():
        if name in trained and training.model is not None:
            strict = config.strict_ids or training.strict_ids
            yield NamedVlm("vlms", name, training.model, training.revision, strict)


def require_allowed(path: Path, config: Config, labelers: Sequence[str]) -> None:
    """Raise UsageError for a name that stands for another checkpoint, where `strict_ids` or its revision forbids it."""
    for vlm in vlms_of(config, labelers):
        if native.native_of(vlm.model) == vlm.model:
            continue
        try:
            native.to_load(vlm.model, revision=vlm.revision, strict=vlm.strict)
        except UsageError as error:
            raise UsageError(f"{path}: `{vlm.section}`: `{vlm.name}`: {error}") from error


def cannot_run(config: Config, labelers: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return, by section and name, the sentence on each labeler or VLM to train that can never run as it is.

    Its checkpoint needs code that is never run, or its server is not stated.
    """
    found = {("labelers", name): lacks for name in labelers if (lacks := config.labelers[name].lacks)}
    for vlm in vlms_of(config, labelers):
        sentence = "" if native.instead_of(vlm.model) else native.needs_own_code(vlm.model)
        if sentence:
            found[vlm.section, vlm.name] = sentence
    return found


def remarks(config: Config, labelers: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each VLM whose name stands for another checkpoint, or for one that cannot be loaded, with the sentence."""
    for vlm in vlms_of(config, labelers):
        sentence = native.instead_of(vlm.model) or native.needs_own_code(vlm.model)
        if sentence:
            yield vlm.name, sentence
