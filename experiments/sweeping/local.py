"""Points as processes of this machine: one per device, or several on a CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from experiments.sweeping.jobs import Ending, Job, Running
from robustjax.cores import usable_cores

_ASK = "import jax; print(jax.default_backend(), jax.local_device_count())"
_PAUSE_SECONDS = 0.1
# The rest is for what every process keeps beside its arrays.
_SHARED_MEMORY = 0.9


class LocalEngine:
    """Runs so many jobs at once, each on a device (or on threads) of its own."""

    def __init__(self, slots: Sequence[Mapping[str, str]]):
        """Takes an environment per job that runs at the same time; see `slots_of`."""
        self._slots = list(slots)
        self._running: dict[int, Running] = {}

    def free(self) -> int:
        """How many jobs can start now."""
        return len(self._slots) - len(self._running)

    def start(self, jobs: Sequence[Job]) -> None:
        """Starts jobs, at most `free()` of them."""
        for job in jobs:
            slot = next(n for n in range(len(self._slots)) if n not in self._running)
            self._running[slot] = Running(job, self._slots[slot])

    def ended(self) -> list[tuple[Job, Ending]]:
        """The jobs that have ended since it was last asked."""
        time.sleep(_PAUSE_SECONDS)
        found = []
        for slot, running in list(self._running.items()):
            endings = running.poll()
            if endings is not None:
                del self._running[slot]
                found += endings
        return found

    def close(self) -> None:
        """Asks what still runs to save and to end, and waits for it."""
        for running in self._running.values():
            running.stop()
        for running in self._running.values():
            running.wait()


def slots_of(jobs: int, platforms: str | None) -> list[dict[str, str]]:
    """The environments of jobs that run at once.

    Args:
      jobs: how many; 0 for one per accelerator, or one on a CPU. Of more than there are
        GPUs, several share each and its memory.
      platforms: as asked for by `--jax_platforms`, or None.

    Raises:
      ValueError: more than one job on a TPU.
    """
    platform, count = _devices(platforms)
    if platform == "cpu":
        jobs = jobs or 1
        threads = max(1, usable_cores() // jobs)
        return [threads_of(threads)] * jobs
    if platform == "tpu":
        if jobs > 1:
            raise ValueError(
                f"jobs: got {jobs}, expected 1: the chips of a TPU can belong to one "
                "process alone"
            )
        return [{}]
    jobs = jobs or count
    share = share_of_memory(1 / -(-jobs // count))
    if count == 1:
        return [share] * jobs
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(n) for n in range(count)]
    return [
        {"CUDA_VISIBLE_DEVICES": names[number % count], **share}
        for number in range(jobs)
    ]


def share_of_memory(fraction: float) -> dict[str, str]:
    """Variables that leave a GPU's memory to others that it is shared with.

    By itself JAX takes three quarters at once, of which there is no second. What
    whoever starts the sweep has set is left as it is.

    Args:
      fraction: of a GPU, in (0, 1]; all of it changes nothing.
    """
    names = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
    if fraction >= 1 or any(name in os.environ for name in names):
        return {}
    return {names[0]: f"{_SHARED_MEMORY * fraction:.4f}"}


def threads_of(count: int) -> dict[str, str]:
    """Variables that hold a process to so many threads for computing."""
    names = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(count))


def _devices(platforms: str | None) -> tuple[str, int]:
    """Platform and number of devices, asked in a process that then lets go of them."""
    wanted = platforms or os.environ.get("JAX_PLATFORMS")
    if wanted == "cpu":
        return "cpu", 1
    environment = {**os.environ, **({"JAX_PLATFORMS": wanted} if wanted else {})}
    asked = subprocess.run(
        [sys.executable, "-c", _ASK], env=environment, capture_output=True, text=True
    )
    words = asked.stdout.split()
    if asked.returncode or len(words) != 2:
        name = "jax_platforms" if platforms else "JAX_PLATFORMS"
        raise ValueError(f"{name}: got {wanted}, expected a platform of this machine")
    return words[0], int(words[1])
