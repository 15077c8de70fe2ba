"""Memory that streams fill again: never while anybody, JAX included, refers to it."""

from __future__ import annotations

import gc
from collections import deque

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import training
from robustjax.training._host_memory import HostMemory
from tests.training import toy
from tests.training.test_stream import STEP_BYTES, program, run, streamed

WIDE = np.dtype(np.float32)


class Poisoned(deque):
    """Where memory that is free holds no numbers; counts what was ever there."""

    def __init__(self):
        super().__init__()
        self.places = set()

    def append(self, memory):
        memory[:] = 255  # NaN in every format of floats.
        self.places.add(memory.ctypes.data)
        super().append(memory)


def poisoned(stream):
    stream._memory._free = Poisoned()
    return stream._memory._free


def place(array):
    return array.__array_interface__["data"][0]


def test_views_of_views_keep_memory():
    memory = HostMemory()
    whole = memory.empty((4, 6), WIDE)
    first = place(whole)
    part = whole[1:].reshape(-1).view(np.uint8)[3:]
    del whole
    other = memory.empty((4, 6), WIDE)
    assert place(other) != first
    del part
    assert place(memory.empty((4, 6), WIDE)) == first


def test_smaller_arrays_use_what_is_there_and_larger_ones_replace_it():
    memory = HostMemory()
    first = place(memory.empty((8, 8), WIDE))
    assert place(memory.empty((3,), np.dtype(np.uint8))) == first
    larger = memory.empty((9, 8), WIDE)
    assert len(memory._free) == 0
    del larger
    assert len(memory._free) == 1


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_memory_is_where_it_need_not_be_copied(size):
    memory = HostMemory()
    array = memory.empty((size, 3), WIDE)
    array[:] = 1
    on_device = jax.device_put(array)
    if jax.default_backend() == "cpu":
        assert on_device.unsafe_buffer_pointer() == place(array)


def test_memory_is_not_free_before_the_program_that_reads_it_has_ended():
    memory = HostMemory()
    memory._free = Poisoned()
    slow = jax.jit(
        lambda x: jax.lax.fori_loop(0, 300, lambda _, y: jnp.tanh(y @ x), x * 0 + 1)
    )
    host = np.eye(256, dtype=np.float32)
    want = np.asarray(slow(host))
    for _ in range(3):
        lent = memory.empty(host.shape, WIDE)
        lent[:] = host
        inputs = jax.device_put(lent)
        del lent
        found = slow(inputs)
        del inputs
        # What comes next must not wait: the program above may still run.
        memory.empty(host.shape, WIDE)[:] = -1
        np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("name", ["ce", "evaluated"])
def test_memory_that_is_free_holds_nothing_that_an_epoch_reads(name):
    own = program(name)
    data = streamed(own, chunk_bytes=STEP_BYTES)
    free = poisoned(data.inputs)
    chex.assert_trees_all_equal(run(own, data), run(own))
    assert free.places


def test_devices_that_have_parts_of_a_batch_read_none_that_is_free(mesh):
    own = toy.program(mesh=mesh)
    data = streamed(own, chunk_bytes=STEP_BYTES)
    free = poisoned(data.inputs)
    chex.assert_trees_all_close(run(own, data), run(own), atol=1e-6)
    assert free.places


def test_an_epoch_of_many_chunks_needs_no_more_memory_than_a_few():
    own = toy.program(batch_size=2)
    x, y = toy.arrays()
    stream = training.Stream(x, chunk_bytes=1, prefetch=2)
    free = poisoned(stream)
    data = own.make_data(stream, y)
    state, _ = toy.start(own)
    for _ in range(2):
        state, _ = own.epoch(state, data)
    jax.block_until_ready(state)
    gc.collect()
    # 25 chunks an epoch; JAX lets go of memory at its next call, not at once.
    assert len(free.places) <= 2 + 3 + 2
