"""Streamed inputs: the bits of resident ones, and state that stays where it was."""

from __future__ import annotations

import functools
import threading

import chex
import jax
import numpy as np
import pytest

import robustjax as rj
from robustjax import data, training
from robustjax.training._stream import FirstRow, read_ahead
from tests.training import toy

STEP_BYTES = toy.REPEATS * 16 * toy.D * 4
TRANSFORMS = {
    "ce": rj.ce,
    "elr": lambda: rj.chain(rj.ce(), rj.elr()),
    "sop": rj.sop,
    "evaluated": lambda: rj.chain(rj.alpha_weights(0.3), rj.ce()),
}


@functools.cache
def program(name, loop="scan"):
    return toy.program(TRANSFORMS[name](), loop=loop)


def streamed(program, rows=None, **options):
    x, y = toy.arrays()
    stream = training.Stream(x if rows is None else rows, **options)
    return program.make_data(stream, y)


def run(program, data=None, epochs=2):
    state, resident = toy.start(program)
    history = []
    for _ in range(epochs):
        state, metrics = program.epoch(state, resident if data is None else data)
        history.append(jax.device_get(metrics))
    return toy.without_keys(state), history


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_same_bits_as_resident_inputs(name):
    # Four steps in chunks of two, the last one padded.
    data = streamed(program(name), chunk_bytes=3 * STEP_BYTES)
    chex.assert_trees_all_equal(run(program(name), data), run(program(name)))


def test_the_same_bits_where_steps_are_single():
    own = program("ce", "steps")
    chex.assert_trees_all_equal(run(own, streamed(own)), run(own))


@pytest.mark.slow
def test_eight_devices_get_their_parts(mesh):
    own = toy.program(TRANSFORMS["evaluated"](), mesh=mesh)
    data = streamed(own, chunk_bytes=3 * STEP_BYTES)
    want, history = run(own)
    got, streamed_history = run(own, data)
    chex.assert_trees_all_close((got, streamed_history), (want, history), atol=1e-6)
    weight = got.loss_state.rows[0]["weight"]
    assert weight.sharding.shard_shape(weight.shape) == (toy.REPEATS, 7)


def test_a_chunk_is_one_program_whatever_its_steps():
    own = program("ce")
    before = own._streamed._steps._cache_size()
    run(own, streamed(own, chunk_bytes=3 * STEP_BYTES), epochs=1)
    after = own._streamed._steps._cache_size()
    assert after <= max(before, 1) + 1
    run(own, streamed(own, chunk_bytes=3 * STEP_BYTES), epochs=3)
    assert own._streamed._steps._cache_size() == after


def mapped(x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def from_file(x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    return data.open_rows(tmp_path / "x.npy")


def wider_file(x, tmp_path):
    return from_file(x.astype(np.float64), tmp_path)


def chosen_rows(x, tmp_path):
    order = np.random.default_rng(0).permutation(len(x))
    return from_file(x[np.argsort(order)], tmp_path).select(order)


SOURCES = {
    "array": lambda x, _: x,
    "columns first": lambda x, _: np.asfortranarray(x),
    "other bytes": lambda x, _: x.astype(">f4"),
    "every second": lambda x, _: np.repeat(x, 2, axis=0)[::2],
    "mapped": mapped,
    "file": from_file,
    "wider file": wider_file,
    "chosen rows": chosen_rows,
}


@pytest.mark.parametrize("source", SOURCES)
def test_rows_of_any_source_go_where_they_belong(source, tmp_path):
    x, _ = toy.arrays()
    stream = training.Stream(SOURCES[source](x, tmp_path))
    rng = np.random.default_rng(1)
    index = rng.integers(0, toy.N, (2, 3, 4))
    np.testing.assert_array_equal(stream.take(index, toy.N), x[index])
    # Padding anywhere, in memory that held something else.
    padding = rng.random(index.shape) < 0.4
    padded = np.where(padding, toy.N + rng.integers(0, 3, index.shape), index)
    for rows, filler in ((toy.N, x[-1]), (toy.N + 6, np.zeros_like(x[0]))):
        want = np.where(padding[..., None], filler, x[index])
        np.testing.assert_array_equal(stream.take(padded, rows), want)
    nothing = stream.take(np.full((2, 2), toy.N), toy.N + 6)
    np.testing.assert_array_equal(nothing, np.zeros((2, 2, toy.D), np.float32))


def test_a_run_that_was_stopped_continues_to_the_same_bits(tmp_path):
    own = program("sop")
    whole = training.fit(own, *toy.start(own), epochs=3)
    folder = training.CheckpointFolder(tmp_path / "checkpoints")
    for epochs in (1, 3):
        state, _ = toy.start(own)
        state = training.fit(
            own,
            state,
            streamed(own, chunk_bytes=STEP_BYTES),
            epochs=epochs,
            checkpoints=folder,
        )
    chex.assert_trees_all_equal(toy.without_keys(state), toy.without_keys(whole))


def test_predictions_are_those_of_resident_inputs():
    own = program("ce")
    state, data = toy.start(own)
    x, _ = toy.arrays()
    want = own.predict(state, data.inputs)
    np.testing.assert_array_equal(own.predict(state, training.Stream(x)), want)


def test_predictions_are_those_of_resident_inputs_on_eight_devices(mesh):
    own = toy.program(rj.ce(), mesh=mesh)
    state, _ = toy.start(own)
    x, _ = toy.arrays()
    want = own.predict(state, x)
    got = own.predict(state, training.Stream(x))
    assert got.sharding.is_fully_replicated
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("source", SOURCES)
def test_a_part_is_a_stream_of_some_rows(source, tmp_path):
    x, _ = toy.arrays()
    part = training.Stream(SOURCES[source](x, tmp_path)).part(5, 40).part(2, 30)
    assert (part.shape, len(part), part.ndim) == ((30, toy.D), 30, 2)
    np.testing.assert_array_equal(part[:1], x[7:8])
    np.testing.assert_array_equal(part[20:], x[27:37])
    index = np.random.default_rng(1).integers(0, 34, (2, 9))
    want = np.where(index[..., None] < 30, x[7:37][np.minimum(index, 29)], 0)
    np.testing.assert_array_equal(part.take(index, 31), want)
    for bad, message in (((0, 0), "count: got 0"), ((-1, 2), "start: got -1")):
        with pytest.raises(ValueError, match=message):
            part.part(*bad)
    with pytest.raises(ValueError, match="count: got 3 from row 28 on, expected at mo"):
        part.part(28, 3)


def test_wide_numbers_reach_the_device_as_resident_ones_do():
    own = program("ce")
    x, _ = toy.arrays()
    data = streamed(own, x.astype(np.float64))
    assert data.inputs.dtype == np.float32
    chex.assert_trees_all_equal(run(own, data, 1), run(own, epochs=1))


def test_what_cannot_be_read_ends_the_training():
    class Broken:
        shape, dtype = (toy.N, toy.D), np.dtype(np.float32)

        def __getitem__(self, rows):
            if not isinstance(rows, slice):
                raise ValueError("inputs-3.npy: shorter than it was")
            return np.zeros((1, toy.D), np.float32)

    own = program("ce")
    with pytest.raises(ValueError, match="shorter than it was"):
        run(own, streamed(own, Broken()))
    assert not [t for t in threading.enumerate() if t.name.startswith("stream")]


def test_rules_between_epochs_see_the_first_row_alone():
    seen = FirstRow(np.zeros((1, 4)), (10, 4))
    assert seen[:1].shape == (1, 4)
    assert (seen.shape, seen.ndim, seen.dtype) == ((10, 4), 2, np.float64)
    for rows in (slice(None), slice(0, 2), 0, np.arange(1)):
        with pytest.raises(ValueError, match="stream: this method looks at"):
            seen[rows]


def test_items_come_in_order_and_not_too_early():
    begun = []

    def load(number):
        begun.append(number)
        return number * 10

    items = read_ahead(load, 9, prefetch=2, workers=2)
    assert next(items) == 0
    assert max(begun, default=0) <= 2
    assert list(items) == [10 * number for number in range(1, 9)]


@pytest.mark.parametrize("name", ["chunk_bytes", "prefetch", "workers"])
def test_bad_streams(name):
    with pytest.raises(ValueError, match=f"{name}: got 0"):
        training.Stream(np.zeros((3, 2)), **{name: 0})
    with pytest.raises(ValueError, match="rows: got shape"):
        training.Stream(np.zeros(3))


def test_integers_that_the_device_would_wrap_around_are_refused():
    rows = np.arange(toy.N)[:, None] + np.zeros((1, 2), np.int64)
    stream = training.Stream(rows)
    np.testing.assert_array_equal(stream.take(np.array([3, 1]), toy.N), rows[[3, 1]])
    rows[7, 1] = 2**32 + 1
    for read in (
        lambda: stream.take(np.array([3, 7]), toy.N),
        lambda: stream[7:8],
    ):
        with pytest.raises(ValueError, match="rows: got 4294967297, expected integer"):
            read()
