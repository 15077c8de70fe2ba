"""One training over the machines of a Ray cluster, a process on each.

    python -m examples.hosts.ray_processes --processes=2 --cpus=8 --gpus=8 -- \
        label_noise --preset=cifar10 --methods=sop_plus

Without a running cluster (`--address=auto` joins one) it starts one of this machine.
Machines see the same files. If a process dies, all end; the same command continues.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys


def free_address() -> str:
    """host:port of this machine, as others reach it."""
    with socket.socket() as free:
        free.bind(("", 0))
        return f"{socket.gethostbyname(socket.gethostname())}:{free.getsockname()[1]}"


def train(study: str, flags: list[str], address: str, count: int, index: int) -> int:
    """Runs one of the processes; gives its status."""
    command = [sys.executable, "-m", f"experiments.{study}", *flags]
    places = [f"--coordinator={address}", f"--num_processes={count}"]
    ran = subprocess.run([*command, *places, f"--process_id={index}"], check=False)
    return ran.returncode


def main() -> None:
    """Spreads the processes over the cluster and waits for them."""
    import ray
    from ray.util.placement_group import placement_group

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="local", help="of the cluster")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cpus", type=float, default=1, help="of a process")
    parser.add_argument("--gpus", type=float, default=0, help="of a process")
    parser.add_argument("study")
    parser.add_argument("flags", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    ray.init(address=given.address)
    room = {"CPU": given.cpus, "GPU": given.gpus}
    places = placement_group(
        [{name: size for name, size in room.items() if size}] * given.processes,
        strategy="SPREAD",
    )
    ray.get(places.ready())

    def at(index: int) -> dict[str, object]:
        return {
            "num_cpus": given.cpus,
            "num_gpus": given.gpus,
            "placement_group": places,
            "placement_group_bundle_index": index,
        }

    address = ray.get(ray.remote(free_address).options(**at(0)).remote())
    ended = [
        ray.remote(train)
        .options(max_retries=0, **at(index))
        .remote(given.study, given.flags, address, given.processes, index)
        for index in range(given.processes)
    ]
    sys.exit(max(map(abs, ray.get(ended))))


if __name__ == "__main__":
    main()
