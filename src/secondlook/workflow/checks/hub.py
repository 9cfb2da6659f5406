"""Are the checkpoints of the Hub in the cache of this machine, or can the Hub be reached?"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from secondlook.config.labelers.base import Checkpoint
from secondlook.models import hub
from secondlook.workflow.checks import weight_files
from secondlook.workflow.checks.findings import Asked, Finding
from secondlook.workflow.checks.weights import unknown_to_library
from secondlook.workflow.weights import checkpoints_of, is_path

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_FETCH = "run `secondlook fetch --weights` where there is a network, with the cache of this machine (HF_HOME)"


def look(asked: Asked) -> Iterator[Finding]:
    """Yield the checkpoints that are not here and cannot be downloaded; those that can be are noted."""
    for task in asked.tasks:
        yield from _of(task, checkpoints_of(asked.run, task), asked)
    for pipeline in asked.pipelines:
        if pipeline.name not in asked.run.added:  # the checkpoints of its tasks are theirs
            yield from _of(pipeline.name, pipeline.checkpoints(asked.run), asked)


def _of(of: str, checkpoints: Iterable[Checkpoint], asked: Asked) -> Iterator[Finding]:
    for checkpoint in dict.fromkeys(checkpoints):
        name = checkpoint.name
        if is_path(name) or "://" in name:
            continue  # what should be a file or folder is no business of the Hub
        if checkpoint.library in {"transformers", "server"} and not _HUB_ID.fullmatch(name):
            message = f"{name} is neither a folder here nor an id of the Hub; correct the name"
            yield Finding("weights", of, message)
        elif checkpoint.library in {"timm", "open_clip"} and unknown_to_library(name, checkpoint.library):
            continue  # no Hub has it
        elif fault := _fault_of(checkpoint):
            yield _absent(of, checkpoint, fault, asked)


def _absent(of: str, checkpoint: Checkpoint, fault: str, asked: Asked) -> Finding:
    if hub.is_offline():
        message = f"{checkpoint.name} {fault}, and HF_HUB_OFFLINE forbids to ask the Hub for it; {_FETCH}"
    elif not hub.answers():
        message = f"{checkpoint.name} {fault}, and the Hub does not answer here; {_FETCH}"
    elif asked.sent_by is not None:
        message = (
            f"{checkpoint.name} {fault}; nodes often have no network: `secondlook fetch --weights` downloads it now"
        )
        return Finding("hub", of, message, "note")
    else:
        return Finding("hub", of, f"{checkpoint.name} {fault}; the Hub answers, so that it is downloaded", "note")
    return Finding("hub", of, message, "trouble" if asked.sent_by is None else "note")


def _fault_of(checkpoint: Checkpoint) -> str:
    """Return what is wrong with a checkpoint in the cache; empty where it is there and whole."""
    snapshot = _snapshot(checkpoint)
    if snapshot is None:
        return "is not in the cache of this machine"
    if checkpoint.library in {"transformers", "server"}:
        fault = (
            weight_files.fault_of_weights(snapshot) if (snapshot / "config.json").exists() else "holds no config.json"
        )
    else:
        fault = "" if weight_files.weights_in(snapshot) else "holds no weights"
    return f"is not whole in the cache of this machine ({snapshot} {fault})" if fault else ""


def _snapshot(checkpoint: Checkpoint) -> Path | None:
    """Return the folder of a checkpoint in the cache."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    for hub_id in _ids(checkpoint):
        commit = hub.known_commit(hub_id, checkpoint.revision)
        if commit is not None:
            return Path(HF_HUB_CACHE) / repo_folder_name(repo_id=hub_id, repo_type="model") / "snapshots" / commit
    return None


def _ids(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield the ids on the Hub by which a checkpoint may be in the cache, quick ones first."""
    from secondlook.models import checkpoints

    name = checkpoint.name
    if checkpoint.library == "timm":
        if ":" in name:
            yield name.partition(":")[2]
            return
        yield from _timm_ids(name)
        yield from filter(None, [checkpoints.hub_id_of_timm(name)])  # which imports timm
    elif checkpoint.library == "open_clip":
        yield from filter(None, [checkpoints.hub_id_of_open_clip(name)])
    else:
        yield name


def _timm_ids(name: str) -> Iterator[str]:
    """Yield the ids in the cache that a name in timm stands for: with its tag, or with the one that is there."""
    from huggingface_hub.constants import HF_HUB_CACHE

    if "." in name:
        yield f"timm/{name}"
    else:
        for folder in sorted(Path(HF_HUB_CACHE).glob(f"models--timm--{name}.*")):
            yield f"timm/{folder.name.removeprefix('models--timm--')}"
