"""Functions as rules hand them to Snakemake, which calls them for each job."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from secondlook.jobs.code_digest import code_of

Answer = Callable[..., Any]


def asked(method: Callable[..., Any], *wildcards: str) -> Answer:
    """Return the function with which a rule asks a method of the run, with the wildcards that its parameters name.

    `wildcards` are those to take instead. An answer that is the same for all parts of a task is worked out once.
    """
    names = wildcards or tuple(inspect.signature(method).parameters)
    found = method if "part" in names else cache(method)
    return answer(lambda wildcards: found(*(getattr(wildcards, name) for name in names)), "wildcards")


def code(*entries: str) -> Answer:
    """Return the function with which a rule asks for the code of a stage, so that a change of it runs the rule again.

    An entry is a module of this package, or `module:function`, without the name of the package.
    """
    return answer(lambda wildcards: code_of(*(f"secondlook.{entry}" for entry in entries)), "wildcards")  # noqa: ARG005


def growing(amount: int) -> Answer:
    """Return the function with which a rule asks for `amount` of memory or time, multiplied by the attempt."""
    return answer(lambda wildcards, attempt: attempt * amount, "wildcards", "attempt")  # noqa: ARG005


def answer(function: Answer, *parameters: str) -> Answer:
    """Return a function with the names of its parameters where Snakemake looks for them."""
    # Snakemake looks at the signature of a function for each job and each answer; one that stands there is found faster
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    function.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in parameters])  # type: ignore[attr-defined]
    return function
