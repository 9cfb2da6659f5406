"""A project: a folder with a config of one's own, tasks and profiles, in which the shipped workflow runs."""

from collections.abc import Iterable
from pathlib import Path

from secondlook.base import progress
from secondlook.base.errors import UsageError
from secondlook.base.shipped import shipped
from secondlook.io import files
from secondlook.workflow.config_files import CONFIG

SNAKEFILE = Path("Snakefile")
TASKS = Path("tasks")
_TASKS = "tasks: [demo_signs]"
_NEW = Path("second-look")
_GITIGNORE = Path(".gitignore")
_PROFILES = ("default", "slurm", "generic")
_SNAKEFILE = """\
# The workflow of the installed secondlook, with its default target; rules of your own may follow.
from secondlook.base.shipped import shipped
workflow.include(str(shipped("Snakefile")), overwrite_default_target=True)
"""
_CONFIG = """\
# What differs from the config that comes with secondlook (`extends: default`). Any of its keys can stand here:
# `secondlook check --show` prints them all, docs/config.md explains them.
extends: default

# Which tasks `secondlook run` runs: names of files in tasks/, which `secondlook new-task` and `secondlook look` write.
# demo_signs comes with secondlook: drawn street signs, a quarter of them with a wrong label.
tasks: [demo_signs]

# laptop, or cluster: a dataset that nobody has counted is split into at least 64 shards there.
preset: laptop

# Labelers and encoders of your own, by name; a task lists those that vote on it.
# encoders:
#   own: {kind: onnx, model: own.onnx, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
# labelers:
#   own_probe: {kind: probe, encoder: own, family: own}
#   own_neighbours: {kind: neighbours, encoder: own, k: 15, family: own}
"""
_IGNORED = "/.snakemake/\n/data/\n/logs/\n/results/\n"


def init(folder: Path, task: str = "demo_signs") -> list[str]:
    """Lay down a project that runs a task in a folder, new or not, and return what was written.

    Raises UsageError where one of the files is there already: nothing of the user is overwritten.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, but a project is a folder; give another name.")
    texts = {CONFIG: _CONFIG.replace(_TASKS, f"tasks: [{task}]"), SNAKEFILE: _SNAKEFILE}
    profiles = {Path("profiles") / name / file.name: file for name in _PROFILES for file in _files_of_profile(name)}
    link = Path("slurm")  # Snakemake looks for `--profile slurm` here
    _require_none(folder, [*texts, *profiles, link])
    for path, text in texts.items():
        files.write_text(folder / path, text)
    for path, source in profiles.items():
        files.write_text(folder / path, source.read_text(encoding="utf-8"))
    if not (folder / _GITIGNORE).exists():  # of a repository that the project is in
        files.write_text(folder / _GITIGNORE, _IGNORED)
    (folder / TASKS).mkdir(exist_ok=True)
    (folder / link).symlink_to(Path("profiles") / link)
    return [*map(str, texts), f"{TASKS}/", "profiles/", f"{link} -> profiles/{link}"]


def is_project(folder: Path = Path()) -> bool:
    """Tell whether a folder holds a project, or is a checkout."""
    return (folder / CONFIG).is_file() and (folder / SNAKEFILE).is_file()


def place_of(folder: Path | None) -> Path:
    """Return the folder of a project: by default this one, or where it is none, a folder in it."""
    return folder or (Path() if is_project() else _NEW)


def ensure(place: Path, task: str) -> None:
    """Lay down a project that runs a task in a folder that holds none."""
    if not is_project(place):
        init(place, task)
        progress.say(f"init: {place} is a project now")


def require_project() -> None:
    """Raise UsageError where the current folder holds no project."""
    if not is_project():
        raise UsageError(
            f"{Path.cwd()}: holds no project ({CONFIG} and {SNAKEFILE}); `secondlook init` lays one down here, "
            "`secondlook init FOLDER` in another folder."
        )


def _files_of_profile(name: str) -> Iterable[Path]:
    return sorted((shipped("profiles") / name).iterdir())


def _require_none(folder: Path, paths: Iterable[Path]) -> None:
    there = [str(path) for path in paths if (folder / path).exists() or (folder / path).is_symlink()]
    if there:
        raise UsageError(f"{folder}: {', '.join(there)}: there already, and never overwritten; choose another folder.")
