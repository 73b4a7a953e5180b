"""A SLURM of one node on this machine: loopback only, in a folder of its own, nothing of the system's is touched."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
# The node claims what the rules ask for, whatever this machine has.
_SLURM = """\
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
{listening}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
ReturnToService=2
MinJobAge=300
SlurmctldTimeout=30
SlurmdTimeout=60
KillWait=5
InactiveLimit=0
MpiDefault=none
GresTypes=gpu
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
PartitionName=gpu Nodes={host} Default=NO MaxTime=INFINITE State=UP OverSubscribe=NO
"""
# One GPU that is none: a job that asks for it gets CUDA_VISIBLE_DEVICES=0, and one such job runs at a time.
_GRES = "NodeName={host} Name=gpu File=/dev/null\n"
_CGROUP = "CgroupAutomount=no\nConstrainCores=no\n"
# The executor plugin starts srun without SLURM_CONF, which on a cluster is not needed.
_SRUN = '#!/bin/sh\nSLURM_CONF="{folder}/slurm.conf" exec "{srun}" "$@"\n'


@dataclass(frozen=True)
class Cluster:
    """A SLURM that runs.

    Parameters
    ----------
    environment
        What a process needs to speak to it.
    """

    environment: Mapping[str, str]

    def call(self, *command: str) -> str:
        """Run one of SLURM's programs and return what it printed."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, encoding="utf-8", timeout=60, check=True
        )
        return done.stdout

    def jobs(self, form: str = "%i") -> list[str]:
        """Return a line for each job that waits or runs, elements of arrays one by one."""
        return self.call("squeue", "--noheader", "--array", f"--format={form}").split("\n")[:-1]

    def cancel_all(self) -> None:
        """Cancel every job and return when the queue is empty."""
        if numbers := self.jobs("%A"):
            self.call("scancel", *sorted(set(numbers)))
        _wait(lambda: not self.jobs(), "an empty queue")


def search_path() -> str:
    """Return the search path with the folders where daemons lie."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def absent_programs() -> list[str]:
    """Return the programs of SLURM and munge that this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]


@contextmanager
def running_cluster(folder: Path) -> Generator[Cluster, None, None]:
    """Start a SLURM in an empty folder; cancel its jobs and stop it at the end."""
    _write_configuration(folder)
    path = f"{folder / 'bin'}{os.pathsep}{search_path()}"
    environment = {**os.environ, "PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}
    cluster = Cluster(environment)
    with ExitStack() as daemons:
        daemons.enter_context(_daemon(folder, _munged(folder), environment))
        _wait((folder / "munge.socket").is_socket, "munged")
        daemons.enter_context(_daemon(folder, ["slurmctld", "-D", "-i"], environment))
        daemons.enter_context(_daemon(folder, ["slurmd", "-D"], environment))
        _wait(lambda: "idle" in _node_states(cluster), "an idle node")
        yield cluster
        cluster.cancel_all()


def _write_configuration(folder: Path) -> None:
    """Write what SLURM looks for beside slurm.conf, and a key for munge."""
    host = socket.gethostname().split(".")[0]
    controller, node = _free_ports(2)
    facts = {
        "listening": _listening(),
        "host": host,
        "user": os.geteuid(),
        "folder": folder,
        "controller": controller,
        "node": node,
    }
    for name, text in (("slurm", _SLURM), ("gres", _GRES), ("cgroup", _CGROUP)):
        (folder / f"{name}.conf").write_text(text.format(**facts))
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    (folder / "bin" / "srun").write_text(_SRUN.format(folder=folder, srun=shutil.which("srun", path=search_path())))
    (folder / "bin" / "srun").chmod(0o755)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o400)


def _listening() -> str:
    """Loopback only, unless the host has a name that it does not know itself: the daemons look up where to listen."""
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except socket.gaierror:
        return "# any address"
    return "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny"


def _free_ports(count: int) -> list[int]:
    with ExitStack() as sockets:
        held = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def _munged(folder: Path) -> list[str]:
    """Forced, because the folder is nobody else's business: munge wants its socket reachable for all users."""
    files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid", "seed-file": "munge.seed"}
    return ["munged", "--foreground", "--force", *(f"--{option}={folder / name}" for option, name in files.items())]


@contextmanager
def _daemon(folder: Path, command: list[str], environment: Mapping[str, str]) -> Generator[None, None, None]:
    with (
        (folder / f"{command[0]}.out").open("wb") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _node_states(cluster: Cluster) -> str:
    done = subprocess.run(
        ["sinfo", "--noheader", "--format=%T"],
        env=cluster.environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return done.stdout


def _wait(condition, what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(0.2)
