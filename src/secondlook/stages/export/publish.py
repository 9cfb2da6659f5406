"""Puts a finished `hf_dataset` export on the Hugging Face Hub, when somebody asks for it: no rule calls this.

The token is the one that `huggingface_hub` finds (HF_TOKEN, or `hf auth login`); none is read from a file of ours, and
none is written. What did not change since the last time is not uploaded again.
"""

import fnmatch
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from secondlook.base import progress
from secondlook.base.errors import DataError, UsageError
from secondlook.base.text import counted
from secondlook.io.outputs import DATASHEET, EXPORT_ABOUT
from secondlook.stages.export.hf_card import CARD
from secondlook.stages.export.hf_figures import FIGURES
from secondlook.stages.export.hf_shards import DATA
from secondlook.stages.export.listed import plain_files, require_as_listed

SCHEME = "hub:"
_SHARDS = f"{DATA}/*-?????-of-?????.parquet"
_FIGURES = f"{FIGURES}/*.svg"
_PATTERNS = (CARD, DATASHEET, _SHARDS, _FIGURES)  # not `secondlook.json`, which names folders of this machine
_MAKE = "make it with `secondlook export --format hf_dataset`"
_KINDS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}


@dataclass(frozen=True)
class Finished:
    """A finished export: the bytes of each file that is published, by name, its other files, and its images."""

    folder: Path
    files: Mapping[str, int]
    left_out: tuple[str, ...]
    images: int
    licence: str

    def listing(self) -> str:
        """Return the files and their sizes, a line each, and the sum."""
        lines = [f"  {_size(size):>10}  {name}" for name, size in self.files.items()]
        return "\n".join([*lines, f"  {_size(sum(self.files.values())):>10}  {counted(len(self.files), 'file')}"])


@dataclass(frozen=True)
class Target:
    """A dataset of the Hub; `public`: everybody may see it."""

    repo_id: str
    public: bool = False

    @classmethod
    def of(cls, text: str, *, public: bool) -> "Target":
        """Read `hub:OWNER/NAME`; raise UsageError for anything else."""
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.file_download import repo_folder_name

        repo_id = text.removeprefix(SCHEME)
        if not text.startswith(SCHEME) or repo_id.count("/") != 1:
            raise UsageError(f"--to: `{text}` is not of the form {SCHEME}OWNER/NAME; give {SCHEME}me/signs, say.")
        try:
            repo_folder_name(repo_id=repo_id, repo_type="dataset")  # checks the name
        except HFValidationError as error:
            raise UsageError(f"--to: the Hub takes no such name ({str(error).rstrip('.')}).") from error
        return cls(repo_id, public)

    @property
    def seen_by(self) -> str:
        """Who may see it, in a word."""
        return "public" if self.public else "private"


def finished(folder: Path) -> Finished:
    """Return a finished export; raise DataError for a folder that is none, or that is not as it was written."""
    _require_folder(folder)
    names = plain_files(folder)
    about = _about(folder)
    if about.get("format") != "hf_dataset":
        raise DataError(f"{folder}: is an export as {about.get('format')}, and the Hub takes hf_dataset; {_MAKE}.")
    if about.get("rehearsal"):
        why = "is a rehearsal, whose labels are partly wrong on purpose"
        raise DataError(f"{folder}: {why}; publish the real dataset.")
    progress.say(f"publish: compares the files of {folder} with the list of the export")
    listed = require_as_listed(folder, about, names)
    licence, images = _card(folder)
    taken = [name for name in listed if any(fnmatch.fnmatchcase(name, pattern) for pattern in _PATTERNS)]
    others = tuple(name for name in names if name not in {*taken, EXPORT_ABOUT} and not name.startswith("."))
    return Finished(folder, {name: (folder / name).stat().st_size for name in taken}, others, images, licence)


def publish(export: Finished, target: Target) -> None:
    """Make the dataset on the Hub where it is not there, and upload what changed.

    Raises DataError where the Hub refuses or cannot be reached, UsageError where everybody could see what is published
    although nobody said so.
    """
    from huggingface_hub import HfApi, constants, get_token

    if get_token() is None:
        raise DataError("no token of the Hub is here; run `hf auth login`, or set HF_TOKEN to one that may write.")
    api, place = HfApi(library_name="secondlook"), f"{constants.ENDPOINT}/datasets/{target.repo_id}"
    with _refusals(target):
        before = _made(api, target)
        progress.say(f"publish: {counted(len(export.files), 'file')} to {place}")
        done = api.upload_folder(
            repo_id=target.repo_id,
            repo_type="dataset",
            folder_path=export.folder,
            allow_patterns=list(export.files),
            delete_patterns=[_SHARDS, _FIGURES],
            commit_message=f"{counted(export.images, 'image')} after a second look",
        )
    changed = "nothing has changed there" if done.oid == before else f"commit {done.oid}"
    progress.say(f"publish: {place} is up to date, {changed}")


def _made(api: Any, target: Target) -> str | None:
    """Make the dataset where it is not there; return its commit."""
    api.create_repo(target.repo_id, repo_type="dataset", private=not target.public, exist_ok=True)
    info = api.repo_info(target.repo_id, repo_type="dataset")
    if not info.private and not target.public:
        raise UsageError(f"{target.repo_id} is public on the Hub; add --public if everybody may see this export.")
    if info.private and target.public:
        progress.say(f"publish: {target.repo_id} stays private; its settings on the Hub make it public")
    commit: str | None = info.sha
    return commit


def _require_folder(folder: Path) -> None:
    """Raise DataError unless this is the folder of an export; one that is near is named."""
    if (folder / EXPORT_ABOUT).is_file():
        return
    if folder.is_dir():
        fault = f"holds no {EXPORT_ABOUT}, so that it is no finished export"
    else:
        fault = "is a file, and a folder is published" if folder.exists() else "no such folder"
    near = [*folder.parents[:2], *(place / "hf_dataset" for place in [folder, *folder.parents[:2]])]
    export = next((place for place in near if (place / EXPORT_ABOUT).is_file() and (place / CARD).is_file()), None)
    raise DataError(f"{folder}: {fault}; {_MAKE if export is None else f'give the export {export}'}.")


def _about(folder: Path) -> Mapping[str, Any]:
    try:
        about = json.loads((folder / EXPORT_ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / EXPORT_ABOUT}: cannot be read ({error}); {_MAKE} again.") from error
    return about if isinstance(about, dict) else {}


def _card(folder: Path) -> tuple[str, int]:
    """Return the licence and the number of images, as the card has them."""
    path = folder / CARD
    try:
        metadata = yaml.safe_load(path.read_text(encoding="utf-8").split("---\n", 2)[1])
        images = sum(int(split["num_examples"]) for split in metadata["dataset_info"]["splits"])
        return str(metadata["license"]), images
    except (OSError, ValueError, IndexError, KeyError, TypeError, yaml.YAMLError) as error:
        why = f"is not the card of a finished export ({type(error).__name__})"
        raise DataError(f"{path}: {why}; {_MAKE} again.") from error


@contextmanager
def _refusals(target: Target) -> Iterator[None]:
    """Raise DataError with one sentence for whatever the Hub, or the way to it, refuses."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # those of its HTTP library, whichever it is, and OSError
    of_http = (base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))
    refusals: tuple[type[Exception], ...] = (*of_http, RuntimeError, ValueError)
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise DataError("HF_HUB_OFFLINE forbids to ask the Hub; unset it to publish.") from error
    except refusals as error:
        cause = next((one for one in _causes(error) if isinstance(one, HfHubHTTPError)), None)
        if cause is not None:
            raise DataError(_sentence(cause, target)) from error
        why = " ".join(str(next(reversed([*_causes(error)]))).split()) or type(error).__name__
        raise DataError(f"{target.repo_id}: the Hub cannot be reached ({why}); run the command again.") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__


def _sentence(error: Any, target: Target) -> str:
    """Return what is wrong and what to do, by the status of an answer of the Hub."""
    status = error.response.status_code
    told = " ".join(str(error.server_message or "").split())
    said = f" (the Hub says: {told})" if told else ""
    owner = target.repo_id.partition("/")[0]
    answers: Mapping[int, Callable[[], str]] = {
        401: lambda: "the Hub does not accept the token; run `hf auth login`, or set HF_TOKEN to one that may write",
        403: lambda: f"the token may not write there; use one that may write to datasets of {owner}",
        404: lambda: f"the Hub has no {owner}, or hides it from this token; correct --to, or use another token",
        409: lambda: "somebody else changed it at the same time; run the command again",
        413: lambda: "a file is too large for the Hub; export again, in smaller parts",
        429: lambda: "the Hub gets too many requests; run the command again later",
    }
    known = answers.get(status)
    if known is not None:
        return f"{target.repo_id}: {known()}{said}."
    if status >= 500:
        return f"{target.repo_id}: the Hub fails (status {status}); run the command again later{said}."
    return f"{target.repo_id}: the Hub refuses it (status {status}){said}; correct what it names, and publish again."


def _size(count: int) -> str:
    for kind, unit in reversed(_KINDS.items()):
        if count >= unit:
            return f"{count / unit:.1f} {kind}"
    return f"{count} B"
