"""The state of a run: what Snakemake does is recorded beside the results, and `secondlook status` reads the record.

Snakemake's own log does not suffice: with `--quiet` it names no job, and for rules with a `message` neither rule nor
log. Nothing here plans the graph of jobs or asks for Snakemake's lock, so a run is looked at while it works.
"""

from collections.abc import Sequence
from pathlib import Path

from secondlook.base.errors import DataError, UsageError
from secondlook.workflow.status.record import RunState, newest
from secondlook.workflow.status.sentences import failure_lines
from secondlook.workflow.status.show import as_json, as_text
from secondlook.workflow.status.slurm import Slurm

__all__ = ["failures", "status"]


def status(place: Path, config: Path, *, json: bool) -> str:
    """Return what is known of the last run whose results lie in `place`, or in the results folder of its config."""
    results = _results_of(place, config)
    state = _state(results)
    if state is None:
        raise DataError(f"{results}: no run is recorded here; start one, or name another folder of results.")
    slurm = Slurm.of(state)
    return as_json(results, state, slurm) if json else as_text(results, state, slurm)


def failures(results: Path) -> Sequence[str]:
    """Return a line for each of the first failed jobs of the last run, each with its sentence."""
    state = _state(results)
    return [] if state is None else failure_lines(state, Slurm.of(state))


def _state(results: Path) -> RunState | None:
    path = newest(results)
    return None if path is None else RunState.read(path)


def _results_of(place: Path, config: Path) -> Path:
    if not place.is_dir():
        raise UsageError(f"{place}: is no folder; name a folder of results, or one with a config.yaml.")
    if newest(place) is not None:
        return place
    from secondlook.config.root import Config
    from secondlook.workflow.config_files import ConfigFiles

    files = ConfigFiles.over(place / config, folder=place)
    if not files.paths[0].is_file():
        return place
    results = files.document().content.get("results", Config.model_fields["results"].default)
    return place / (results if isinstance(results, str) else files.checked().results)  # which says what is wrong
