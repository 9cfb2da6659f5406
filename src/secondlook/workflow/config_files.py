"""The files of the config of a run: those that a command names lie over the `config.yaml` of the folder.

Snakemake reads them so with `--configfile`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from secondlook.base.errors import UsageError
from secondlook.base.layered import Document, stacked
from secondlook.base.yamlfile import load, merged
from secondlook.config.root import Config, check_config

CONFIG = Path("config.yaml")  # the file that the Snakefile reads
COMMAND_LINE = "command line"


@dataclass(frozen=True)
class ConfigFiles:
    """The files of a config, the lowest first."""

    paths: tuple[Path, ...]

    @classmethod
    def over(cls, *named: Path, folder: Path = Path()) -> "ConfigFiles":
        """Return the `config.yaml` of a folder, if there is one, with the files that are `named` over it."""
        lowest, others = folder / CONFIG, list[Path]()
        for path in named:
            if path.resolve() == lowest.resolve():
                lowest = path
            else:
                others.append(path)
        return cls((lowest, *others) if lowest.is_file() or not others else tuple(others))

    @property
    def name(self) -> str:
        """The files as messages name them."""
        return " with ".join(map(str, self.paths))

    def document(self) -> Document:
        """Read them, with all that they extend; raises UsageError for one without a key, as Snakemake does."""
        own = [(Document(*load(path)), path) for path in self.paths]
        for document, path in own:
            if not document.content:
                raise UsageError(f"{path}: holds no keys; it must be a YAML mapping.")
        return stacked(own)

    def checked(self) -> Config:
        """Read and check them; errors name the place of each bad key."""
        return check_config(self.document(), self.name)


def as_merged(content: Mapping[str, Any], files: Sequence[Path], source: str) -> Document:
    """Return the config that Snakemake merged from files and `--config`, over the files that each of these extends.

    What no file has was given on the command line. Without files, `content` is that of `source`.
    """
    own = [(Document(*load(path)), path) for path in files if path.is_file()]
    plain: Mapping[str, Any] = reduce(merged, (document.content for document, _ in own), {})
    if merged(plain, content) != content:  # `--replace-workflow-config`, or other files than those that were merged
        own, plain = [], {}
    given = Document.of(_beyond(plain, content), COMMAND_LINE if files else source)
    return stacked([*own, (given, Path(COMMAND_LINE))])


def _beyond(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `high` has that differs from `low`, level by level."""
    result = {}
    for key, value in high.items():
        old = low.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if inner := _beyond(old, value):
                result[key] = inner
        elif key not in low or value != old:
            result[key] = value
    return result
