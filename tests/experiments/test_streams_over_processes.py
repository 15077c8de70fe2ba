"""Studies whose inputs two processes stream leave what they leave in one."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from robustjax import data
from tests.harness.launchers_over_processes import difference
from tests.harness.several_processes import ends_of, meeting

SHARED = ("--stream", "--hidden=16", "--epochs=2", "--batch_size=16", "--repeats=1")
STUDIES = {
    "label_noise": ("--methods=elr", "--noise=symmetric", "--watch_examples=20"),
    "pruning": (
        *("--methods=uniform,prune4rel", "--fractions=0.5", "--threshold=0.8"),
        *("--relabeler=ce", "--warmup_epochs=2"),
    ),
}


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """Shards of three clouds."""
    folder = tmp_path_factory.mktemp("points")
    rng = np.random.default_rng(0)
    for split, size in (("train", 121), ("test", 60)):
        labels = np.arange(size) % 3
        inputs = rng.normal(size=(size, 6)).astype(np.float32)
        inputs[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
        data.write_shards(folder / split, np.array_split(inputs, 3), labels)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_two_processes_leave_what_one_leaves(study, points, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    command = [
        *(sys.executable, "-m", f"experiments.{study}", *SHARED, *STUDIES[study]),
        *(f"--dataset={points}", f"--run_dir={tmp_path}"),
    ]
    ends = ends_of([[*command, "--name=one"]], 400)
    ends += ends_of(meeting([[*command, "--name=two"]] * 2), 400)
    for status, _, errors in ends:
        assert status == 0, errors[-2000:]
    one, two = (tmp_path / study / name for name in ("one", "two"))
    for name in ("summary.csv", "examples.csv"):
        near = {"rel_tol": 1e-5, "abs_tol": 2e-6}
        assert difference(one / name, two / name, **near) == "", name
