"""`secondlook run`: Snakemake in the project of this folder, with what is needed to start, and to start again."""

import contextlib
import fcntl
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import psutil

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.base.layered import Document, laid_over
from secondlook.base.types import NAME
from secondlook.config.root import check_config
from secondlook.config.task import task_path
from secondlook.workflow.config_files import COMMAND_LINE, ConfigFiles
from secondlook.workflow.pipeline import Pipeline
from secondlook.workflow.project import require_project
from secondlook.workflow.run import DEMO, Run
from secondlook.workflow.status.record import newest

_STATE = Path(".snakemake")
_LOCK = _STATE / "run.lock"  # held by `secondlook run`
_LOCKS = _STATE / "locks"  # of Snakemake, which leaves them behind when it is killed
_ENOUGH = ("--cores", "-c", "--jobs", "-j", "--profile", "--executor", "-e")  # these say how much may run at once
_HOST = re.compile(r"^host: (\S+)$", re.MULTILINE)


def run(arguments: Sequence[str]) -> int:
    """Run Snakemake with `arguments` (targets, options), on all cores unless they say otherwise; return its exit code.

    Jobs find the programs of this environment, activated or not. A lock that a killed run left behind is removed;
    another `secondlook run` in this folder is waited for. Raises UsageError where this folder holds no project, and
    DataError where another Snakemake works in it.
    """
    require_project()
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    with _alone():
        if _LOCKS.is_dir() and any(_LOCKS.iterdir()):
            _require_nobody()
            progress.say("run: a killed run left its lock behind, which is removed now")
            _snakemake(["--unlock", "--quiet", "all"])
        return _snakemake([*_with_tasks(arguments), *_added(arguments)])


def _with_tasks(arguments: Sequence[str]) -> list[str]:
    """Return arguments in which names of tasks, which are no targets of Snakemake, are the tasks of the config."""
    tasks = tasks_in(arguments)
    others = [*arguments[len(tasks) :]]
    if not tasks:
        return others
    setting = f"tasks=[{','.join(tasks)}]"
    if "--config" in others:  # of several, Snakemake takes the last
        others.insert(others.index("--config") + 1, setting)
        return others
    return [*others, "--config", setting]


def tasks_in(arguments: Sequence[str]) -> list[str]:
    """Return the names of tasks that arguments begin with."""
    return [*takewhile(lambda name: re.fullmatch(NAME, name) is not None and task_path(name).is_file(), arguments)]


def _added(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the options that a run has unless its arguments say otherwise."""
    given = {argument.split("=")[0] for argument in arguments}
    limited = given.intersection(_ENOUGH) or any(re.match(r"-[cj]\d", one) for one in given)
    if not limited and "SNAKEMAKE_PROFILE" not in os.environ:
        yield from ("--cores", "all")
    yield "--rerun-incomplete"
    if not given.intersection({"--quiet", "-q", "--verbose"}):
        yield from ("--quiet", "host", "reason")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of `secondlook run` in this folder; wait for the process that holds it."""
    try:
        _STATE.mkdir(exist_ok=True)
        opened = _LOCK.open("w")
    except OSError as error:
        raise DataError(f"{_LOCK}: cannot be written ({error.strerror}); runs keep what they need there.") from error
    with opened as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say("run: waiting for another run in this folder to end")
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:  # a file system without locks: Snakemake's own is still there
            progress.say(f"run: {_LOCK} cannot be locked ({error.strerror}); start one run at a time in this folder")
        yield


def _require_nobody() -> None:
    """Raise DataError where a Snakemake works in this folder, or did so last on another machine."""
    here = str(Path.cwd())
    for process in psutil.process_iter(["pid", "cwd", "cmdline"]):
        words = [Path(word).name for word in (process.info["cmdline"] or [])[:4]]
        if process.pid != os.getpid() and process.info["cwd"] == here and "snakemake" in words:
            raise DataError(
                f"{here}: Snakemake works in this folder (process {process.pid}); wait until it has ended, or end it."
            )
    host = _last_host()
    if host not in {None, os.uname().nodename}:
        raise DataError(
            f"{here}: is locked by a run that was started on {host}; if none works there any more, "
            "`secondlook run -- --unlock` removes the lock."
        )


def _last_host() -> str | None:
    """Return the machine on which the last run was started, where its log says so."""
    logs = sorted((_STATE / "log").glob("*.snakemake.log"))
    found = _HOST.search(logs[-1].read_text(encoding="utf-8", errors="replace")) if logs else None
    return found[1] if found else None


def _snakemake(arguments: Sequence[str]) -> int:
    """Run Snakemake in this process, so that signals reach it as always; return its exit code."""
    from snakemake.cli import main

    sys.argv = ["secondlook run", *arguments]  # what the record of the run names
    try:
        main(list(arguments))
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else 1
    return 0


def config_files(arguments: Sequence[str]) -> ConfigFiles:
    """Return the files of the config of a run with `arguments`: those of `--configfile` over that of this folder."""
    return _files(_parsed(arguments))


def began_since(moment: float, arguments: Sequence[str]) -> bool:
    """Tell whether a run with `arguments` began to work since a moment, in seconds of `time.time`."""
    record = newest(Path(check_config(*_config(_parsed(arguments))).results))
    return record is not None and record.stat().st_mtime >= moment


def summaries(arguments: Sequence[str], pipelines: Sequence[Pipeline]) -> list[Path]:
    """Return the `summary.json` of each task that a run with `arguments` was about and that is finished."""
    asked = _parsed(arguments)
    if asked is None or asked.dryrun or asked.unlock:
        return []
    tasks = tasks_in(arguments)
    run = Run.of_document(*_config(asked), pipelines)
    if not tasks and (not asked.targets or "all" in asked.targets):
        tasks = [*run.names]
    if "demo" in asked.targets:
        tasks.append(DEMO)
    files = [Path(run.config.results) / task / "summary.json" for task in dict.fromkeys(tasks)]
    return [file for file in files if file.is_file()]


def _files(asked: Any) -> ConfigFiles:
    return ConfigFiles.over(*(asked.configfile if asked else ()))


def _config(asked: Any) -> tuple[Document, str]:
    """Read the config of a run with arguments as `_parsed` gives them: what `--config` sets lies over all files.

    Return it with the name of its files.
    """
    from snakemake.cli import parse_config

    files = _files(asked)
    given = Document.of(parse_config(asked.config if asked else None), COMMAND_LINE)
    return laid_over(files.document(), given), files.name


def _parsed(arguments: Sequence[str]) -> Any:
    """Return arguments as Snakemake reads them, None where it refuses them."""
    from snakemake.cli import parse_args

    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):  # it prints the profiles it reads
        return parse_args(list(arguments))[1]
    return None
