"""Points as tasks of a Ray cluster; the nodes share the run folders' file system."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import socket
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.sweeping.jobs import Ending, Job, run_job
from experiments.sweeping.local import share_of_memory, threads_of

_PAUSE_SECONDS = 0.5
_CONNECT_SECONDS = 5.0
_STOP_SECONDS = 120.0
_OWN_RESOURCES = ("num_cpus", "num_gpus", "memory")


class RayEngine:
    """Hands everything to Ray at once, which runs what it has resources for."""

    def __init__(self, address: str | None, resources: Mapping[str, Any]):
        """Joins a running cluster, or starts one on this machine.

        Args:
          address: host:port, ray://host:port or "auto"; None starts one.
          resources: of a point: num_cpus, num_gpus, memory (bytes), or custom ones.

        Raises:
          ValueError: Ray is not installed, or nothing answers at the address.
        """
        try:
            import ray
        except ImportError:
            raise ValueError(
                "engine: got ray, which is not installed; pip install 'robustjax[ray]'"
            ) from None
        self._ray = ray
        if address is not None and ":" in address:
            _check_answers(address)
        root = str(pathlib.Path(__file__).parents[2])
        try:
            with warnings.catch_warnings():
                # JAX warns of forks, but Ray's become other programs at once.
                warnings.filterwarnings("ignore", r"os\.fork", RuntimeWarning)
                ray.init(
                    address=address or "local",
                    runtime_env={"env_vars": {"PYTHONPATH": root}},
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    include_dashboard=False if address is None else None,
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = (str(error).splitlines() or ["it does not answer"])[0]
            raise ValueError(
                f"address: got {address}, expected that of a running Ray cluster: "
                f"{reason}"
            ) from None
        own = {n: value for n, value in resources.items() if n in _OWN_RESOURCES}
        custom = {n: value for n, value in resources.items() if n not in own}
        cpus = max(1, int(own.setdefault("num_cpus", 1)))
        gpus = own.get("num_gpus")
        self._environment = share_of_memory(gpus) if gpus else threads_of(cpus)
        # What died is started anew by the sweep, which knows how far it had come.
        self._run = ray.remote(run_job).options(
            max_retries=0, resources=custom or None, **own
        )
        self._running: dict[Any, tuple[Job, float]] = {}

    def free(self) -> int:
        """Ray lets wait what it cannot run yet."""
        return 2**31

    def start(self, jobs: Sequence[Job]) -> None:
        """Submits jobs."""
        for job in jobs:
            environment = {**job.environment, **self._environment}
            task = self._run.remote(dataclasses.replace(job, environment=environment))
            self._running[task] = job, time.monotonic()

    def ended(self) -> list[tuple[Job, Ending]]:
        """The jobs that have ended since it was last asked."""
        if not self._running:
            time.sleep(_PAUSE_SECONDS)
            return []
        tasks = list(self._running)
        ready, _ = self._ray.wait(
            tasks, num_returns=len(tasks), timeout=_PAUSE_SECONDS, fetch_local=False
        )
        found = []
        for task in ready:
            job, began = self._running.pop(task)
            try:
                ending = self._ray.get(task)
            # Whatever has become of the task, its point can be tried again.
            except self._ray.exceptions.RayError as error:
                seconds = time.monotonic() - began
                ending = Ending(None, seconds, f"lost by Ray: {type(error).__name__}")
            found.append((job, ending))
        return found

    def close(self) -> None:
        """Asks what still runs to save and to end, and waits for it."""
        if not self._ray.is_initialized():
            return
        for task in self._running:
            self._ray.cancel(task)
        if self._running:
            tasks = list(self._running)
            self._ray.wait(tasks, num_returns=len(tasks), timeout=_STOP_SECONDS)
        self._running.clear()
        self._ray.shutdown()


def _check_answers(address: str) -> None:
    # Ray itself tries for a minute, and says so at length.
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), _CONNECT_SECONDS):
            pass
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(
            f"address: got {address}, expected that of a running Ray cluster: {reason}"
        ) from None
