"""The Hub where it cannot be reached: what was fetched before is enough, and nothing waits for the network."""

import os
import socket
from contextlib import closing
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from secondlook.base import progress

_PATIENCE_S = 5.0


def known_commit(hub_id: str, revision: str | None = None) -> str | None:
    """Return the commit of a Hub id in the cache of this machine; None where it is not there, and for what is no id."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.file_download import repo_folder_name

    try:
        folder = repo_folder_name(repo_id=hub_id, repo_type="model")
    except HFValidationError:  # the path of a folder on another machine
        return None
    cached = Path(HF_HUB_CACHE) / folder
    if revision is not None and (cached / "snapshots" / revision).is_dir():  # it is a commit
        return revision
    commit = cached / "refs" / (revision or "main")
    return commit.read_text(encoding="utf-8").strip() if commit.is_file() else None


def rely_on_cache(hub_id: str, revision: str | None = None) -> None:
    """Go offline for the rest of this process when a checkpoint is in the cache and the Hub cannot be reached.

    Otherwise the libraries try each file of it several times, which takes minutes on a node without a network.
    """
    from huggingface_hub import constants

    if Path(hub_id).exists() or constants.HF_HUB_OFFLINE or known_commit(hub_id, revision) is None:
        return
    if not _is_reached(constants.ENDPOINT):
        os.environ["HF_HUB_OFFLINE"] = "1"  # for processes that this one starts
        constants.HF_HUB_OFFLINE = True
        progress.say(f"{constants.ENDPOINT} cannot be reached; checkpoints are read from the cache of this machine")


@cache
def _is_reached(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    if parts.scheme in getproxies():  # who knows what a proxy reaches
        return True
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with closing(socket.create_connection((parts.hostname or "", port), timeout=_PATIENCE_S)):
            return True
    except OSError:
        return False
