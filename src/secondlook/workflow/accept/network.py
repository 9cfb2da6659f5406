"""What can be reached from a machine: the Hub, its cache, and the servers that the config fetches from."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from secondlook.io.net import shown_url
from secondlook.workflow.accept.facts import Facts
from secondlook.workflow.accept.findings import Finding, failure, note, ok, warning

TIMEOUT_S = 5.0
_VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME")


def look_at_network(facts: Facts, *, fetches: bool) -> Iterator[Finding]:
    """Yield what can be reached; `fetches`: data and weights are downloaded from this machine, not only read."""
    yield from _hub(facts, fetches=fetches)
    # one request per server is enough
    servers = {urlsplit(address).netloc: (name, address) for name, address in facts.addresses.items()}
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(_reach, (address for _, address in servers.values())))
    for (name, address), problem in zip(servers.values(), answers, strict=True):
        host = urlsplit(address).netloc.rpartition("@")[2]
        lacking = [one for one in facts.needed if urlsplit(facts.addresses[one]).netloc == urlsplit(address).netloc]
        if problem is None:
            yield ok("sources", f"{host} answers ({name})")
        elif fetches and lacking:
            way_out = "bring the data by hand, or allow this machine to reach the server (docs/fetch.md)"
            yield failure("sources", f"{host} is not reached ({problem}), but tasks lack data from there", way_out)
        else:
            yield note("sources", f"{host} is not reached from here ({problem}); no job needs it here")


def _hub(facts: Facts, *, fetches: bool) -> Iterator[Finding]:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    absent = [name for name in facts.checkpoints if not is_cached(cache, name)]
    if constants.HF_HUB_OFFLINE:
        problem: str | None = "HF_HUB_OFFLINE is set, as it should be for jobs"
        yield note("hub", f"not asked: {problem}")
    else:
        problem = _reach(constants.ENDPOINT)
        server = shown_url(constants.ENDPOINT)
        said = f"{server} is not reached from here ({problem})"
        if problem is None:
            yield ok("hub", f"{server} answers")
        elif fetches or not facts.checkpoints:
            yield note("hub", said)
        else:
            way_out = "export HF_HUB_OFFLINE=1 before you start Snakemake"
            yield warning("hub", f"{said}; jobs would ask it first and wait", way_out)
    yield _cache(cache, facts, absent)
    if absent and problem is not None:
        way_out = (
            "run `secondlook fetch --weights` where there is a network, and set HF_HOME to a folder on the shared disk"
        )
        yield failure("hub cache", f"lacks checkpoints that tasks need: {', '.join(absent)}", way_out)
    elif absent:
        says = f"lacks {', '.join(absent)}; the Hub can be reached for it"
        yield note("hub cache", says, "run `secondlook fetch --weights` before the run")


def _cache(cache: Path, facts: Facts, absent: Sequence[str]) -> Finding:
    from huggingface_hub import constants

    way_out = "set HF_HOME to a folder on the shared disk before you start Snakemake"
    if facts.hub_cache and str(cache) != facts.hub_cache:
        return failure("hub cache", f"is {cache}, not {facts.hub_cache} as where Snakemake starts", way_out)
    named = [f"${name}" for name in _VARIABLES if os.environ.get(name)]
    worse = failure if absent else warning
    home = Path(constants.HF_HOME) if named == ["$HF_HOME"] else cache
    if named and not os.access(home, os.F_OK):
        return worse("hub cache", f"{named[0]} is set, and {home} is not there{_missing_parent(home)}", way_out)
    if not os.access(cache, os.F_OK) and (not named or os.access(home, os.R_OK | os.X_OK)):
        return note("hub cache", f"{cache} is not there yet: nothing was downloaded")
    if not os.access(cache, os.R_OK | os.X_OK):
        return worse("hub cache", f"{cache} cannot be read here", way_out)
    kept = sum(1 for _ in cache.glob("models--*"))
    written = "written" if os.access(cache, os.W_OK) else "only read"
    return ok("hub cache", f"{cache} can be {written}, {kept} checkpoints")


def _missing_parent(folder: Path) -> str:
    return "" if os.access(folder.parent, os.F_OK) else f", nor is {folder.parent}"


def is_cached(cache: Path, name: str) -> bool:
    """Tell whether a snapshot of a Hub id is in the cache."""
    kept = cache / f"models--{name.replace('/', '--')}" / "snapshots"
    return os.access(kept, os.R_OK | os.X_OK) and any(kept.glob("*/*"))


def _reach(address: str) -> str | None:
    """Return why a server is not reached, None where it answers anything at all."""
    import requests

    try:
        requests.head(address, timeout=TIMEOUT_S, allow_redirects=False).close()
    except requests.Timeout:
        return f"no answer in {TIMEOUT_S:g} s"
    except requests.RequestException as error:
        return _reason(error)
    return None


def _reason(error: Exception) -> str:
    """Return a short reason: what libraries print repeats the whole address, with whatever is in it."""
    text = str(error)
    known = {"resol": "its name is not known", "Name or service": "its name is not known", "refused": "refused"}
    known |= {"unreachable": "no route", "SSL": "its certificate is not accepted", "proxy": "the proxy refuses"}
    return next((meaning for part, meaning in known.items() if part in text), type(error).__name__)
