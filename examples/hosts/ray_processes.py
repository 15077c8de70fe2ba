"""One training over the machines of a Ray cluster, a process on each.

    python -m examples.hosts.ray_processes --address=auto --processes=2 --cpus=8 \
        --gpus=8 label_noise --preset=cifar10 --methods=sop_plus

Without `--address`, on a cluster of this machine alone. All machines see the same
files. Ctrl-C stops all after their epoch, if one dies the others end, and the same
command continues. Needs Ray: pip install 'robustjax[ray]'.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
_SECONDS_FOR_ROOM = 300


def free_address() -> str:
    """host:port of this machine, as the others reach it."""
    import ray

    with socket.socket() as free:
        free.bind(("", 0))
        return f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"


def train(command: list[str], folder: str) -> int:
    """Runs one of the processes; gives its status."""
    process = subprocess.Popen([sys.executable, *command], cwd=folder)
    try:
        # Ray's interrupt would not wake one that waits.
        while process.poll() is None:
            time.sleep(0.2)
        return process.returncode
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        return process.wait()


def spread(given: argparse.Namespace) -> int:
    """Starts the processes and waits for them; gives the worst status.

    Args:
      given: the arguments of the command line.
    """
    import ray

    room = {"CPU": given.cpus, "GPU": given.gpus}
    places = ray.util.placement_group(
        [{name: size for name, size in room.items() if size}] * given.processes,
        strategy="SPREAD",
    )
    if not places.wait(_SECONDS_FOR_ROOM):
        print(
            f"error: the cluster had no room for {given.processes} processes of {room} "
            f"in {_SECONDS_FOR_ROOM} s",
            file=sys.stderr,
        )
        return 1

    def at(index: int, function: Any) -> Any:
        where = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(
            places, placement_group_bundle_index=index
        )
        return ray.remote(function).options(
            num_cpus=given.cpus,
            num_gpus=given.gpus,
            max_retries=0,
            scheduling_strategy=where,
        )

    address = ray.get(at(0, free_address).remote())
    command = ["-m", f"experiments.{given.study}", *given.flags]
    command += [f"--coordinator={address}", f"--num_processes={given.processes}"]
    running = [
        at(index, train).remote([*command, f"--process_id={index}"], os.getcwd())
        for index in range(given.processes)
    ]
    try:
        return max(abs(status) for status in ray.get(running))
    except KeyboardInterrupt:
        for task in running:
            ray.cancel(task)
        ray.wait(running, num_returns=len(running))
        return 128 + signal.SIGINT
    except ray.exceptions.RayError as error:
        print(
            f"error: a process is lost: {str(error).splitlines()[0]}", file=sys.stderr
        )
        return 1


def main() -> None:
    """Joins or starts a cluster and trains on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="local", help="of a running cluster")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cpus", type=float, default=1, help="of a process")
    parser.add_argument("--gpus", type=float, default=0, help="of a process")
    parser.add_argument("study", help="such as label_noise")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="of the study")
    given = parser.parse_args()
    try:
        import ray
    except ImportError:
        sys.exit("error: Ray is not installed; pip install 'robustjax[ray]'")
    ray.init(
        address=given.address,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        include_dashboard=False if given.address == "local" else None,
    )
    try:
        status = spread(given)
    finally:
        ray.shutdown()
    sys.exit(status)


if __name__ == "__main__":
    main()
