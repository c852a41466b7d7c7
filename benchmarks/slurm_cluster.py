#!/usr/bin/env python3
"""Run a command on a Slurm cluster of one node, started for it on this machine.

usage: python benchmarks/slurm_cluster.py [--install] [--cpus N] [COMMAND ...]

  python benchmarks/slurm_cluster.py --install      # Debian's packages; takes root
  python benchmarks/slurm_cluster.py bash           # try sbatch, squeue, scancel

munged, slurmctld and slurmd run as the current user in a temporary folder, without
systemd, accounting and GPUs, and end with the command, whose exit status this one has.
Where Slurm is missing and cannot be installed, a sentence says so; that is no error.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
PACKAGES = ("slurm-wlm", "munge")
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")
"""Where the daemons are; users' ``PATH`` often lacks them."""

CONF = """
ClusterName=single
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
# A requeued job waits for cred_expire seconds (120 by default).
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0
KillWait=5
ReturnToService=2
# More processors than the machine has.
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
# Its jobs preempt those of the other partition.
PartitionName=urgent Nodes={host} PriorityTier=2 MaxTime=INFINITE State=UP
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
"""


class SlurmUnavailableError(RuntimeError):
    """Slurm is not installed, or cannot be."""


def find(command: str) -> str | None:
    """Return the path of a command or daemon; None if it is not installed."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
    return shutil.which(command, path=path)


def require_installed(install: bool = False) -> None:
    """Require Slurm's daemons; install Debian's packages if asked to.

    Raises:
        SlurmUnavailableError: If they are missing; says what to do.
    """
    missing = [name for name in DAEMONS if find(name) is None]
    if not missing:
        return
    what = f"{', '.join(missing)} not found"
    if not install:
        hint = "python benchmarks/slurm_cluster.py --install"
        raise SlurmUnavailableError(f"{what}; install Slurm: {hint}")
    if os.geteuid() != 0 or find("apt-get") is None:
        raise SlurmUnavailableError(
            f"{what}; installing {' and '.join(PACKAGES)} takes root and apt-get"
        )
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    options = ["--yes", "--quiet", "--no-install-recommends"]
    for step in (["update"], ["install", *options, *PACKAGES]):
        done = subprocess.run(
            ["apt-get", *step], env=environment, capture_output=True, text=True
        )
        if done.returncode:
            last = done.stderr.strip().rpartition("\n")[2]
            raise SlurmUnavailableError(f"{what}; apt-get {step[0]} failed: {last}")


def write_files(folder: Path, cpus: int) -> None:
    """Write slurm.conf, cgroup.conf and munge's key."""
    controller, node = socket.socket(), socket.socket()
    with controller, node:  # both are open at once, so that the ports differ
        for each in (controller, node):
            each.bind(("127.0.0.1", 0))
        text = CONF.format(
            folder=folder,
            host=socket.gethostname().split(".")[0],
            user=getpass.getuser(),
            controller_port=controller.getsockname()[1],
            node_port=node.getsockname()[1],
            cpus=cpus,
        )
    (folder / "slurm.conf").write_text(text)
    (folder / "cgroup.conf").write_text(f"CgroupPlugin={cgroup_plugin()}\n")
    (folder / "munge.key").touch(mode=0o600)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    for name in ("state", "spool"):
        (folder / name).mkdir()


def cgroup_plugin() -> str:
    """Return a plugin that needs no mounted cgroups; versions before 24.05 lack one.

    There, cgroup/v1 looks for them only if a task plugin asks for it.
    """
    version = subprocess.run(
        [find("slurmd") or "slurmd", "-V"], capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    major, minor = (int(part) for part in version.split(".")[:2])
    return "disabled" if (major, minor) >= (24, 5) else "cgroup/v1"


class Cluster:
    """A running cluster.

    Attributes:
        environment: Environment for Slurm's commands and for what calls them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
        self.environment = inherited | {"SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *command: str) -> str:
        """Run a command in the cluster and return its output.

        Raises:
            subprocess.CalledProcessError: If it fails.
        """
        done = subprocess.run(
            command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    def job(self, job_id: str) -> dict[str, str]:
        """Return the fields of ``scontrol show job``, such as ``JobState``."""
        words = self.run("scontrol", "--oneliner", "show", "job", job_id).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def start(self) -> None:
        """Start the daemons and wait until the node is idle.

        Raises:
            RuntimeError: If a daemon ends; with the end of its output.
            TimeoutError: If the node does not become idle.
        """
        conf = ["-D", "-f", self.environment["SLURM_CONF"]]
        munge = ["--foreground", f"--socket={self.folder}/munge.socket"]
        for name in ("key", "log", "pid", "seed"):
            munge.append(f"--{name}-file={self.folder}/munge.{name}")
        for name, options in zip(DAEMONS, (munge, conf, conf), strict=True):
            with (self.folder / f"{name}.out").open("wb") as output:
                self.daemons[name] = subprocess.Popen(
                    [find(name) or name, *options],
                    env=self.environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C must not end them before the jobs
                )
        wait_until(self.is_idle, 60, "the node is not idle")

    def is_idle(self) -> bool:
        """Return whether the node waits for jobs.

        Raises:
            RuntimeError: If a daemon has ended; with the end of its output.
        """
        for name, daemon in self.daemons.items():
            if daemon.poll() is not None:
                output = (self.folder / f"{name}.out").read_text()
                raise RuntimeError(f"{name} ended:\n{output[-1000:]}")
        sinfo = ["sinfo", "--noheader", "--partition=all", "--format=%T"]
        done = subprocess.run(sinfo, env=self.environment, capture_output=True)
        return done.stdout.strip() == b"idle"

    def cancel_jobs(self) -> None:
        """Cancel all jobs and wait until they have ended."""
        self.run("scancel", f"--user={getpass.getuser()}")
        wait_until(lambda: not self.run("squeue", "--noheader"), 60, "jobs remain")

    def stop(self) -> None:
        """End the daemons."""
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            daemon.wait()


def wait_until(
    condition: Callable[[], bool], seconds: float, otherwise: object
) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: With the text of ``otherwise``, if it does not within the time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} after {seconds:g} s")
        time.sleep(0.2)


@contextlib.contextmanager
def slurm_cluster(cpus: int = 4) -> Iterator[Cluster]:
    """Run a Slurm cluster of one node.

    Args:
        cpus: Processors that the node offers, also if the machine has fewer.

    Raises:
        SlurmUnavailableError: If Slurm is not installed.
        RuntimeError: If it does not start.
        TimeoutError: If its node does not become idle, or jobs remain at the end.
    """
    require_installed()
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:
        Path(folder).chmod(0o711)  # munged insists
        write_files(Path(folder), cpus)
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
            try:
                yield cluster
            finally:
                cluster.cancel_jobs()
        finally:
            cluster.stop()


def main(argv: list[str] | None = None) -> int:
    """Run the command in the cluster; return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--cpus", type=int, default=4, help="processors of the node")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args(argv)
    try:
        require_installed(install=args.install)
        if not args.command:
            return 0
        with slurm_cluster(args.cpus) as cluster:
            return subprocess.run(args.command, env=cluster.environment).returncode
    except SlurmUnavailableError as error:
        print(f"skipped: {error}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
