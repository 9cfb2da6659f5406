"""What only the config knows of a dataset, for the datasheets of its exports."""

from secondlook.base.yamlfile import Strict

NOT_STATED = "not stated"  # of a licence that nobody told


class ExportSource(Strict):
    """Where something of a dataset comes from, for its datasheet."""

    name: str
    """Path, address or name of the source."""
    use: str = "dataset"
    """What it was used for: `dataset`, `reference`, `download`."""
    licence: str = NOT_STATED
    """Licence, in the words of whoever states it."""


class AboutOptions(Strict):
    """What only the config knows of a dataset, for the datasheet of an export: the options of `secondlook export`."""

    title: str = ""
    """Title of the task."""
    sources: tuple[ExportSource, ...] = ()
    """Where the dataset, the reference and downloads come from."""
