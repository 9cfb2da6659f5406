"""The two ways a command ends early; each message is one sentence that names the place and the way out."""

_SHOWN_CHARACTERS = 200


class DataError(Exception):
    """The data or the run failed; the command exits with 1."""


class UsageError(Exception):
    """The command line, the config or a task file is wrong; the command exits with 2."""


def first_line(error: Exception) -> str:
    """Return the first line of what a library says, cut where it is long, or the name of the error."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]} ..."
