"""Kills and stops the processes of a training that SLURM has started, and resumes it.

    sudo python -m tests.harness.slurm_hosts

A cluster of two nodes on this machine, by the daemons of SLURM (Debian's packages
`slurm-wlm` and `munge`), runs `examples/hosts/slurm.sh`. Where one process is killed,
the other one must end by itself and say why; where the job gets SIGTERM, both save. The
same job again must leave the summary of a training that was never disturbed. A sweep
over an array of jobs is the last. Both nodes' names must mean this machine:

    echo 127.0.0.1 node1 node2 >> /etc/hosts
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from tests.harness.kill_hosts import (
    TRAINING,
    compared,
    is_one_line,
    wait_for_epochs,
)
from tests.harness.several_processes import ROOT

_NODES = ("node1", "node2")
_SWEEP = (
    *(sys.executable, "-m", "experiments.sweep", "--study=label_noise"),
    *("--preset=digits", "--methods=ce", "--epochs=2", "--grid=noise_rate=0.2,0.5"),
    *("--name=rates", "--engine=slurm", "--resources=time=20; cpus_per_task=1"),
)
_SECONDS = 600


def _settings(folder: pathlib.Path) -> str:
    name = socket.gethostname().partition(".")[0]
    nodes = [
        f"NodeName={node} NodeHostname={name} NodeAddr=127.0.0.1 Port={port} CPUs=2"
        for node, port in zip(_NODES, (17001, 17002))
    ]
    return "\n".join(
        [
            f"ClusterName=loopback\nSlurmctldHost={name}(127.0.0.1)",
            "SlurmctldPort=17000\nSlurmUser=root\nAuthType=auth/munge\nMpiDefault=none",
            f"StateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool-%n",
            f"SlurmctldPidFile={folder}/all.pid\nSlurmdPidFile={folder}/%n.pid",
            "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nKillWait=120",
            "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core",
            "SlurmdParameters=config_overrides\nReturnToService=2",
            *nodes,
            f"PartitionName=all Nodes={','.join(_NODES)} Default=YES State=UP",
        ]
    )


@contextlib.contextmanager
def cluster(folder: pathlib.Path) -> Iterator[None]:
    """Two nodes that wait for jobs; `SLURM_CONF` says where, to all that follows."""
    path = folder / "slurm.conf"
    path.write_text(_settings(folder) + "\n")
    os.environ["SLURM_CONF"] = str(path)
    if subprocess.run(["munge", "-n"], capture_output=True).returncode:
        pathlib.Path("/run/munge").mkdir(exist_ok=True)
        subprocess.run(["chown", "munge:", "/run/munge"], check=True)
        subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=True)
    commands = [["slurmctld", "-D"], *(["slurmd", "-D", "-N", node] for node in _NODES)]
    log = (folder / "daemons.log").open("w")
    daemons = [
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        for command in commands
    ]
    try:
        yield
    finally:
        for daemon in daemons:
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(_SECONDS)
        log.close()


def submit(folder: pathlib.Path, name: str) -> str:
    """Submits the training; gives the number of its job."""
    command = [
        *("sbatch", "--parsable", "--gpus-per-node=0", "--cpus-per-task=1"),
        *(f"--output={folder}/{name}.txt", "examples/hosts/slurm.sh"),
        *("label_noise", *TRAINING, f"--run_dir={folder}/{name}"),
    ]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def wait_for(job: str) -> None:
    """Until it is not queued any more, nor runs."""
    ends = time.monotonic() + _SECONDS
    while subprocess.run(
        ["squeue", "-h", "-j", job], capture_output=True, text=True
    ).stdout.strip():
        if time.monotonic() > ends:
            raise TimeoutError(f"job {job} has not ended in {_SECONDS} s")
        time.sleep(0.2)


def kill_process(index: int) -> None:
    """By SIGKILL, whatever SLURM has started as the process of that number."""
    for folder in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            told = (folder / "environ").read_bytes().split(b"\0")
            started = (folder / "cmdline").read_bytes()
            if f"SLURM_PROCID={index}".encode() in told and started.startswith(
                sys.executable.encode()
            ):
                os.kill(int(folder.name), signal.SIGKILL)


def disturb(folder: pathlib.Path, name: str, how: Callable[[str], object]) -> str:
    """Trains until some epochs are done, then does something; what the job said."""
    job = submit(folder, name)
    wait_for_epochs(folder / name, 8)
    how(job)
    wait_for(job)
    return (folder / f"{name}.txt").read_text()


def main() -> None:
    """Prints a line for every trial."""
    for node in _NODES:
        socket.gethostbyname(node)
    os.environ["PATH"] = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as root, cluster(pathlib.Path(root)):
        folder = pathlib.Path(root)
        wait_for(submit(folder, "whole"))
        ways: dict[str, Callable[[str], object]] = {
            "killed_first": lambda job: kill_process(0),
            "killed_second": lambda job: kill_process(1),
            "terminated": lambda job: subprocess.run(["scancel", "--signal=TERM", job]),
        }
        bad = 0
        for name, how in ways.items():
            said = disturb(folder, name, how)
            own = "\n".join(e for e in said.splitlines() if "srun: " not in e)
            told = (
                "one line" if is_one_line(own) else f"{own.count('stopped by')} saved"
            )
            wait_for(submit(folder, name))
            same, left = compared(folder / name, folder / "whole")
            bad += not same or told not in ("one line", "2 saved")
            print(f"{name}: {told}; submitted again: {left}", flush=True)
        sweep = [*_SWEEP, f"--run_dir={folder}/sweep"]
        done = subprocess.run(sweep, cwd=ROOT, capture_output=True, text=True)
        print(f"sweep: status {done.returncode}; {done.stdout.splitlines()[-1]}")
    sys.exit(bad > 0 or done.returncode != 0)


if __name__ == "__main__":
    main()
