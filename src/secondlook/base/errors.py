"""The two ways a command ends early; each message is one sentence that names the place and the way out."""

_SHOWN_CHARACTERS = 200


class DataError(Exception):
    """The data or the run failed; the command exits with 1.

    Examples:
        >>> import secondlook as sl
        >>> try:
        ...     sl.open("no/such/folder")
        ... except sl.DataError as error:
        ...     print(error)
        no/such/folder: no such folder; give the results folder of a task, such as results/demo_signs.
    """


class UsageError(Exception):
    """The command line, the config, a task file or an argument is wrong; the command exits with 2.

    Examples:
        >>> import secondlook as sl
        >>> try:
        ...     sl.consensus("votes.csv")
        ... except sl.UsageError as error:
        ...     print(str(error)[:61])
        votes: must be a pandas DataFrame or a pyarrow Table, not str
    """


def first_line(error: Exception) -> str:
    """Return the first line of what a library says, cut where it is long, or the name of the error."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]} ..."
