"""Engines of extras, by a short form of `tests.harness.sweep`."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "module"), [("ray", "ray"), ("slurm", "submitit")])
def test_killed_jobs_and_lost_nodes_leave_the_same_tables(engine, module, tmp_path):
    pytest.importorskip(module, reason=f"needs the extra `{engine}`")
    # Ray's cluster forks, which a process with JAX's threads should not.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.harness.sweep", "--studies=toy"),
            *("--kills=1", f"--engine={engine}", f"--folder={tmp_path}"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
