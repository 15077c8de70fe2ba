"""Studies whose inputs two processes stream leave what they leave in one."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest

from robustjax import data
from tests.harness.several_processes import ends_of, free_address

SHARED = ("--stream", "--hidden=16", "--epochs=2", "--batch_size=16", "--repeats=1")
STUDIES = {
    "label_noise": ("--methods=elr", "--noise=symmetric", "--watch_examples=20"),
    "pruning": (
        *("--methods=uniform,prune4rel", "--fractions=0.5", "--threshold=0.8"),
        *("--relabeler=ce", "--warmup_epochs=2"),
    ),
}
TABLES = ("summary.csv", "examples.csv")


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


def cells_of(folder):
    """Table -> column -> texts or numbers of all rows."""
    found = {}
    for name in TABLES:
        with open(folder / name, newline="") as file:
            header, *rows = csv.reader(file)
        columns = [list(column) for column in zip(*rows, strict=True)]
        found[name] = dict(zip(header, columns, strict=True))
    return found


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
    where = f"--coordinator={free_address()}"
    together = [
        [*command, "--name=two", where, "--num_processes=2", f"--process_id={index}"]
        for index in range(2)
    ]
    for status, _, errors in ends + ends_of(together, 400):
        assert status == 0, errors[-2000:]
    one, two = (cells_of(tmp_path / study / name) for name in ("one", "two"))
    for table, columns in one.items():
        assert list(two[table]) == list(columns)
        for column, want in columns.items():
            got = two[table][column]
            try:
                numbers = np.array(
                    [[x or "nan" for x in y] for y in (got, want)], float
                )
            except ValueError:
                assert got == want, column
            else:
                np.testing.assert_allclose(*numbers, rtol=1e-5, atol=2e-6)
