"""Where the rows of a computation lie: on one device, or divided among those of a mesh.

Rows come from the host, or from a file, to the device that is to hold them, and pass
through no other. Where several processes have the devices, all must come here with the
same rows; each takes those of its own devices, and nothing is sent.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from robustjax import checks
from robustjax.row_source import RowSource

_Value = TypeVar("_Value")
# Bytes are sent in multiples of so many.
_GATHERED = 4096


@dataclasses.dataclass(frozen=True)
class Placement:
    """One device, or a mesh.

    Attributes:
      mesh: with one axis of kind Auto; None for JAX's default device.
    """

    mesh: Mesh | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError` for a mesh of other axes."""
        if self.mesh is not None:
            checks.one_auto_axis("mesh", self.mesh)

    @property
    def axis(self) -> PartitionSpec:
        """Of arrays whose first axis is divided."""
        assert self.mesh is not None
        return PartitionSpec(self.mesh.axis_names[0])

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return 1 if self.mesh is None else self.mesh.size

    def padded(self, size: int) -> int:
        """The rows that `rows` makes of so many: a multiple of the devices."""
        return size + -size % self.devices

    def rows(self, array: Any, fill: Any = None) -> jax.Array:
        """Rows of the host, divided among the devices.

        Args:
          array: (N, ...), of which slices of rows can be taken. What devices hold in
            parts stays where it is.
          fill: of the rows that are added, see `padded`; by default the last row.
        """
        if isinstance(array, RowSource):
            there = array.lying(self)
            if there is not None:
                return there
        if self.mesh is None:
            return jax.device_put(np.asarray(array))
        size = len(array)
        last = None if fill is not None or not size else array[size - 1 : size]

        def part(at: Any) -> np.ndarray:
            first, end, _ = at[0].indices(self.padded(size))
            found = np.asarray(array[min(first, size) : min(end, size)])
            missing = end - first - len(found)
            if not missing:
                return found
            shape = (missing, *found.shape[1:])
            more = np.broadcast_to(np.asarray(fill if last is None else last), shape)
            return np.concatenate([found, more.astype(found.dtype)])

        shape = (self.padded(size), *array.shape[1:])
        sharding = NamedSharding(self.mesh, self.axis)
        return jax.make_array_from_callback(shape, sharding, part)

    def on_rows(
        self,
        function: Callable[..., Any],
        others: int,
        *,
        check_replication: bool = True,
    ) -> Callable[..., Any]:
        """A function that every device calls with its own rows.

        Args:
          function: of divided rows and then of what all devices have whole; what it
            gives is divided likewise.
          others: how many arguments it has beside the rows.
          check_replication: whether `shard_map` follows what is alike on all devices.
        """
        if self.mesh is None:
            return function
        mapped: Callable[..., Any] = jax.shard_map(
            function,
            mesh=self.mesh,
            in_specs=(self.axis, *(PartitionSpec() for _ in range(others))),
            out_specs=self.axis,
            check_vma=check_replication,
        )
        return mapped

    def whole(self, tree: Any) -> Any:
        """A pytree of arrays that every device holds whole."""
        if self.mesh is None:
            return jax.tree.map(jax.device_put, tree)
        everywhere = NamedSharding(self.mesh, PartitionSpec())

        def one(leaf: Any) -> Any:
            is_key = isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(
                leaf.dtype, jax.dtypes.prng_key
            )
            if is_key:
                data = one(jax.random.key_data(leaf))
                return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
            array = np.asarray(leaf)
            return jax.make_array_from_callback(
                array.shape, everywhere, lambda at: array[at]
            )

        return jax.tree.map(one, tree)


def on_host(array: jax.Array | np.ndarray) -> np.ndarray:
    """A whole array in this process; all that have a part of it must come here."""
    if isinstance(array, np.ndarray):
        return array
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def per_example(values: Any) -> Any:
    """Numbers of every example, in this process where devices of several have parts.

    All else is given back.
    """
    if not isinstance(values, jax.Array) or checks.is_traced(values):
        return values
    return values if values.is_fully_addressable else on_host(values)


def from_all(make: Callable[[], _Value]) -> list[_Value]:
    """What every process makes of its own rows, in all of them, by process.

    All processes must come here in the same order.

    Args:
      make: what it returns must be picklable.

    Raises:
      ValueError: in all processes what the first one whose `make` raises one says.
    """
    try:
        raw = pickle.dumps((None, make()))
    except ValueError as refused:
        raw = pickle.dumps((str(refused), None))
    found = [pickle.loads(each) for each in gathered(raw)]
    for refusal, _ in found:
        if refusal is not None:
            raise ValueError(refusal)
    return [value for _, value in found]


def gathered(raw: bytes) -> list[bytes]:
    """The bytes of every process, in all of them; all must come here."""
    gather = multihost_utils.process_allgather
    # Without 64 bits, JAX has no number for 2 GiB or more.
    sizes = np.asarray(gather(np.array(divmod(len(raw), 2**30), np.int32)), np.int64)
    lengths = (sizes.reshape(-1, 2) @ np.array([2**30, 1])).tolist()
    # A program is compiled for every length: there should be few.
    padded = np.zeros(-(-max(lengths) // _GATHERED) * _GATHERED, np.uint8)
    padded[: len(raw)] = np.frombuffer(raw, np.uint8)
    everyones = np.asarray(gather(padded)).reshape(len(lengths), -1)
    return [each[:length].tobytes() for each, length in zip(everyones, lengths)]
