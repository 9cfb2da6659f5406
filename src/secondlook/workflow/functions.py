"""Functions that rules give to Snakemake, which calls them for each job."""

import inspect
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from secondlook.jobs.code_digest import code_of
from secondlook.workflow.mistakes import checked

RuleFunction = Callable[..., Any]


def rule_function(function: RuleFunction) -> RuleFunction:
    """Compute the signature of a function once, where it is defined: Snakemake reads it for each job and value."""
    function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return function


def from_wildcards(method: Callable[..., Any], *wildcards: str) -> RuleFunction:
    """Return the function by which a rule calls a method, with the wildcards that its parameters name.

    `wildcards` are those to use instead. A value that is the same for all parts of a task is computed once.
    """
    names = wildcards or tuple(inspect.signature(method).parameters)
    value_of = method if "part" in names else cache(method)

    @rule_function
    def value(wildcards: Any) -> Any:
        return checked(value_of, *(getattr(wildcards, name) for name in names))

    return value


def code(*entries: str) -> RuleFunction:
    """Return the function by which a rule gets the digest of the code of a stage, so that a change runs the rule again.

    An entry is a module of this package, or `module:function`, without the name of the package.
    """

    @rule_function
    def digest(_: Any) -> str:
        return code_of(*(f"secondlook.{entry}" for entry in entries))

    return digest


def per_attempt(amount: int) -> RuleFunction:
    """Return the function by which a rule requests `amount` of memory or time, multiplied by the attempt."""

    @rule_function
    def grown(_: Any, attempt: int) -> int:
        return attempt * amount

    return grown


def one_of(names: Iterable[str]) -> str:
    """Return a wildcard constraint that matches only `names`."""
    return "|".join(re.escape(name) for name in names) or "(?!)"
