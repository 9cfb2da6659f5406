"""The two ways a command ends early; each message is one sentence that names the place and the way out."""


class DataError(Exception):
    """The data or the run failed; the command exits with 1."""


class UsageError(Exception):
    """The command line, the config or a task file is wrong; the command exits with 2."""
