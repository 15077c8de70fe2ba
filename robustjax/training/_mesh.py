"""Data parallelism: a one-dimensional mesh and what lives where on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from robustjax.training._state import TrainData, TrainState
from robustjax.training._stream import Stream
from robustjax.transforms import LossState

AXIS = "data"


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh over all (or the given) devices along the axis "data".

    Its axis is of the Auto kind: with the newer default, Explicit, reading and
    writing rows of sharded per-example state would need a sharding at every use.
    """
    devices = jax.devices() if devices is None else list(devices)
    return jax.make_mesh(
        (len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices
    )


def _spec(repeats: bool) -> PartitionSpec:
    return PartitionSpec(None, AXIS) if repeats else PartitionSpec(AXIS)


def state_sharding(state: TrainState, mesh: Mesh, *, repeats: bool = False) -> Any:
    """The shardings of a train state: per-example rows divided, the rest replicated.

    Args:
      state: a state or its shapes.
      mesh: from `data_mesh`; `ExampleSpec.pad_to` must be a multiple of its size.
      repeats: whether every leaf leads with a repeat axis.

    Returns:
      A pytree like `state` of `NamedSharding`.
    """
    replicated = NamedSharding(mesh, PartitionSpec())
    divided = NamedSharding(mesh, _spec(repeats))
    everything = jax.tree.map(lambda _: replicated, state)
    rows = jax.tree.map(lambda _: divided, state.loss_state.rows)
    return everything._replace(loss_state=LossState(rows, everything.loss_state.shared))


def place(tree: Any, shardings: Any) -> Any:
    """Arrays that this process holds whole, on the devices of shardings.

    Where other processes have some of the devices, all must come here with the same
    arrays; each takes its part, and nothing is sent. What lies so already stays.

    Args:
      tree: a pytree of arrays.
      shardings: the same pytree of `NamedSharding`.

    Returns:
      The same pytree of arrays that lie as the shardings say.
    """
    return jax.tree.map(_placed, tree, shardings)


def _placed(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if isinstance(leaf, jax.Array) and leaf.sharding.is_equivalent_to(
        sharding, leaf.ndim
    ):
        return leaf
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _placed(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda at: whole[at])


def shard_data(data: TrainData, mesh: Mesh, *, repeats: bool = False) -> TrainData:
    """Divides the example axis of inputs, labels and extras among the devices."""
    per_repeat = NamedSharding(mesh, _spec(repeats))
    inputs = data.inputs
    if not isinstance(inputs, Stream):
        inputs = _placed(inputs, NamedSharding(mesh, PartitionSpec(AXIS)))
    return TrainData(
        inputs=inputs,
        labels=_placed(data.labels, per_repeat),
        extras={name: _placed(one, per_repeat) for name, one in data.extras.items()},
    )
