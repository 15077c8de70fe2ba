"""Streams that two processes read: each its own rows, and the training of one."""

import json
import sys

import numpy as np
import pytest

from tests.harness import spread_streams
from tests.harness.several_processes import ends_of, free_address
from tests.training import toy

DEVICES = 2
# Of fifty examples, padded to 52 for four devices.
OWN = 26


def in_two_processes(folder):
    """What each found."""
    command = [sys.executable, "-m", "tests.harness.spread_streams", free_address()]
    ends = ends_of([[*command, "2", str(n), str(folder)] for n in range(2)], 240)
    for status, _, errors in ends:
        assert status == 0, errors
    return [json.loads(output.splitlines()[-1]) for _, output, _ in ends]


@pytest.mark.slow
def test_each_process_reads_its_own_rows_and_all_train_as_one(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", str(DEVICES))
    spread_streams.write(tmp_path)
    x, _ = toy.arrays()
    one = spread_streams.told(toy.program(spread_streams.transform()), None, x)
    first, second = in_two_processes(tmp_path)
    resident = [each.pop("resident") for each in (first, second)]
    assert list(first) == list(second) == ["shards", "mapped"]

    assert resident[0]["whole"] == resident[1]["whole"]
    for got, want in zip(resident[0]["whole"], one["whole"], strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)
    for *parts, want in zip(*(each["rows"] for each in (*resident, one)), strict=True):
        whole = np.concatenate(parts, axis=1)[:, : toy.N]
        np.testing.assert_allclose(whole, want, rtol=0, atol=1e-5)

    for streamed in zip(first.values(), second.values(), strict=True):
        for got, want in zip(streamed, resident, strict=True):
            assert got["whole"] == want["whole"]
            assert got["rows"] == want["rows"]
            np.testing.assert_allclose(got["logits"], one["logits"], rtol=0, atol=1e-5)
        assert streamed[0]["logits"] == streamed[1]["logits"]

        # In every epoch each row is trained on once in every repeat and evaluated once,
        # by one process; of the last batch, two examples lie with the first one.
        passes = spread_streams.EPOCHS * (toy.REPEATS + 1)
        read = np.array([each["epochs"] for each in streamed])
        np.testing.assert_array_equal(read.sum(axis=0), np.full(toy.N, passes))
        assert read.sum(axis=1).tolist() == [passes * OWN, passes * (toy.N - OWN)]
        own = np.arange(toy.N) < OWN
        predicted = np.array([each["predict"] for each in streamed])
        np.testing.assert_array_equal(predicted, [own, ~own])
        # The first row, for its shape: at the start, and after every epoch.
        looked = [[0, 1, 1]] * (1 + spread_streams.EPOCHS)
        assert [each["first"] for each in streamed] == [looked, looked]
