"""Where the jobs of a run will be: on this machine, or sent elsewhere by the executor of a profile."""

import os
from pathlib import Path

from secondlook.base.yamlfile import load

_HERE = {"local", "dryrun", "touch"}
_PLUGIN = "snakemake_executor_plugin_"
_DEFAULT = Path("profiles/default")  # which Snakemake reads in each run


def executor(profile: str | None) -> str | None:
    """Return the executor that sends jobs to other machines, None where they run here.

    It is that of a named profile, else of the environment variable SNAKEMAKE_PROFILE, else of the default one. Raises
    UsageError for a profile that is not there.
    """
    named = profile or os.environ.get("SNAKEMAKE_PROFILE")
    found = _of_profile(named) if named else None
    if found is None:
        file = next((_DEFAULT / name for name in ("config.yaml", "config.yml") if (_DEFAULT / name).is_file()), None)
        found = load(file)[0].get("executor") if file is not None else None
    return None if found is None or str(found) in _HERE else str(found)


def _of_profile(profile: str) -> str | None:
    from secondlook.workflow.accept.site import Site

    try:
        return Site.of(profile).executor
    except ModuleNotFoundError as error:  # a plugin that Snakemake knows of cannot be imported
        if error.name is None or not error.name.startswith(_PLUGIN):
            raise
        return error.name.removeprefix(_PLUGIN).replace("_", "-")
