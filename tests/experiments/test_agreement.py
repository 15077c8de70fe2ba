"""Processes that were started for different runs refuse each other, before anything."""

from __future__ import annotations

import sys

import jax
import pytest

from experiments.study import agreement
from tests.harness.several_processes import ends_of, meeting, own_lines


def told(own, flags_of_each, folder):
    """(status, its own lines) of each of two processes of the toy study."""
    command = [sys.executable, "-m", "tests.harness.toy_launcher", *own]
    each = [[*command, *flags, f"--run_dir={folder}"] for flags in flags_of_each]
    ends = ends_of(meeting(each), 240)
    return [(end.status, own_lines(end.errors)) for end in ends]


def test_other_flags_of_one_process_end_both(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    ends = told(["--epochs=1"], (["--rate=0.2"], ["--rate=0.3"]), tmp_path)
    line = (
        "error: rate: got 0.3 in process 1 and 0.2 in process 0, expected the same "
        "command in all"
    )
    assert ends == [(2, [line])] * 2
    assert not list(tmp_path.iterdir())


@pytest.fixture
def three_processes(monkeypatch):
    """The second and third bring what is given; the first is this one."""

    def bring(*others):
        monkeypatch.setattr(jax, "process_count", lambda: 3)
        monkeypatch.setattr(agreement, "from_all", lambda make: [make(), *others])

    return bring


def test_other_data_of_one_process(three_processes):
    own, other = {"training labels": "aa"}, {"training labels": "bb"}
    three_processes({"dataset": own}, {"dataset": other})
    line = (
        "dataset.training labels: got bb in process 2 and aa in process 0, expected "
        "the same data in all"
    )
    with pytest.raises(ValueError, match=f"^{line}$"):
        agreement.check_same_data(own)


def test_the_same_of_all_is_well(three_processes):
    digests = {"training labels": "aa"}
    three_processes({"dataset": dict(digests)}, {"dataset": dict(digests)})
    agreement.check_same_data(digests)
