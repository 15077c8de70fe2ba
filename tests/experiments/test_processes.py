"""Two processes on one machine: the first writes and reads for both."""

from __future__ import annotations

import json
import sys

import pytest

from experiments.study.records import read_cells
from experiments.study.run_folder import status
from robustjax.training import CheckpointFolder
from tests.harness.several_processes import ends_of, free_address

# Each has a folder of its own: what the second one knows, it was told.
PROGRAM = """
import json, pathlib, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec

address, index, folder, stop = sys.argv[1:]
folder = pathlib.Path(folder)
jax.distributed.initialize(address, 2, int(index))

from experiments.study.journal import Journal
from experiments.study.run_folder import open_run_folder
from robustjax.training import data_mesh

RECORD = {"study": "tried", "title": "", "config": {"seed": 0}, "data": {},
          "facts": {}, "cells": ["ce"], "measures": []}
mesh = data_mesh()
numbers = np.arange(12, dtype=np.float32).reshape(4, 3)

def spread(values, *spec):
    sharding = NamedSharding(mesh, PartitionSpec(*spec))
    return jax.make_array_from_callback(values.shape, sharding, lambda i: values[i])

def tree(factor):
    return {
        "rows": spread(factor * numbers, "data"),
        "copies": spread(factor * numbers),
        "own": jnp.full(3, factor, jnp.bfloat16),
        "key": jax.random.key(int(factor)),
        "count": np.array([factor * 2**40], np.int64),
    }

told = {}
with open_run_folder(folder, RECORD), Journal(folder) as journal:
    cell = journal.cell("ce")
    told["finished"] = cell.finished
    told["steps"] = cell.checkpoints.steps()
    found = cell.checkpoints.restore_latest(tree(0))
    done = 0
    if found is not None:
        done, state, _ = found
        told["rows"] = float(jnp.sum(state["rows"]))
        told["sharding"] = state["rows"].sharding == tree(0)["rows"].sharding
        told["copies"] = np.asarray(state["copies"]).tolist()
        told["own"] = [str(state["own"].dtype), state["own"].tolist()]
        told["key"] = jax.random.key_data(state["key"]).tolist()
        told["count"] = state["count"].tolist()
    for step in range(done + 1, 5):
        cell.write("epoch", epoch=step)
        cell.checkpoints.save(step, tree(step))
        if str(step) == stop:
            sys.exit(print(json.dumps(told), flush=True))
    cell.keep("ce", np.arange(3), {"repeat": 0}, weight=np.ones(3))
    cell.attach("file", "file.bin", b"content")
    told["attached"] = [raw.decode() for _, raw in cell.attached("file")]
    cell.finish()
print(json.dumps(told), flush=True)
"""


def both(folders, stop="none"):
    """(what it says, its errors) of each of two processes."""
    address = free_address()
    command = [sys.executable, "-c", PROGRAM, address]
    commands = [
        [*command, str(index), str(folder), stop]
        for index, folder in enumerate(folders)
    ]
    return [(end.output, end.errors) for end in ends_of(commands, 240)]


def told_by(folders, stop="none"):
    """What both processes say of what they have read; it must be the same."""
    ends = both(folders, stop)
    lines = [out.splitlines()[-1] for out, _ in ends if out]
    assert len(lines) == 2, ends
    assert lines[0] == lines[1]
    (told,) = (s for s in ends[0][0].splitlines() if "process 0 writes all" in s)
    assert told.endswith("for process 1 does not share its folder")
    return json.loads(lines[0])


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.delenv("XLA_FLAGS", raising=False)


@pytest.mark.slow
def test_the_first_of_two_processes_writes_and_reads_for_both(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    told = told_by((first, second), stop="3")
    assert told == {"finished": False, "steps": []}
    assert not second.exists()
    assert status(first) == "interrupted"
    assert CheckpointFolder(first / "ce" / "checkpoints").steps() == [2, 3]
    told = told_by((first, second))
    assert told == {
        "finished": False,
        "steps": [2, 3],
        "rows": 3.0 * sum(range(12)),
        "sharding": True,
        "copies": [[3.0 * (3 * row + at) for at in range(3)] for row in range(4)],
        "own": ["bfloat16", [3.0] * 3],
        "key": [0, 3],
        "count": [3 * 2**40],
        "attached": ["content"],
    }
    assert not second.exists()
    assert [r["event"] for r in read_cells(first)["ce"]] == (
        ["epoch"] * 4 + ["kept", "file", "finished"]
    )


@pytest.mark.slow
def test_what_the_first_process_refuses_ends_both(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    ends = both((tmp_path, tmp_path / "second"))
    for _, errors in ends:
        assert "is not a run folder; pass another --name" in errors
    assert "ValueError: of process 0: run_dir:" in ends[1][1]
    assert not (tmp_path / "second").exists()
