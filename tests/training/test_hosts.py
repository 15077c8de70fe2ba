"""One training in two processes: one dies, both end, and one process goes on."""

from __future__ import annotations

import shutil
import sys

import chex
import pytest

from robustjax import training
from tests.harness import spread_training
from tests.harness.several_processes import ends_of, meeting, own_lines
from tests.training import toy


def in_processes(count, *flags):
    """How each ends; one that was stopped knows of nothing, and is killed."""
    command = [sys.executable, "-m", "tests.harness.spread_training", *flags]
    stopped = range(1, count) if "--spread_by=SIGSTOP" in flags else ()
    return ends_of(meeting([command] * count), 240, silent=stopped)


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
            "SIGKILL, streamed",
            *((1, -9), "error: another process has ended or does not answer ("),
            marks=pytest.mark.slow,
        ),
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
    by, *streamed = by.split(", ")
    ends = in_processes(
        2,
        f"--spread_folder={folder}",
        "--spread_dies=1",
        "--spread_after=1",
        f"--spread_by={by}",
        f"--heartbeat_seconds={5 if by == 'SIGSTOP' else 60}",
        f"--spread_stream={bool(streamed)}",
    )
    assert tuple(status for status, _, _ in ends) == statuses, ends
    told = own_lines(ends[0].errors)
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
