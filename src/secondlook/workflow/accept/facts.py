"""What the login node knows and the probes compare themselves with: `facts.json` in the folder of the run."""

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

import secondlook
from secondlook.base.errors import DataError
from secondlook.config.sources import FetchPlace, HttpPlace, Objects365Place, RoboflowPlace, S3Place, s3_bucket_and_key
from secondlook.io import files
from secondlook.io.net import shown_url
from secondlook.workflow.run import Run
from secondlook.workflow.weights import checkpoints_of

PACKAGES = ("torch", "torchvision", "transformers", "timm", "snakemake", "numpy", "pyarrow", "pydantic")
FACTS = "facts.json"


@dataclass(frozen=True)
class Facts:
    """Versions here, checkpoints that the tasks need, addresses that the config fetches from, and the patience.

    `addresses` are by a name for people; `needed` are those of data that tasks still lack. `latency_s` is how long
    Snakemake waits for a file to appear. `results` and `scratch` are folders of the config.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    checkpoints: tuple[str, ...] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    hub_cache: str = ""
    latency_s: float = 60.0
    results: str = ""
    scratch: str = ""

    def write(self, folder: Path) -> None:
        """Write the facts into the folder of a run."""
        files.write_text(folder / FACTS, json.dumps(asdict(self), indent=1) + "\n")


def read_facts(folder: Path) -> Facts:
    """Read the facts in the folder of a run; raises DataError where they are not."""
    try:
        content = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder / FACTS}: cannot be read; this command is for the jobs of `secondlook accept`."
        ) from error
    content |= {name: tuple(content[name]) for name in ("checkpoints", "needed")}
    return Facts(**content)


def facts_of(run: Run, latency_s: float, *, scratch: str = "") -> Facts:
    """Return the facts of this machine and a run; `scratch` is that of a profile, which comes before the config."""
    from huggingface_hub import constants

    of_tasks = [one for task in run.names for one in checkpoints_of(run, task)]
    ids = [one.name for one in of_tasks if one.library == "transformers"]  # others may come from other servers
    lacking = {marker for task in run.names for marker in run.data.fetch_markers(task) if not Path(marker).exists()}
    sources = run.data.fetch.sources
    needed = [_address(place) for name, place in sources.items() if run.data.marker(name) in lacking]
    named = [*map(_address, sources.values())]
    return Facts(
        versions=versions(),
        checkpoints=tuple(dict.fromkeys(ids)),
        addresses=dict(address for address in named if address is not None),
        needed=tuple(dict.fromkeys(address[0] for address in needed if address is not None)),
        hub_cache=str(constants.HF_HUB_CACHE),
        latency_s=latency_s,
        results=str(Path(run.config.results).absolute()),
        scratch=scratch or run.config.scratch or "",
    )


def versions() -> dict[str, str]:
    """Return the versions of Python, of this package with its folder, and of the libraries that compute."""
    own = {"python": platform.python_version(), "interpreter": sys.prefix, "secondlook": secondlook.__version__}
    return {**own, "package": str(Path(secondlook.__file__).parent), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _address(place: FetchPlace) -> tuple[str, str] | None:
    """Return what an entry fetches from, as a name for people and an address for a HEAD request."""
    match place:
        case S3Place():
            return _of_bucket(place.url, place.region, place.endpoint_url)
        case Objects365Place() if place.base.startswith("s3://"):
            return _of_bucket(place.base, place.region, place.endpoint_url)
        case HttpPlace():
            return shown_url(place.url), place.url
        case RoboflowPlace() if place.zip is None:
            return place.api, place.api
        case Objects365Place() if place.base.startswith("http"):
            return shown_url(place.base), place.base
    return None


def _of_bucket(url: str, region: str | None, endpoint: str | None) -> tuple[str, str]:
    bucket, _ = s3_bucket_and_key(url)
    if endpoint is not None:
        return f"s3://{bucket} at {shown_url(endpoint)}", f"{endpoint.rstrip('/')}/{bucket}"
    return f"s3://{bucket}", f"https://{bucket}.s3.{f'{region}.' if region else ''}amazonaws.com"
