"""Selections and label issues that two processes share are those of one."""

import json
import pathlib
import socket
import subprocess
import sys

import pytest

from robustjax import row_source
from tests.harness import spread_selection

ROOT = pathlib.Path(__file__).parents[2]


def in_two_processes():
    """(status, output, errors) of each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "tests.harness.spread_selection", address, "2"]
    processes = [
        subprocess.Popen(
            [*command, str(index)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        ends = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, *end) for p, end in zip(processes, ends)]


@pytest.mark.slow
def test_two_processes_pick_what_one_does(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.setattr(row_source, "_BLOCK_BYTES", row_source._BLOCK_BYTES)
    one = spread_selection.picked(None)
    for status, output, errors in in_two_processes():
        assert status == 0, errors
        both = json.loads(output.splitlines()[-1])
        assert both["picked"] == one
        # What one process finds, all say: of those that wait none is left.
        nan, labels, range_, columns = both["refused"]
        assert "pred_probs: 1 row(s) hold NaN or infinity (first: row 57)" in nan
        assert labels == "labels: processes were given different ones"
        assert range_.startswith("labels: ")
        assert columns.endswith("expected parts of rows")
