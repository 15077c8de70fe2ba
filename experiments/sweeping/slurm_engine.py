"""Points as jobs of SLURM, an array at a time, by submitit.

The scheduler is told not to requeue: what was preempted, timed out or lost its node is
submitted again by the sweep, which knows from the run folder how far it had come.
"""

from __future__ import annotations

import pathlib
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.sweeping.jobs import Ending, Job, run_job
from robustjax import checks

CLUSTERS = ("slurm", "local")
_PAUSE_SECONDS = 1.0
_MOST = 1000


class SlurmEngine:
    """Submits an array of all that can start."""

    def __init__(
        self,
        folder: pathlib.Path,
        resources: Mapping[str, Any],
        cluster: str = "slurm",
        at_once: int = 1,
    ):
        """Looks for SLURM.

        Args:
          folder: for submitit's files, on the file system that all nodes share.
          resources: of a point, by the names of `submitit.SlurmExecutor`; "time", in
            minutes, is needed.
          cluster: "slurm", or "local" for processes of this machine.
          at_once: with "local": jobs that run at once.

        Raises:
          ValueError: submitit or SLURM is missing, or resources that are none.
        """
        parameters = _parameters(resources)
        submitit = _submitit()
        checks.one_of("slurm_cluster", cluster, CLUSTERS)
        if cluster == "local":
            self._executor = submitit.LocalExecutor(folder)
            self._executor.update_parameters(timeout_min=parameters["time"])
            self._most = at_once
        else:
            missing = [n for n in ("sbatch", "srun", "sacct") if not shutil.which(n)]
            if missing:
                raise ValueError(
                    f"engine: got slurm, but this machine has no {missing[0]}; "
                    "expected a machine from which jobs are submitted"
                )
            self._executor = submitit.SlurmExecutor(folder)
            self._executor.update_parameters(**parameters)
            self._most = _MOST
        self._running: list[tuple[Any, Job, float]] = []

    def free(self) -> int:
        """How many jobs can be submitted now."""
        return self._most - len(self._running)

    def start(self, jobs: Sequence[Job]) -> None:
        """Submits jobs as one array.

        Raises:
          ValueError: SLURM does not take them.
        """
        from submitit.core.utils import FailedJobError

        try:
            submitted = self._executor.map_array(run_job, list(jobs))
        except FailedJobError as error:
            told = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise ValueError(
                f"engine: got slurm, which does not take jobs: {(told or ['?'])[-1]}"
            ) from None
        began = time.monotonic()
        self._running += [(each, job, began) for each, job in zip(submitted, jobs)]

    def ended(self) -> list[tuple[Job, Ending]]:
        """The jobs that have ended since it was last asked."""
        time.sleep(_PAUSE_SECONDS)
        found, left = [], []
        for submitted, job, began in self._running:
            if not submitted.done():
                left.append((submitted, job, began))
                continue
            try:
                ending = submitted.result()
            # Whatever has become of the job, its point can be tried again.
            except Exception as error:
                seconds = time.monotonic() - began
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                state = f"{submitted.state}: {reason}"
                ending = Ending(None, seconds, f"lost by SLURM: {state}")
            found.append((job, ending))
        self._running = left
        return found

    def close(self) -> None:
        """Cancels what still runs or waits; it gets SIGTERM, and time to save."""
        for submitted, _, _ in self._running:
            submitted.cancel(check=False)
        self._running = []


def batch_text(folder: pathlib.Path, resources: Mapping[str, Any], count: int) -> str:
    """The batch file that an array of so many points is submitted with.

    Raises:
      ValueError: as `SlurmEngine`; SLURM itself need not be here.
    """
    parameters = _parameters(resources)
    folder = folder.absolute()
    from submitit.slurm import slurm

    python = shlex.quote(sys.executable)
    command = f"{python} -u -m submitit.core._submit {shlex.quote(str(folder))}"
    text: str = slurm._make_sbatch_string(
        command=command, folder=folder, map_count=max(1, count), **parameters
    )
    return text


def _parameters(resources: Mapping[str, Any]) -> dict[str, Any]:
    _submitit()
    from submitit.slurm import slurm

    for name in resources:
        checks.one_of("resources", name, sorted(slurm._get_default_parameters()))
    if not isinstance(resources.get("time"), int):
        raise ValueError(
            f"resources: got time={resources.get('time', 'none')}, expected minutes "
            "per point, as in 'time=60; partition=gpu; gpus_per_node=1'"
        )
    return {
        "job_name": "robustjax-sweep",
        "additional_parameters": {"no-requeue": True},
        **resources,
    }


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise ValueError(
            "engine: got slurm, which needs submitit; pip install 'robustjax[slurm]'"
        ) from None
    return submitit
