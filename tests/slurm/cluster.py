"""A real Slurm of two nodes on this machine: a CPU node and a GPU node whose two GPUs can be counted, not computed on.

Jobs of the partition `spare` are requeued when one of `urgent` needs their node.

No systemd, no cgroups, nothing outside its folder, everything bound to loopback (but for slurmdbd, which cannot be).
Memory limits are enforced by Slurm's own accounting; a database (MariaDB, slurmdbd) comes with it when asked for.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "sinfo", "srun", "scancel")
DATABASE_PROGRAMS = ("slurmdbd", "sacct", "sacctmgr", "mariadbd", "mariadb-install-db", "mariadb")
NODES = ("cpu01", "gpu01")
START_S = 20.0
REQUEUE_S = 20  # how long a requeued job waits; 120 s where nothing is set
CONF = """
ClusterName=secondlook
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={state}/munge/munge.socket,cred_expire={requeue_s}
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={state}/ctld
SlurmdSpoolDir={state}/spool.%n
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={state}/slurmd.%n.pid
SlurmctldLogFile={state}/slurmctld.log
SlurmdLogFile={state}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/filetxt
JobCompLoc={state}/jobs.txt
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=5,bf_interval=5,batch_sched_delay=0,sched_min_interval=0
KillWait=5
MessageTimeout=5
MinJobAge=3600
ReturnToService=2
GresTypes=gpu
NodeName=DEFAULT CPUs=4 CoresPerSocket=4 RealMemory=30000
NodeName=cpu01 NodeHostname={host} NodeAddr=127.0.0.1 Port={cpu}
NodeName=gpu01 NodeHostname={host} NodeAddr=127.0.0.1 Port={gpu} Gres=gpu:a100:2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=DEFAULT MaxTime=INFINITE State=UP PreemptMode=OFF
PartitionName=cpu Nodes=cpu01 Default=YES
PartitionName=gpu Nodes=gpu01
PartitionName=spare Nodes=gpu01 PreemptMode=REQUEUE
PartitionName=urgent Nodes=gpu01 PriorityTier=2
"""
DATABASE_CONF = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoragePass={state}/munge/munge.socket
AccountingStoreFlags=job_comment
"""
SLURMDBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={state}/munge/munge.socket
DbdHost=localhost
DbdPort={dbd}
SlurmUser=root
PidFile={state}/slurmdbd.pid
LogFile={state}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={mariadb}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""
# a GPU that is only a count is refused by this Slurm; any two device files will do
GRES = "AutoDetect=off\nNodeName=gpu01 Name=gpu Type=a100 File=/dev/null,/dev/zero\n"


class ClusterError(Exception):
    """The cluster did not come up; the message ends with the logs."""


@dataclass
class Cluster:
    """A running cluster: `env` leads commands to it; `state` holds its configuration, logs and the record of jobs."""

    state: Path
    has_database: bool = False
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def env(self) -> Mapping[str, str]:
        """The environment in which sbatch, squeue and Snakemake find this cluster."""
        path = os.pathsep.join([str(self.state / "bin"), str(Path(sys.prefix) / "bin"), os.environ["PATH"]])
        return {**os.environ, "SLURM_CONF": str(self.state / "slurm.conf"), "PATH": path}

    def run(self, *command: str, timeout_s: float = 60.0) -> str:
        """Run a Slurm command and return what it printed."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=timeout_s, check=True)
        return done.stdout

    def jobs(self, states: str = "all") -> list[list[str]]:
        """Return id, state, partition and comment of the jobs, in order of submission."""
        shown = self.run("squeue", f"--states={states}", "--noheader", "--sort=i", "-o", "%i|%T|%P|%k")
        return [line.split("|") for line in shown.splitlines()]

    def asked_for_gpus(self) -> set[str]:
        """Return the ids of the jobs that asked for a GPU."""
        shown = self.run("squeue", "--states=all", "--noheader", "--Format=JobID,tres-per-job")
        return {line.split()[0] for line in shown.splitlines() if "gpu" in line}

    def start_node(self, name: str) -> None:
        """Start the daemon of a node and wait until it is idle."""
        self._spawn(f"slurmd.{name}", ["slurmd", "-D", "-N", name])
        self._wait(lambda: "idle" in self.run("sinfo", "-h", "-N", "-n", name, "-o", "%T"), f"{name} is not idle")

    def stop_node(self, name: str) -> None:
        """Kill the daemon of a node, as a power cut would; its jobs go too."""
        self._kill(f"slurmd.{name}")
        for pid in _children_of(f"slurmstepd: [{name}"):
            os.kill(pid, signal.SIGKILL)

    def start(self) -> None:
        """Write the configuration and start munge, controller and nodes."""
        (self.state / "munge").mkdir(parents=True)
        self._configure()
        munge = self.state / "munge"
        options = [f"--{name}-file={munge / name}" for name in ("key", "log", "pid", "seed")]
        self._spawn("munged", ["munged", "--foreground", "--force", f"--socket={munge / 'munge.socket'}", *options])
        self._wait((munge / "munge.socket").exists, "munge has no socket")
        if self.has_database:
            self._start_database()
        self._spawn("slurmctld", ["slurmctld", "-D"])
        self._wait(lambda: "UP" in self.run("scontrol", "ping"), "the controller does not answer")
        for name in NODES:
            self.start_node(name)

    def _start_database(self) -> None:
        data, socket_path = self.state / "mariadb", self.state / "mariadb.socket"
        where = [f"--datadir={data}", "--user=root"]
        self.run("mariadb-install-db", "--no-defaults", *where, "--auth-root-authentication-method=normal")
        listens = ["--bind-address=127.0.0.1", f"--port={self.ports['mariadb']}", f"--socket={socket_path}"]
        self._spawn("mariadbd", ["mariadbd", "--no-defaults", *where, *listens])
        self._wait(socket_path.exists, "MariaDB has no socket")
        statement = "CREATE DATABASE slurm; GRANT ALL ON slurm.* TO 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm'"
        self.run("mariadb", "--no-defaults", f"--socket={socket_path}", "--user=root", "-e", statement)
        self._spawn("slurmdbd", ["slurmdbd", "-D"])
        self._wait(lambda: bool(self.run("sacctmgr", "--version")) and self._answers("dbd"), "slurmdbd does not answer")

    def _answers(self, port: str) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.ports[port]), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Stop what was started, and nothing else."""
        if "slurmctld" in self.processes:
            subprocess.run(["scancel", "--state=RUNNING"], env=self.env, capture_output=True, timeout=30)
            subprocess.run(["scancel", "--state=PENDING"], env=self.env, capture_output=True, timeout=30)
        for name in reversed(list(self.processes)):
            self._kill(name)

    def logs(self) -> str:
        """Return the end of every log."""
        files = sorted(self.state.glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in files)

    def _configure(self) -> None:
        names = ("controller", "cpu", "gpu", "dbd", "mariadb")
        self.ports = dict(zip(names, _free_ports(len(names)), strict=True))
        host = socket.gethostname().split(".")[0]
        conf = CONF + (DATABASE_CONF if self.has_database else "")
        (self.state / "slurm.conf").write_text(
            conf.format(host=host, state=self.state, requeue_s=REQUEUE_S, **self.ports)
        )
        database = self.state / "slurmdbd.conf"
        database.write_text(SLURMDBD_CONF.format(state=self.state, **self.ports))
        database.chmod(0o600)
        (self.state / "gres.conf").write_text(GRES)
        (self.state / "cgroup.conf").write_text("CgroupAutomount=no\n")
        key = self.state / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        # the executor takes SLURM_CONF away before it calls srun
        wrapper = self.state / "bin" / "srun"
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self.state}/slurm.conf exec {shutil.which("srun")} "$@"\n')
        wrapper.chmod(0o755)

    def _spawn(self, name: str, command: list[str]) -> None:
        with (self.state / f"{name}.out.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(command, env=self.env, stdout=log, stderr=log)

    def _kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait(self, ready: Callable[[], bool], problem: str) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                if ready():
                    return
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                pass
            time.sleep(0.05)
        raise ClusterError(f"{problem} after {START_S:.0f} s\n{self.logs()}")


def missing_programs(*, database: bool = False) -> list[str]:
    """Return what of Slurm is not installed."""
    return [name for name in (*PROGRAMS, *(DATABASE_PROGRAMS if database else ())) if shutil.which(name) is None]


@contextmanager
def cluster(state: Path, *, database: bool = False) -> Iterator[Cluster]:
    """Bring a cluster up in the empty folder `state`, and down again whatever happens."""
    running = Cluster(state, database)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _children_of(title: str) -> list[int]:
    found = subprocess.run(["pgrep", "-f", "--", title.replace("[", r"\[")], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]
