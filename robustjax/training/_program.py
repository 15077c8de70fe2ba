"""Compiled training: one program per epoch, with repeats as a batch axis."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from robustjax import arrays, checks
from robustjax.training import _data_checks as data_checks
from robustjax.training import _epoch as epoch_lib
from robustjax.training import _mesh as mesh_lib
from robustjax.training._execution import Execution
from robustjax.training._quick_compilation import jit_run_once
from robustjax.training._state import Algorithm, TrainData, TrainState
from robustjax.training._stream import Stream
from robustjax.training._streamed import Layout, StreamedEpochs
from robustjax.transforms import Batch, ExampleSpec

Metrics = dict[str, jax.Array]


def over_repeats(
    function: Callable[..., Any], in_axes: tuple[Any, ...]
) -> Callable[..., Any]:
    """`jax.vmap` over the repeat axis, by which the first argument is led.

    A single repeat goes through without: XLA's matrix products on CPU are a third
    slower with a batch axis of one.
    """

    def first(axis: int | None, argument: Any) -> Any:
        return argument if axis is None else jax.tree.map(lambda x: x[0], argument)

    def need_one(axis: int | None, argument: Any) -> None:
        leaves = [] if axis is None else jax.tree.leaves(argument)
        for leaf in leaves:
            if leaf.shape[0] != 1:
                raise ValueError(
                    f"repeats: got data of {leaf.shape[0]} and a state of 1, expected "
                    "as many"
                )

    # By the function's name, profiles tell the programs apart.
    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        if jax.tree.leaves(arguments[0])[0].shape[0] != 1:
            return jax.vmap(function, in_axes)(*arguments)
        jax.tree.map(need_one, in_axes, arguments, is_leaf=lambda x: x is None)
        alone = jax.tree.map(first, in_axes, arguments, is_leaf=lambda x: x is None)
        return jax.tree.map(lambda x: x[None], function(*alone))

    return call


def check_batch_size(batch_size: int, num_examples: int, num_devices: int = 1) -> None:
    """Raises `ValueError` for batches that do not fit the data or the devices."""
    checks.at_least("batch_size", batch_size, 1)
    if batch_size > num_examples:
        raise ValueError(
            f"batch_size: got {batch_size}, expected at most the number of "
            f"examples, {num_examples}"
        )
    _divides("batch_size", batch_size, num_devices)


def _divides(name: str, value: int, num_devices: int) -> None:
    if value % num_devices:
        raise ValueError(
            f"{name}: got {value}, expected a multiple of the {num_devices} devices"
        )


class Program:
    """An algorithm compiled for one data set size, batch size and device layout.

    All repeats of an experiment train together: every leaf of the state, and the
    labels, lead with a repeat axis R, and every method below is under `vmap` over it.
    Nothing is recompiled from epoch to epoch, and no step waits for the host.

    Attributes:
      algorithm: what is trained.
      spec: for how many examples and classes.
      batch_size: examples per step.
      steps_per_epoch: batches per epoch, the last one padded, unless the algorithm
        has an order of its own.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        spec: ExampleSpec,
        *,
        batch_size: int,
        execution: Execution,
        mesh: Mesh | None = None,
        block_size: int = 4096,
    ):
        """Prepares (but does not yet compile) the program.

        Args:
          algorithm: what to train.
          spec: `pad_to` must be a multiple of the mesh's size.
          batch_size: examples per step; a multiple of the mesh's size.
          execution: see `choose_execution`.
          mesh: from `mesh.data_mesh` for data parallelism, else one device.
          block_size: examples per block of evaluation.

        Raises:
          ValueError: a batch larger than the data, or sizes that do not divide.
        """
        shards = 1 if mesh is None else mesh.size
        check_batch_size(batch_size, spec.num_examples, shards)
        _divides("pad_to", spec.padded_examples, shards)
        self.algorithm = algorithm
        self.spec = spec
        self.batch_size = batch_size
        self.steps_per_epoch = -(-spec.num_examples // batch_size)
        self._execution = execution
        self._mesh = mesh
        self._shards = shards
        self._block_size = block_size
        axes = (0, TrainData(inputs=None, labels=0, extras=0))  # type: ignore[arg-type]
        self._scan = jax.jit(over_repeats(self._scan_epoch, axes), donate_argnums=0)
        self._order = jax.jit(over_repeats(self._epoch_order, (0,)))
        self._step = jax.jit(over_repeats(self._one_step, (*axes, 0)), donate_argnums=0)
        self._end = jax.jit(over_repeats(self._end_epoch, axes), donate_argnums=0)
        # Of several processes, each gets all of it.
        whole = None if mesh is None else NamedSharding(mesh, PartitionSpec())
        self._predict = jax.jit(
            over_repeats(self._predict_one, (0, None)), out_shardings=whole
        )
        self._init = jit_run_once(over_repeats(self._first_state, (0, None)))
        self._streamed = StreamedEpochs(
            algorithm,
            Layout(spec, mesh, block_size, execution.loop == "scan"),
            self._one_step,
            over_repeats,
        )

    @property
    def row_spec(self) -> ExampleSpec:
        """Of what the per-example rows are: the data, or what the algorithm says."""
        return self.algorithm.row_spec or self.spec

    def at(self, epoch: int) -> Program:
        """The program of an epoch: this one, always. See `RecipeProgram`."""
        del epoch
        return self

    def make_data(
        self,
        inputs: np.ndarray | jax.Array | Stream,
        labels: np.ndarray | jax.Array,
        extras: Mapping[str, Any] | None = None,
    ) -> TrainData:
        """Puts data on the device(s), padded as the state is.

        Args:
          inputs: (N, ...); a `Stream` stays with the host.
          labels: (R, N) integers.
          extras: dict of (R, N, ...) arrays.

        Raises:
          ValueError: inputs, labels or extras of another number of examples, extras
            of another number of repeats than the labels, labels that are no integers,
            integers that the device cannot hold.
        """
        examples, extras = self.spec.num_examples, extras or {}
        repeats = data_checks.check_labels(labels, examples)
        data_checks.check_inputs(inputs, examples)
        data_checks.check_extras(extras, repeats, examples)
        # A stream looks at its rows when it reads them.
        if not isinstance(inputs, Stream):
            arrays.check_held("inputs", inputs)
        padding = self.spec.padded_examples - examples

        def pad(array: Any, axis: int, dtype: Any = None) -> jax.Array:
            # What the host has stays there until it is whole: on the device, every
            # step would be a program to compile.
            on_device = isinstance(array, jax.Array)
            # A copy, for `device_put` goes on using the memory that it is given.
            array = jnp.asarray(array, dtype) if on_device else np.array(array, dtype)
            if padding:
                widths = [(0, 0)] * array.ndim
                widths[axis] = (0, padding)
                array = (jnp if on_device else np).pad(array, widths)
            return array if on_device else jax.device_put(array)

        data = TrainData(
            inputs=inputs if isinstance(inputs, Stream) else pad(inputs, 0),
            labels=pad(labels, 1, np.int32),
            extras={name: pad(value, 1) for name, value in extras.items()},
        )
        if self._mesh is None:
            return data
        return mesh_lib.shard_data(data, self._mesh, repeats=True)

    def init(self, keys: jax.Array, inputs: jax.Array | Stream) -> TrainState:
        """Initial states, one per key.

        Args:
          keys: (R,) PRNG keys.
          inputs: (N, ...), of which the first row gives the shape.
        """
        # Of a stream, whose rows are read by the host, a copy of the first.
        some = inputs[:1] if isinstance(inputs, Stream) else inputs
        return self.placed(self._init(keys, some))

    def placed(self, state: TrainState) -> TrainState:
        """An initial state on the devices that it will be trained on.

        Args:
          state: leaves (R, ...).
        """
        if self._mesh is None:
            return state
        sharding = mesh_lib.state_sharding(state, self._mesh, repeats=True)
        return mesh_lib.place(state, sharding)

    def epoch(self, state: TrainState, data: TrainData) -> tuple[TrainState, Metrics]:
        """Runs one epoch; the given state is consumed.

        Args:
          state: leaves (R, ...).
          data: from `make_data`.

        Returns:
          The state, and the metrics of every step, (R, steps_per_epoch) each.
        """
        if isinstance(data.inputs, Stream):
            return self._streamed.epoch(state, data, self._order(state))
        if self._execution.loop == "scan":
            return self._scan(state, data)
        order = self._order(state)
        steps = []
        for step in range(order.shape[1]):
            state, metrics = self._step(state, data, order[:, step])
            steps.append(metrics)
        stacked = jax.tree.map(lambda *values: jnp.stack(values, axis=1), *steps)
        return self._end(state, data), stacked

    def predict(self, state: TrainState, inputs: jax.Array | Stream) -> jax.Array:
        """Logits of all inputs, (R, M, C), in blocks.

        Args:
          state: leaves (R, ...).
          inputs: (M, ...), shared by all repeats. Of a stream the devices divide the
            rows, and of several processes each reads its own.
        """
        if isinstance(inputs, Stream):
            return self._streamed.predict(state, inputs)
        return self._predict(state, inputs)

    def of_one_repeat(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """`(state, data)` of an epoch and `(state, inputs)` of logits, not compiled.

        Raises:
          ValueError: a program of several devices.
        """
        if self._mesh is not None:
            raise ValueError(f"mesh: got {self._shards} devices, expected one")
        return self._scan_epoch, self._predict_one

    def initial_state(self, key: jax.Array, inputs: jax.Array) -> TrainState:
        """The state of one repeat, neither compiled nor placed.

        Args:
          key: PRNG key.
          inputs: (1, ...).
        """
        return self.algorithm.init(key, inputs, self.spec)

    def _first_state(self, key: jax.Array, inputs: jax.Array) -> TrainState:
        return self.initial_state(key, inputs[:1])

    def _epoch_order(self, state: TrainState) -> jax.Array:
        # Steps fold their number into the key; epochs count down from -1.
        key = jax.random.fold_in(state.key, -1 - state.epoch)
        examples, padding = self.spec.num_examples, self.spec.padded_examples
        if self.algorithm.order is None:
            return epoch_lib.epoch_order(key, examples, self.batch_size, padding)
        return self.algorithm.order(key, state, examples, self.batch_size, padding)

    def _one_step(
        self,
        state: TrainState,
        data: TrainData,
        index: jax.Array,
        inputs: jax.Array | None = None,
    ) -> tuple[TrainState, Metrics]:
        batch: Batch = epoch_lib.read_batch(data, index, self.spec.num_examples, inputs)
        if self._mesh is not None:
            divided = NamedSharding(self._mesh, PartitionSpec(mesh_lib.AXIS))
            batch = jax.tree.map(
                lambda x: jax.lax.with_sharding_constraint(x, divided), dict(batch)
            )
        return epoch_lib.train_step(self.algorithm, state, batch)

    def trace_step(self, state: TrainState, data: TrainData) -> None:
        """An epoch's order and its first step of one repeat, to be traced.

        Args:
          state: of one repeat.
          data: of one repeat.

        Raises:
          ValueError: what the algorithm refuses.
        """
        self._one_step(state, data, self._epoch_order(state)[0])

    def _scan_epoch(
        self, state: TrainState, data: TrainData
    ) -> tuple[TrainState, Metrics]:
        step = functools.partial(self._one_step, data=data)
        state, metrics = jax.lax.scan(
            lambda carry, index: step(carry, index=index),
            state,
            self._epoch_order(state),
        )
        return self._end_epoch(state, data), metrics

    def _end_epoch(self, state: TrainState, data: TrainData) -> TrainState:
        return epoch_lib.end_epoch(
            self.algorithm,
            state,
            data,
            block_size=self._block_size,
            shards=self._shards,
        )

    def _predict_one(self, state: TrainState, inputs: jax.Array) -> jax.Array:
        return epoch_lib.in_blocks(
            lambda x: self.algorithm.predict(state.params, state.model_state, x),
            inputs,
            self._block_size,
        )
