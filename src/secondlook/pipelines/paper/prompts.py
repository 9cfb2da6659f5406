"""Prompts of the published runs, taken from a clone of their repository; the file that `snakemake paper` reads."""

from collections.abc import Iterable
from pathlib import Path

import yaml
from pydantic import Field

from secondlook.base.errors import UsageError
from secondlook.base.types import View
from secondlook.base.yamlfile import Strict, parse
from secondlook.io import files

HEAD = (
    "# Prompts of the published runs, written by `secondlook paper import-prompts`. The texts belong to their\n"
    "# authors: read the licence of the repository before you pass this file on.\n"
)


class ImportedPrompts(Strict):
    """Prompts by task, family and view, and the clone that they were read in."""

    clone: str
    """Folder of the clone, or the address that it was cloned from."""
    commit: str | None = None
    """Commit of the clone; null where it has none."""
    scripts: dict[str, str] = Field(default={})
    """SHA-256 of each script that was read."""
    prompts: dict[str, dict[str, dict[View, str]]]
    """Text by task, family and view; it is sent as it stands."""

    def text(self, task: str, family: str, view: str) -> str | None:
        """Return the prompt for a task, a family and a view, None where none was found."""
        by_view = self.prompts.get(task, {}).get(family, {})
        return next((text for one, text in by_view.items() if one == view), None)

    @property
    def origin(self) -> str:
        """The clone and its commit, in words."""
        return f"{self.clone} at {self.commit}" if self.commit else self.clone


def load_prompts(path: Path) -> ImportedPrompts:
    """Read the file of prompts; raises UsageError with the place of each mistake."""
    return parse(ImportedPrompts, path)


def write_prompts(path: Path, prompts: ImportedPrompts) -> None:
    """Write the file of prompts over an older one; raises UsageError for a file of another kind."""
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(HEAD.partition("\n")[0]):
        raise UsageError(f"{path}: is a file that this command did not write; give another --out or remove it.")
    content = yaml.safe_dump(prompts.model_dump(), sort_keys=False, allow_unicode=True, width=100)
    files.write_text(path, HEAD + content)


def whose(prompts: ImportedPrompts | None, asked: Iterable[tuple[str, str, str]]) -> str:
    """Return whose prompts were sent, for the tasks, families and views of the VLMs that were `asked`."""
    asked = list(dict.fromkeys(asked))
    if not asked:
        return "No labeler takes a prompt."
    own = [one for one in asked if prompts is None or prompts.text(*one) is None]
    if prompts is None or len(own) == len(asked):
        return "The prompts are our own wording, with the names that the published runs offered."
    said = f"The prompts were imported from {prompts.origin} and sent as they stand"
    if not own:
        return f"{said}."
    listed = "; ".join(", ".join(one) for one in own)
    return f"{said}, except where none was found, which are our own wording: {listed}."
