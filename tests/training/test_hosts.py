"""One training in two processes: one dies, both end, and one process goes on."""

from __future__ import annotations

import pathlib
import shutil
import socket
import subprocess
import sys

import chex
import pytest

from robustjax import training
from tests.harness import spread_training
from tests.training import toy

ROOT = pathlib.Path(__file__).parents[2]


def in_processes(count, *flags):
    """(status, output, errors) of each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.harness.spread_training"),
                *(f"--coordinator={address}", f"--num_processes={count}"),
                *(f"--process_id={index}", *flags),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    try:
        ends = [processes[0].communicate(timeout=240)]
        for process in processes[1:]:
            # One that was stopped knows of nothing.
            if "--spread_by=SIGSTOP" in flags:
                process.kill()
            ends.append(process.communicate(timeout=240))
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, *end) for p, end in zip(processes, ends)]


def fit(program, folder=None):
    checkpoints = None if folder is None else training.CheckpointFolder(folder)
    state, data = toy.start(program)
    epochs = spread_training.EPOCHS
    state = training.fit(program, state, data, epochs=epochs, checkpoints=checkpoints)
    return toy.without_keys(state)


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.delenv("XLA_FLAGS", raising=False)


@pytest.mark.parametrize(
    ("by", "statuses", "line"),
    [
        ("SIGKILL", (1, -9), "error: another process has ended or does not answer ("),
        pytest.param(
            *("SIGTERM", (143, 143), "stopped by SIGTERM; run the same command again"),
            marks=pytest.mark.slow,
        ),
        # As behind a network that was cut.
        pytest.param(
            *(
                "SIGSTOP",
                (1, -9),
                "error: another process has ended or does not answer",
            ),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_where_one_process_ends_so_do_all_and_one_goes_on(tmp_path, by, statuses, line):
    folder = tmp_path / "checkpoints"
    ends = in_processes(
        2,
        f"--spread_folder={folder}",
        "--spread_dies=1",
        "--spread_after=1",
        f"--spread_by={by}",
        f"--heartbeat_seconds={5 if by == 'SIGSTOP' else 60}",
    )
    assert tuple(status for status, _, _ in ends) == statuses, ends
    told = [e for e in ends[0][2].splitlines() if e and not e.startswith("[Gloo]")]
    assert len(told) == 1, told
    assert told[0].startswith(line)
    assert "rows 25 of 50" in ends[0][1]
    assert "rows 25 of 50" in ends[1][1]
    steps = training.CheckpointFolder(folder).steps()
    assert steps == ([1, 2] if by == "SIGTERM" else [1])
    # On one device, of another process.
    program = toy.program(spread_training.transform())
    chex.assert_trees_all_close(fit(program, folder), fit(program), atol=1e-5)
    shutil.rmtree(folder)
