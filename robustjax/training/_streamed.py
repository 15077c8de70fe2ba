"""Epochs whose inputs arrive in chunks of steps while the device computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from robustjax.training import _epoch as epoch_lib
from robustjax.training._mesh import AXIS
from robustjax.training._processes import on_host
from robustjax.training._state import Algorithm, TrainData, TrainState
from robustjax.training._stream import FirstRow, Stream, read_ahead
from robustjax.transforms import ExampleSpec

Metrics = dict[str, jax.Array]
# Chunks that may wait on the device for their turn.
_QUEUED = 2


class Layout(NamedTuple):
    """What a program is made for.

    Attributes:
      spec: examples.
      mesh: or None for one device.
      block_size: examples per block of evaluation.
      looped: whether the steps of a chunk are one program.
    """

    spec: ExampleSpec
    mesh: Mesh | None
    block_size: int
    looped: bool

    @property
    def shards(self) -> int:
        """Devices that hold equal parts of the rows."""
        return 1 if self.mesh is None else self.mesh.size


class Parts(NamedTuple):
    """How rows are divided for evaluation; see `epoch_lib.in_blocks`.

    Attributes:
      rows: in all, a multiple of `shards`.
      shards: equal parts that lie on different devices.
      block_size: rows per block, over all shards.
    """

    rows: int
    shards: int
    block_size: int

    @property
    def per_shard(self) -> int:
        """Rows of a shard."""
        return self.rows // self.shards

    @property
    def per_block(self) -> int:
        """Rows of a shard in a block."""
        return max(1, min(self.block_size // self.shards, self.per_shard))

    @property
    def num_blocks(self) -> int:
        """The last of which may be padded."""
        return -(-self.per_shard // self.per_block)

    def block(self, number: int) -> np.ndarray:
        """(shards * per_block,) rows of a block; -1 is padding."""
        every = np.arange(self.rows).reshape(self.shards, self.per_shard)
        where = every[:, number * self.per_block :][:, : self.per_block]
        missing = self.per_block - where.shape[1]
        return np.pad(where, ((0, 0), (0, missing)), constant_values=-1).reshape(-1)


def _load_block(stream: Stream, where: np.ndarray, mesh: Mesh | None) -> jax.Array:
    """A block of evaluation on the device(s); zeros for what is no example."""

    def read(rows: np.ndarray) -> np.ndarray:
        return stream.take(np.where(rows < 0, len(stream), rows), len(stream) + 1)

    if mesh is None:
        return jax.device_put(read(where))
    return jax.make_array_from_callback(
        (where.size, *stream.shape[1:]),
        NamedSharding(mesh, PartitionSpec(AXIS)),
        lambda at: read(where[(at or ())[:1]]),
    )


def _join_blocks(blocks: list[Any], parts: Parts) -> Any:
    """Leaves (R, rows, ...) of blocks with equally many rows of every shard."""

    def join(*leaves: jax.Array) -> jax.Array:
        repeats, rest = leaves[0].shape[0], leaves[0].shape[2:]
        divided = [leaf.reshape(repeats, parts.shards, -1, *rest) for leaf in leaves]
        whole = jnp.concatenate(divided, axis=2)[:, :, : parts.per_shard]
        return whole.reshape(repeats, parts.rows, *rest)

    return jax.tree.map(join, *blocks)


class StreamedEpochs:
    """What `Program.epoch` does where the inputs are a `Stream`."""

    def __init__(
        self,
        algorithm: Algorithm,
        layout: Layout,
        one_step: Callable[..., tuple[TrainState, Metrics]],
        over_repeats: Callable[..., Callable[..., Any]],
    ):
        """Prepares (but does not yet compile) the programs.

        Args:
          algorithm: what is trained.
          layout: see there.
          one_step: `(state, data, index, inputs)` of one repeat.
          over_repeats: `(function, in_axes)`, see `_program`.
        """
        self._algorithm, self._layout, self._one_step = algorithm, layout, one_step
        data = TrainData(inputs=None, labels=0, extras=0)  # type: ignore[arg-type]
        steps = self._some_steps if layout.looped else self._lone_step
        self._steps = jax.jit(
            over_repeats(steps, (0, data, 0, 0, None)), donate_argnums=0
        )
        self._evaluate = jax.jit(over_repeats(self._evaluate_one, (0, None)))
        self._predict = jax.jit(over_repeats(self._predict_one, (0, None)))
        self._join = jax.jit(_join_blocks, static_argnums=1)
        # Of several processes, each gets all of it.
        mesh = layout.mesh
        self._whole = jax.jit(
            lambda found, count: found[:, :count],
            static_argnums=1,
            out_shardings=mesh and NamedSharding(mesh, PartitionSpec()),
        )
        self._close = jax.jit(over_repeats(self._close_one, (0, data, 0)))

    def epoch(
        self, state: TrainState, data: TrainData, order: jax.Array
    ) -> tuple[TrainState, Metrics]:
        """Runs one epoch; the given state is consumed.

        Args:
          state: leaves (R, ...).
          data: whose inputs are a `Stream`.
          order: (R, S, B, ...) examples of every step.
        """
        stream = data.inputs
        assert isinstance(stream, Stream)
        resident = data._replace(inputs=None)
        index = np.asarray(on_host(order))
        total, size = index.shape[1], self._chunk_steps(stream, index)
        starts = range(0, total, size)
        chunks = read_ahead(
            lambda number: self._load(stream, index[:, starts[number] :][:, :size]),
            len(starts),
            prefetch=stream.prefetch,
            workers=stream.workers,
        )
        found: list[Metrics] = []
        for number, (where, inputs) in enumerate(chunks):
            if number >= _QUEUED:
                jax.block_until_ready(found[number - _QUEUED])
            count = min(size, total - starts[number])
            state, metrics = self._steps(state, resident, where, inputs, count)
            found.append(metrics)
        together = jax.tree.map(lambda *parts: jnp.concatenate(parts, 1), *found)
        metrics = jax.tree.map(lambda values: values[:, :total], together)
        return self._end(state, data), metrics

    def _chunk_steps(self, stream: Stream, index: np.ndarray) -> int:
        """Steps per chunk: as equal as can be, within the bytes that are allowed."""
        total = index.shape[1]
        row_bytes = math.prod(stream.shape[1:]) * stream.dtype.itemsize
        step_bytes = max(1, index.size // total * row_bytes)
        most = max(1, stream.chunk_bytes // step_bytes) if self._layout.looped else 1
        return -(-total // -(-total // most))

    def _load(self, stream: Stream, index: np.ndarray) -> tuple[np.ndarray, jax.Array]:
        """The examples of a chunk's steps, and their inputs on the device(s)."""
        padded = self._layout.spec.padded_examples
        features = stream.shape[1:]
        if self._layout.mesh is None:
            return index, jax.device_put(stream.take(index, padded))
        sharding = NamedSharding(self._layout.mesh, PartitionSpec(None, None, AXIS))
        # Of several processes, each reads what its own devices take.
        inputs = jax.make_array_from_callback(
            (*index.shape, *features),
            sharding,
            lambda at: stream.take(index[(at or ())[: index.ndim]], padded),
        )
        return index, inputs

    def _some_steps(
        self,
        state: TrainState,
        data: TrainData,
        index: jax.Array,
        inputs: jax.Array,
        count: jax.Array,
    ) -> tuple[TrainState, Metrics]:
        """The first `count` of the steps; one program, however many there are."""

        def step(number: Any, carry: Any) -> Any:
            state, metrics = carry
            state, found = self._one_step(state, data, index[number], inputs[number])
            return state, jax.tree.map(
                lambda all_, one: all_.at[number].set(one), metrics, found
            )

        _, shapes = jax.eval_shape(self._one_step, state, data, index[0], inputs[0])
        metrics = jax.tree.map(
            lambda one: jnp.zeros((len(index), *one.shape), one.dtype), shapes
        )
        return jax.lax.fori_loop(0, count, step, (state, metrics))

    def _lone_step(
        self,
        state: TrainState,
        data: TrainData,
        index: jax.Array,
        inputs: jax.Array,
        count: jax.Array,
    ) -> tuple[TrainState, Metrics]:
        del count
        state, metrics = self._one_step(state, data, index[0], inputs[0])
        return state, jax.tree.map(lambda one: one[None], metrics)

    def _end(self, state: TrainState, data: TrainData) -> TrainState:
        stream: Any = data.inputs
        outputs, rows = None, self._layout.spec.padded_examples
        if self._algorithm.evaluate is not None:
            outputs = self._in_blocks(
                lambda block: self._evaluate(state, block), stream, rows
            )
        seen: Any = FirstRow(stream[:1], (rows, *stream.shape[1:]))
        return self._close(state, data._replace(inputs=seen), outputs)

    def predict(self, state: TrainState, inputs: Stream) -> jax.Array:
        """Logits of all inputs, (R, M, C), whole on every device.

        Of one device in the blocks that `Program.predict` has. Several devices divide
        the rows, so that a process reads those of its own ones alone.

        Args:
          state: leaves (R, ...).
          inputs: (M, ...).
        """
        count, shards = len(inputs), self._layout.shards
        rows = count + -count % shards
        found = self._in_blocks(lambda block: self._predict(state, block), inputs, rows)
        logits: jax.Array = (
            found if self._layout.mesh is None else self._whole(found, count)
        )
        return logits

    def _in_blocks(
        self, function: Callable[[jax.Array], Any], stream: Stream, rows: int
    ) -> Any:
        """`epoch_lib.in_blocks` of what is read block by block: the same blocks."""
        layout = self._layout
        parts = Parts(rows, layout.shards, layout.block_size)
        blocks = read_ahead(
            lambda number: _load_block(stream, parts.block(number), layout.mesh),
            parts.num_blocks,
            prefetch=stream.prefetch,
            workers=stream.workers,
        )
        found: list[Any] = []
        for number, block in enumerate(blocks):
            if number >= _QUEUED:
                jax.block_until_ready(found[number - _QUEUED])
            found.append(function(block))
        return self._join(found, parts)

    def _evaluate_one(self, state: TrainState, inputs: jax.Array) -> Any:
        assert self._algorithm.evaluate is not None
        return self._algorithm.evaluate(state.params, state.model_state, inputs)

    def _predict_one(self, state: TrainState, inputs: jax.Array) -> jax.Array:
        return self._algorithm.predict(state.params, state.model_state, inputs)

    def _close_one(self, state: TrainState, data: TrainData, outputs: Any) -> Any:
        return epoch_lib.close_epoch(self._algorithm, state, data, outputs)
