"""The functions of a kind of labeler; each kind has a module of its name next to this one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from secondlook.stages.label.ballot import Votes
from secondlook.stages.label.voter import Job, Voter

_FUNCTIONS = ("vote", "load", "made_by", "check", "resolve", "close")


def _nothing(*_: Any) -> None:
    """Do nothing."""


def _no_facts(*_: Any) -> Mapping[str, Any]:
    return {}


def _as_given(options: Any) -> Any:
    return options


@dataclass(frozen=True)
class Kind:
    """The module of a kind of labeler and its functions; each takes the options of the kind last.

    `vote` returns the votes on the objects of a job, and `load` the network for `job.network`. `made_by` returns the
    metadata of the labeler besides its options; a `revision` of None there is not known before the vote. `check` raises
    DataError if the votes of a file, of which `status` and `answer` are read, must not be used. `resolve` returns the
    options with the checkpoint that is loaded, where the one that they name stands for it. `close` ends what `load`
    returned.
    """

    module: str
    vote: Callable[[Job, Any], Votes]
    load: Callable[[Voter, Any], Any] = _nothing
    made_by: Callable[[Voter, Any], Mapping[str, Any]] = _no_facts
    check: Callable[[Sequence[Mapping[str, Any]], Any], None] = _nothing
    resolve: Callable[[Any], Any] = _as_given
    close: Callable[[Any], None] = _nothing


def kind_of(name: str) -> Kind:
    """Return the kind of labeler with a name in the config."""
    module = import_module(f"{__package__}.{name}")
    return Kind(module.__name__, **{one: getattr(module, one) for one in _FUNCTIONS if hasattr(module, one)})
