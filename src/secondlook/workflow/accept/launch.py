"""The run of the probes through Snakemake, and why a probe did not come back."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from secondlook.base import progress
from secondlook.base.errors import DataError, UsageError
from secondlook.io import files
from secondlook.workflow.accept import limits, queue, stopping
from secondlook.workflow.accept.findings import FREE_SPACE, Finding, Record, failure, is_full, read_record
from secondlook.workflow.accept.queue import Job
from secondlook.workflow.accept.sharing import SHARED, Watcher
from secondlook.workflow.accept.site import Probe, Site

SNAKEFILE = Path(__file__).parent / "probes.smk"
PROBES = "probes.json"
SNAKEMAKE_LOG = "snakemake.log"
_TICK_S = 1.0
_SUBMITTING_S = 2.0  # a job that was being submitted is in the queue after that
_STATES_OF_WORK = ("RUNNING", "CONFIGURING", "SUSPENDED", "STOPPED")
_STATES_OF_A_LIMIT = {"memory": ("FAILED", "OUT_OF_MEMORY"), "time": ("TIMEOUT",)}
_SUBMITTED = re.compile(r"SLURM jobid (\d+) \(log: \S*?/rule_probe/([^/\s]+)/")
_ENDED = re.compile(r"SLURM-job '(\d+)' failed[^']*SLURM status is:\s*'(\w+)'", re.DOTALL)
_REJECTED = re.compile(r"The error message was '(.*?)'\.\s*sbatch call:.*?_wildcards_([^\s\"']+)", re.DOTALL)


@dataclass(frozen=True)
class Ending:
    """How a run of probes ended: the exit status of Snakemake, None where it had to be ended; the jobs it left."""

    status: int | None
    left: Mapping[str, Job]


@dataclass(frozen=True)
class Launch:
    """A run of probes in an own folder, by the profile of a site; `timeout_s` for all of them together."""

    folder: Path
    site: Site
    probes: Mapping[str, Probe]
    timeout_s: float

    def records(self) -> Iterator[Record]:
        """Run the probes and yield a record of each, whatever became of it."""
        for name in ("records", "logs", SHARED):
            (self.folder / name).mkdir()
        probes = {name: asdict(probe) for name, probe in self.probes.items()}
        # a resource that no probe names is left to `default-resources` of the profile
        named = [
            key for key in asdict(Probe("node", 0, 0)) if key != "kind" and any(one[key] for one in probes.values())
        ]
        content = {"probes": probes, "resources": named}
        files.write_text(self.folder / PROBES, json.dumps(content, indent=1) + "\n")
        watcher = Watcher(self.folder / SHARED, [name for name, one in self.probes.items() if one.kind == "node"])
        watcher.start()
        try:
            ending = self._run()
        finally:
            watcher.stop()
        log = (self.folder / SNAKEMAKE_LOG).read_text(encoding="utf-8", errors="replace")
        for name, probe in self.probes.items():
            record = self.folder / "records" / f"{name}.json"
            if record.exists():
                yield read_record(record).adding(watcher.findings(name))
            else:
                yield Record(name, "", (self._lost(name, probe, log, ending),))

    def _run(self) -> Ending:
        """Run Snakemake to its end or to the timeout; raises DataError where a signal ends the run."""
        command = [sys.executable, "-m", "snakemake", "--profile", str(self.site.file), "--snakefile", str(SNAKEFILE)]
        command += ["--directory", str(self.folder), "--keep-going", "--retries", "0", "--nolock"]
        if self._on_slurm:
            command += ["--slurm-init-seconds-before-status-checks", "10"]
        left: list[Job] = []
        with stopping.kept() as signals, (self.folder / SNAKEMAKE_LOG).open("w", encoding="utf-8") as log:
            # in a session of its own: Ctrl-C on the terminal is for this command, which then ends Snakemake
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            try:
                self._watch(process, signals)
            finally:
                status = process.poll()
                became = self._end(process, left)
        if signals.first is not None:
            raise DataError(f"accept: ended by {signals.first.name}; {became}; no report was written.")
        if left:
            progress.say(f"accept: {became}")
        return Ending(status, {job.probe: job for job in left})

    @property
    def _on_slurm(self) -> bool:
        return self.site.executor == "slurm"

    def _watch(self, process: "subprocess.Popen[bytes]", signals: stopping.Kept) -> None:
        """Wait for Snakemake, the timeout or a signal."""
        start, came_back, requeued = time.monotonic(), 0, False
        while process.poll() is None and signals.first is None:
            if time.monotonic() - start > self.timeout_s:
                progress.say(f"accept: {self._minutes} are over; what is still in the queue is cancelled")
                return
            requeued = requeued or limits.requeue_half_done(self.folder / SHARED, _requeue)
            found = len(list((self.folder / "records").glob("*.json")))
            if found != came_back:
                came_back = found
                progress.say(f"accept: {found} of {len(self.probes)} probes came back")
            time.sleep(_TICK_S)

    @property
    def _minutes(self) -> str:
        return f"the {self.timeout_s / 60:g} minutes of `--timeout`"

    def _end(self, process: "subprocess.Popen[bytes]", left: list[Job]) -> str:
        """End Snakemake, add the jobs that it leaves to `left` and cancel them; return what became of them."""
        status = process.poll()
        if status == 0:
            return "its jobs had ended"
        left += self._in_queue()
        stopping.end(process, at_once=self._on_slurm)
        became = queue.cancel(left)
        if status is None or status < 0:  # it may have submitted a job while it was ended
            time.sleep(_SUBMITTING_S)
            late = [job for job in self._in_queue() if job.id not in {one.id for one in left}]
            left += late
            became = f"{became}; {queue.cancel(late)}" if late else became
        return became

    def _in_queue(self) -> list[Job]:
        """Return the jobs of this run in the queue; where squeue does not answer, those whose record is not there."""
        if not self._on_slurm and shutil.which("squeue") is None:
            return []
        try:
            return queue.jobs_of(self.folder)
        except DataError as error:
            if not self._on_slurm:
                return []
            progress.say(f"accept: {error}")
        text = (self.folder / SNAKEMAKE_LOG).read_text(encoding="utf-8", errors="replace")
        lacking = [one for one in _SUBMITTED.findall(text) if not (self.folder / "records" / f"{one[1]}.json").exists()]
        return [Job(number, "UNKNOWN", "squeue does not answer", probe, self.folder) for number, probe in lacking]

    def _lost(self, name: str, probe: Probe, log: str, ending: Ending) -> Finding:
        """Return why a probe has no record; for a probe of a limit this may be what it is for."""
        signs, state = self.folder / SHARED, _states(log).get(name)
        limited = {
            "memory": lambda: limits.memory_was_limited(probe.mem_mb, signs),
            "time": lambda: limits.time_was_limited(probe.runtime, signs),
        }.get(probe.kind)
        if limited is not None and state in _STATES_OF_A_LIMIT[probe.kind] and (meant := limited()) is not None:
            return meant
        if probe.kind == "requeue" and name in ending.left and (late := limits.requeue_did_not_end(signs)) is not None:
            return late
        rejected = {probe: " ".join(said.split()) for said, probe in _REJECTED.findall(log)}
        if name in rejected:
            way_out = f"correct {self.site.profile} (partitions.yaml, account, kinds of GPU); `sinfo` shows your site"
            return failure("job", f"Slurm refused it: {rejected[name]}", way_out)
        if name in ending.left:
            return self._left(ending.left[name], ending.status)
        words = self._last_words(name, state, log)
        return failure("job", words, FREE_SPACE if is_full(words) else f"the logs are in {self.folder}")

    def _left(self, job: Job, status: int | None) -> Finding:
        """Return why a job was still in the queue when Snakemake had ended (`status`) or the time was over (None)."""
        if status is not None:
            how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with the exit status {status}"
            way_out = f"start again, in tmux or screen; its log is {self.folder / SNAKEMAKE_LOG}"
            return failure("job", f"Snakemake was {how} before this job had ended, which was then cancelled", way_out)
        if job.state in _STATES_OF_WORK:
            return failure("job", f"was still running when {self._minutes} were over", "give `--timeout` more minutes")
        way_out = "ask your admin, or give `--timeout` more minutes on a busy site"
        says = f"had not started when {self._minutes} were over; squeue says {job.state} ({job.reason})"
        return failure("job", says, way_out)

    def _last_words(self, name: str, state: str | None, log: str) -> str:
        own = self.folder / "logs" / f"{name}.log"
        slurm = sorted(self.folder.glob(f"logs/slurm/rule_probe/{name}/*.log"))
        texts = [
            path.read_text(encoding="utf-8", errors="replace") for path in (own, *reversed(slurm)) if path.exists()
        ]
        said = next((line for text in (*texts, log) if (line := _telling(text))), "nothing in its logs")
        return f"ended as {state}: {said}" if state else f"never came back: {said}"


def _telling(text: str) -> str:
    """Return the line of a log that tells most: one of an error, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"error:|secondlook:|not found|Killed|No such|denied", line)]
    return (errors or lines or [""])[-1]


def _states(log: str) -> dict[str, str]:
    """Return how the jobs of probes ended, as far as the log of Snakemake says."""
    probe_of = dict(_SUBMITTED.findall(log))
    return {probe_of[job]: state for job, state in _ENDED.findall(log) if job in probe_of}


def _requeue(job: str) -> str | None:
    if not job:
        return "the job does not know its id (SLURM_JOB_ID)"
    command = ["scontrol", "requeue", job]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, start_new_session=True)
    return None if done.returncode == 0 else (done.stderr.strip() or "scontrol requeue failed")


def run_probe(name: str, folder: Path) -> Record:
    """Do in a job what a probe is for, and return what was found; raises UsageError outside of a run."""
    from secondlook.workflow.accept.probe import find

    try:
        probe = Probe(**json.loads((folder / PROBES).read_text(encoding="utf-8"))["probes"][name])
    except (OSError, KeyError) as error:
        raise UsageError(
            f"{PROBES}: has no probe {name}; this command is for the jobs of `secondlook accept`."
        ) from error
    return Record(name, os.uname().nodename, tuple(find(name, probe, folder)))
