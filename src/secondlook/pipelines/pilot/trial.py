"""A trial: a command runs as a child process, and whatever becomes of it is a record, never an error of the job."""

import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals
from threading import Thread
from typing import IO

from secondlook.base import progress
from secondlook.io import files
from secondlook.io.trials import SHARDS, Asked, Pace, Trial, Unit, note_failure, read_sample, read_trial
from secondlook.pipelines.pilot.watch import Seen, watch

TRIES = 2  # of the three attempts of a profile with two retries, the last one only writes the record
_PREFIX = "secondlook: "  # before the sentence of an error
_ANSWERED_BY_CACHE = "nothing is computed again"
# what commands say that learn from vectors where these are too few
_TOO_FEW = re.compile(
    r"no object outside fold \d+ teaches|holds no reference objects|crops of one class; a probe needs two"
)
_UNTRIED = (
    "not tried: out of fold it learns from the vectors of all objects, and the sample has too few ({}); more "
    "`objects_per_class` may do"
)
_OF_THE_SAMPLE = re.compile(rf"({'|'.join(SHARDS)})\.parquet\.")


@dataclass(frozen=True)
class Attempt:
    """What is tried: the name of its step, its command, the files that it makes, and what its job requested.

    `after` are the trials of what it needs. `shared` are a folder of the pilot and that of the real run, where the real
    run makes the same files under the same names.
    `taught_by_sample`: it learns from the vectors of the sample, where the real run has those of all objects.
    The pace is measured where a `sample` and the `unit` of the work are given; `made` are then its three files.
    """

    step: str
    command: Sequence[str]
    made: Sequence[Path]
    asked: Asked
    number: int = 1
    after: Sequence[Path] = ()
    shared: tuple[Path, Path] | None = None
    sample: Path | None = None
    unit: Unit = "object"
    taught_by_sample: bool = False


def try_command(attempt: Attempt, out: Path) -> None:
    """Run a command and write its trial to `out`; a failure of the command is in the trial and raises nothing.

    A job that the cluster killed left no trial: its next attempt says so, and the one after `TRIES` runs nothing.
    """
    trial = Trial(attempt.step, attempt.command, attempt.asked, attempt.number)
    stopped = [one for one in map(read_trial, attempt.after) if one.sentence is not None]
    if stopped:
        first = min(stopped, key=lambda one: one.untried)  # a failure counts more
        trial = replace(
            trial, sentence=first.sentence if _names_step(first) else _of_step(first), untried=first.untried
        )
    elif attempt.number > TRIES:
        trial = replace(trial, sentence=f"{trial.killed}; request more under `resources`")
    else:
        trial = _tried(attempt, trial)
    if trial.sentence is not None and not trial.untried:
        note_failure(out, trial.sentence)
    trial.write(out)
    progress.say(f"pilot: {trial.step} {_outcome(trial)}")


def _outcome(trial: Trial) -> str:
    if trial.sentence is None:
        return f"{trial.seconds:.1f} s"
    return trial.sentence if trial.untried else f"failed: {trial.sentence}"


def _names_step(trial: Trial) -> bool:
    """Whether the sentence of a trial is already that of a step before it."""
    return str(trial.sentence).startswith("(")


def _of_step(trial: Trial) -> str:
    return f"({trial.step}) {trial.sentence}"


def _tried(attempt: Attempt, trial: Trial) -> Trial:
    _clear(attempt)
    for folder, real in _shared(attempt):
        _share_cache(real, folder)
    resumed = any((path.parent / ".resume").exists() for path in attempt.made)  # a training that was killed
    code, said, seen = _run(attempt)
    trial = replace(trial, seconds=seen.seconds, peak_mb=seen.peak_mb, gpu_mb=seen.gpu_mb)
    if code:
        sentence = _sentence(code, said, attempt)
        if attempt.taught_by_sample and _TOO_FEW.search(sentence):
            return replace(trial, sentence=_UNTRIED.format(sentence.rstrip(".")), untried=True)
        return replace(trial, sentence=sentence)
    for folder, real in _shared(attempt):
        _share_cache(folder, real)
    cached = resumed or any(_ANSWERED_BY_CACHE in line for line in said)
    return replace(trial, cached=cached, pace=_pace(attempt, seen))


def _shared(attempt: Attempt) -> Iterator[tuple[Path, Path]]:
    """Yield each folder of the files that are made with the one in which the real run makes the same."""
    if attempt.shared is not None:
        own, real = attempt.shared
        for folder in sorted({path.parent for path in attempt.made}):
            yield folder, real / folder.relative_to(own)


def _pace(attempt: Attempt, seen: Seen) -> Pace | None:
    appeared = [one for one in seen.appeared_s if one is not None]
    if attempt.sample is None or len(appeared) < len(SHARDS):
        return None
    return Pace.of(appeared, seen.seconds, read_sample(attempt.sample).sizes(attempt.unit), attempt.unit)


def _run(attempt: Attempt) -> tuple[int, list[str], Seen]:
    """Run the command; return its exit status, its last lines, and what was seen of it."""
    program, *arguments = attempt.command
    own = [sys.executable, "-m", program] if program == "secondlook" else [program]  # the same code as this process
    # `jobs.time_limit` would have Slurm start a trial again and again: one on the sample begins anew each time
    watched = {name: value for name, value in os.environ.items() if attempt.shared or name != "SLURM_JOB_ID"}
    child = subprocess.Popen([*own, *arguments], stderr=subprocess.PIPE, text=True, errors="replace", env=watched)
    said: deque[str] = deque(maxlen=200)
    reader = Thread(target=_relay, args=(child.stderr, said))
    reader.start()
    try:
        seen = watch(child, attempt.made, gpus=attempt.asked.gpus)
    finally:
        child.kill()
        reader.join()
    return child.returncode, [*said], seen


def _relay(stream: IO[str], said: deque[str]) -> None:
    for line in stream:
        sys.stderr.write(line)
        said.append(line.rstrip())


def _sentence(code: int, said: Sequence[str], attempt: Attempt) -> str:
    """Return why a command failed: its own sentence, else its last line."""
    if code < 0:
        asked = attempt.asked.at(attempt.number)
        return f"was killed by {Signals(-code).name}, as happens for lack of memory; it had asked for {asked}"
    own = [number for number, line in enumerate(said) if line.startswith(_PREFIX)]
    if own:
        return " ".join(said[own[-1] :]).removeprefix(_PREFIX)
    last = [line for line in said if line.strip()]
    return last[-1].strip() if last else f"ended with exit status {code} and no message"


def _clear(attempt: Attempt) -> None:
    """Remove what an earlier trial left: only what is shared may be answered by the results cache or a ledger."""
    for path in attempt.made:
        path.unlink(missing_ok=True)
        if attempt.shared is None:
            shutil.rmtree(path.parent / f".{path.name}.ledger", ignore_errors=True)
            for cached in (path.parent / ".cache").glob(f"{path.name}.*"):
                cached.unlink()


def _share_cache(source: Path, target: Path) -> None:
    """Give what is cached in a folder a second name in the cache of another: the real run repeats nothing then."""
    for cached in (source / ".cache").glob("*"):
        name = target / ".cache" / cached.name
        if name.exists() or cached.name.startswith(".") or _OF_THE_SAMPLE.match(cached.name):
            continue
        try:
            with files.temporary_folder(name.parent, name.name) as folder:
                _link(cached, folder / "link")
                (folder / "link").replace(name)
        except OSError as error:
            progress.say(f"pilot: {cached} cannot be hard-linked ({error.strerror}); the real run makes it again")
            return


def _link(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, copy_function=lambda one, two: Path(two).hardlink_to(one))
    else:
        target.hardlink_to(source)
