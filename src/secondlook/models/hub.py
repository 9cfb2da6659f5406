"""The Hub where it cannot be reached: what was fetched before is enough, and nothing waits for the network."""

import os
from functools import cache
from pathlib import Path

from secondlook.base import progress
from secondlook.base.errors import DataError

_PATIENCE_S = 5.0
_WAY_OUT = (
    "give a local folder, correct the name, set HF_TOKEN for a gated one, or run `secondlook fetch --weights` where "
    "there is a network."
)


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
    """Go offline for the rest of this process when the Hub does not answer and a checkpoint is in the cache.

    Otherwise the libraries try each file of it several times, which takes minutes on a node without a network. Raises
    DataError where it is not in the cache either.
    """
    from huggingface_hub import constants

    if Path(hub_id).exists():
        return
    cached = known_commit(hub_id, revision) is not None
    if constants.HF_HUB_OFFLINE:
        if not cached:
            raise DataError(f"{_absent(hub_id)}, and HF_HUB_OFFLINE forbids to ask for it); {_WAY_OUT}")
    elif not answers():
        if not cached:
            raise DataError(f"{_absent(hub_id)}, and {constants.ENDPOINT} does not answer); {_WAY_OUT}")
        os.environ["HF_HUB_OFFLINE"] = "1"  # for processes that this one starts
        constants.HF_HUB_OFFLINE = True
        progress.say(f"{constants.ENDPOINT} cannot be reached; checkpoints are read from the cache of this machine")


def is_offline() -> bool:
    """Tell whether this process asks the Hub for nothing."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def answers() -> bool:
    """Tell whether the Hub answers at all within a few seconds, through a proxy where one is set."""
    from huggingface_hub import constants

    return _answers(constants.ENDPOINT)


@cache
def _answers(endpoint: str) -> bool:
    import requests

    try:
        requests.head(endpoint, timeout=_PATIENCE_S, allow_redirects=False)
    except requests.RequestException:
        return False
    return True


def _absent(hub_id: str) -> str:
    reason = "there is no such folder here, it is not in the cache of this machine"
    return f"{hub_id}: the checkpoint cannot be loaded ({reason}"
