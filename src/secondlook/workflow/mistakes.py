"""Mistakes in config and data as Snakemake shows them: one sentence, whether the Snakefile or a function found it.

Snakemake wraps what a function of a rule raises into the place of the rule, a traceback and, below other rules, further
exceptions that lose where they came from; so the mistakes that were found are remembered and known by their sentence.
"""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from secondlook.base.errors import DataError, UsageError

Made = TypeVar("Made")
_FOUND: list[DataError | UsageError] = []  # by this process


def show_sentences() -> None:
    """Have this Snakemake print the sentence alone where a mistake stops it."""
    from snakemake.logging import logger

    logger.addFilter(_shorten)  # once, however often a process reads the Snakefile


def checked(made: Callable[..., Made], *arguments: Any) -> Made:
    """Return the result of a function; raise WorkflowError, which stops Snakemake, for a mistake in config or data."""
    from snakemake.exceptions import WorkflowError

    try:
        return made(*arguments)
    except (DataError, UsageError) as error:
        _FOUND.append(error)
        raise WorkflowError(str(error)) from error


def mistake_in(text: str) -> DataError | UsageError | None:
    """Return the mistake that `checked` found and that a message of Snakemake is about; None for other messages."""
    said = _in_one_line(text)
    return next((one for one in reversed(_FOUND) if _in_one_line(str(one)) in said), None)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _shorten(record: logging.LogRecord) -> bool:
    """Replace the message about an exception by the sentence of its mistake; keep every message."""
    if getattr(record, "event", None) == "error" and (mistake := mistake_in(record.getMessage())) is not None:
        record.msg, record.args = str(mistake), ()
    return True
