"""Engines of extras, by a short form of `tests.harness.sweep`."""

from __future__ import annotations

import random

import pytest

from tests.harness.sweep import SCENARIOS, trial


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "module"), [("ray", "ray"), ("slurm", "submitit")])
def test_killed_jobs_and_lost_nodes_leave_the_same_tables(engine, module, tmp_path):
    pytest.importorskip(module, reason=f"needs the extra `{engine}`")
    rng = random.Random(0)
    assert trial(SCENARIOS["toy"], engine, tmp_path, rng, kills=1) == []
