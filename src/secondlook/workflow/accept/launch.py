"""The run of the probes through Snakemake, and why a probe did not come back."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from secondlook.base import progress
from secondlook.base.errors import UsageError
from secondlook.io import files
from secondlook.workflow.accept import limits
from secondlook.workflow.accept.findings import Finding, Record, failure, read_record
from secondlook.workflow.accept.sharing import SHARED, Watcher
from secondlook.workflow.accept.site import Probe, Site

SNAKEFILE = Path(__file__).parent / "probes.smk"
PROBES = "probes.json"
SNAKEMAKE_LOG = "snakemake.log"
_TICK_S = 1.0
_GRACE_S = 60.0  # for Snakemake to cancel its jobs
_STATES_OF_A_LIMIT = {"memory": ("FAILED", "OUT_OF_MEMORY"), "time": ("TIMEOUT",)}
_SUBMITTED = re.compile(r"SLURM jobid (\d+) \(log: \S*?/rule_probe/([^/\s]+)/")
_ENDED = re.compile(r"SLURM-job '(\d+)' failed[^']*SLURM status is:\s*'(\w+)'", re.DOTALL)
_REJECTED = re.compile(r"The error message was '(.*?)'\.\s*sbatch call:.*?_wildcards_([^\s\"']+)", re.DOTALL)


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
            waiting = self._run()
        finally:
            watcher.stop()
        log = (self.folder / SNAKEMAKE_LOG).read_text(encoding="utf-8", errors="replace")
        for name, probe in self.probes.items():
            record = self.folder / "records" / f"{name}.json"
            if record.exists():
                yield read_record(record).adding(watcher.findings(name))
            else:
                yield Record(name, "", (self._lost(name, probe, log, waiting),))

    def _run(self) -> dict[str, str]:
        """Run Snakemake to its end or to the timeout; return what Slurm says of the jobs that then still wait."""
        command = [sys.executable, "-m", "snakemake", "--profile", str(self.site.file), "--snakefile", str(SNAKEFILE)]
        command += ["--directory", str(self.folder), "--keep-going", "--retries", "0", "--nolock"]
        if self.site.executor == "slurm":
            command += ["--slurm-init-seconds-before-status-checks", "10"]
        with (self.folder / SNAKEMAKE_LOG).open("w", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                return self._watch(process)
            finally:
                if not _ends(process):
                    self._cancel()

    def _watch(self, process: "subprocess.Popen[bytes]") -> dict[str, str]:
        start, came_back, requeued = time.monotonic(), 0, False
        while process.poll() is None:
            if time.monotonic() - start > self.timeout_s:
                progress.say(f"accept: {self.timeout_s / 60:g} minutes are over; what still waits is cancelled")
                return _states_in_queue()
            requeued = requeued or limits.requeue_half_done(self.folder / SHARED, _requeue)
            found = len(list((self.folder / "records").glob("*.json")))
            if found != came_back:
                came_back = found
                progress.say(f"accept: {found} of {len(self.probes)} probes came back")
            time.sleep(_TICK_S)
        return {}

    def _cancel(self) -> None:
        """Cancel the jobs that were submitted: Snakemake was killed and could not."""
        text = (self.folder / SNAKEMAKE_LOG).read_text(encoding="utf-8", errors="replace")
        if jobs := [job for job, _ in _SUBMITTED.findall(text)]:
            command = ["scancel", *jobs]
            subprocess.run(command, timeout=60, check=False)

    def _lost(self, name: str, probe: Probe, log: str, waiting: Mapping[str, str]) -> Finding:
        """Return why a probe has no record; for a probe of a limit this may be what it is for."""
        signs, state = self.folder / SHARED, _states(log).get(name)
        limited = {
            "memory": lambda: limits.memory_was_limited(probe.mem_mb, signs),
            "time": lambda: limits.time_was_limited(probe.runtime, signs),
        }.get(probe.kind)
        if limited is not None and state in _STATES_OF_A_LIMIT[probe.kind] and (meant := limited()) is not None:
            return meant
        if probe.kind == "requeue" and name in waiting and (late := limits.requeue_did_not_end(signs)) is not None:
            return late
        rejected = {probe: " ".join(said.split()) for said, probe in _REJECTED.findall(log)}
        if name in rejected:
            way_out = f"correct {self.site.profile} (partitions.yaml, account, kinds of GPU); `sinfo` shows your site"
            return failure("job", f"Slurm refused it: {rejected[name]}", way_out)
        if name in waiting:
            way_out = "ask your admin, or give `--timeout` more minutes on a busy site"
            return failure("job", f"had not ended when the time was over; squeue says {waiting[name]}", way_out)
        return failure("job", self._last_words(name, state, log), f"the logs are in {self.folder}")

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


def _states_in_queue() -> dict[str, str]:
    """Return state and reason of the jobs of probes in the queue, by the name of the probe."""
    command = ["squeue", "--me", "--noheader", "-o", "%k|%T (%r)"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        progress.say(f"accept: squeue does not answer ({error})")
        return {}
    lines = [line.split("|", 1) for line in done.stdout.splitlines() if "rule_probe_wildcards_" in line]
    return {comment.partition("_wildcards_")[2]: state for comment, state in lines}


def _requeue(job: str) -> str | None:
    if not job:
        return "the job does not know its id (SLURM_JOB_ID)"
    command = ["scontrol", "requeue", job]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return None if done.returncode == 0 else (done.stderr.strip() or "scontrol requeue failed")


def _ends(process: "subprocess.Popen[bytes]") -> bool:
    """Have Snakemake cancel its jobs, and tell whether it did; SIGTERM would let it wait for them.

    A shell has its background commands ignore SIGINT, and with them Snakemake.
    """
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
    return True


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
