"""Rows of a JAX array that devices hold in parts: they are used where they lie.

Every device looks at its own rows. Where some rows are needed elsewhere, numbers say
which, and each is sent by the device that has it; no device, and no host, ever has all.
Where several processes have the devices, all must come here with the same array and
make the same calls in the same order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from robustjax import arrays, checks
from robustjax.placement import Placement, on_host
from robustjax.row_source import RowSource, TakenRows, row_numbers

_AXIS = "data"
# Programs are compiled for so many rows, and its doubles.
_FEWEST = 16


def is_row_sharded(array: Any) -> bool:
    """Whether devices hold parts of an array (N, ...), by rows alone."""
    if not isinstance(array, jax.Array) or checks.is_traced(array) or not array.size:
        return False
    if not array.ndim or array.is_fully_replicated:
        return False
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.extended):
        return False
    return array.sharding.shard_shape(array.shape)[1:] == array.shape[1:]


def check_holders(name: str, array: jax.Array) -> None:
    """Raises `ValueError` where a process holds no part of what others hold."""
    if array.is_fully_addressable:
        return
    devices: Any = array.sharding.device_set
    holders = {device.process_index for device in devices}
    if len(holders) < jax.process_count():
        raise ValueError(
            f"{name}: got an array of which {len(holders)} of {jax.process_count()} "
            "processes hold a part, expected all to"
        )


class ShardedRows(RowSource):
    """Rows (N, d) of which every device of a mesh holds as many.

    What is asked for by numbers comes to the host, of several processes to all.

    Attributes:
      place: the mesh.
      array: the rows, divided by its axis.
    """

    def __init__(self, place: Placement, array: jax.Array):
        """Moves nothing."""
        self.place, self.array = place, array
        self.shape, self.dtype = array.shape, np.dtype(array.dtype)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """The rows of a slice or of (M,) numbers."""
        wanted = row_numbers(rows, len(self))
        size = _FEWEST
        while size < len(wanted):
            size *= 2
        # Rows of the padding are nobody's, which are zeros.
        padded = np.pad(wanted, (0, size - len(wanted)), constant_values=-1)
        return on_host(self.everywhere(padded))[: len(wanted)]

    def lying(self, place: Placement) -> jax.Array:
        """See `RowSource`."""
        assert place == self.place
        return self.array

    def everywhere(self, rows: np.ndarray) -> jax.Array:
        """Rows (M, d) of some numbers, on all devices; zeros for -1."""
        with jax.enable_x64(True):
            return _everywhere(self.array, rows.astype(np.int32), place=self.place)

    def spread(self, rows: np.ndarray) -> jax.Array:
        """Rows of some numbers (M,), divided among the devices; the last fills up."""
        size = self.place.padded(len(rows))
        wanted = np.pad(rows, (0, size - len(rows)), mode="edge").astype(np.int32)
        with jax.enable_x64(True):
            return _spread(self.array, wanted, place=self.place)

    def each(
        self, function: Callable[..., Any], *others: Any, options: Any = ()
    ) -> Any:
        """What every device makes of its own rows, divided likewise.

        Numbers of 64 bits are such within the function.

        Args:
          function: of rows, of `others` and of `options`; not a new one every time,
            for a program is compiled for each.
          *others: arrays that all devices have whole.
          options: a tuple of what is known when the program is compiled.
        """
        with jax.enable_x64(True):
            whole = self.place.whole(others)
            return _each(function, options, self.place, self.array, whole)

    def mapped(
        self, function: Callable[..., Any], *others: Any, options: Any = ()
    ) -> ShardedRows:
        """Rows that every device makes of its own, see `each`."""
        made = self.each(function, *others, options=options)
        return ShardedRows(self.place, made)

    def first_unfit(self, nonzero: bool) -> tuple[int, str] | None:
        """See `RowSource`."""
        for what, found in (("holds NaN or infinity", False), ("is zero", True)):
            if found and not nonzero:
                continue
            per_device = len(self) // self.place.devices
            first = on_host(self.each(_first_unfit, options=(found,)))
            some = np.flatnonzero(first < per_device)
            if some.size:
                return int(some[0]) * per_device + int(first[some[0]]), what
        return None

    def equal(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """See `RowSource`."""
        found = np.zeros(0, bool)
        # A program for blocks of one size, of some megabytes.
        step = max(_FEWEST, min(len(rows), 2**20 // max(1, self.shape[1])))
        for start in range(0, len(rows), step):
            few = (each[start : start + step] for each in (rows, others))
            pair = (
                np.pad(each, (0, step - len(each)), constant_values=-1).astype(np.int32)
                for each in few
            )
            with jax.enable_x64(True):
                same = _equal(self.array, *pair, place=self.place)
            found = np.concatenate([found, on_host(same)])
        return found[: len(rows)]


def placed(name: str, rows: Any, mesh: Mesh | None) -> tuple[Placement, Any]:
    """Where a computation is to lie, and its rows, which stay where devices hold them.

    Args:
      name: what to call the rows in an error.
      rows: `ShardedRows` will be made of a JAX array that devices hold in parts of
        rows; all else is given back.
      mesh: that was asked for, or None.

    Raises:
      ValueError: a mesh of other axes, or of other devices than those that hold the
        rows, or in another order; rows that cannot be used where they lie.
    """
    place = Placement(mesh)
    if isinstance(rows, ShardedRows):
        held = rows
    elif is_row_sharded(rows):
        checks.rank(name, rows, 2)
        arrays.check_real(name, rows.dtype)
        held = _sharded(name, rows)
    else:
        return place, rows
    if mesh is None:
        return held.place, held
    assert held.place.mesh is not None
    asked, found = (list(each.devices.flat) for each in (mesh, held.place.mesh))
    if asked != found:
        raise ValueError(
            f"mesh: got devices {_ids(asked)}, expected those that hold the rows of "
            f"{name}, in their order, {_ids(found)}, or no mesh"
        )
    return place, ShardedRows(place, _on_mesh(held.array, place))


def everywhere(place: Placement, given: Any, rows: np.ndarray) -> jax.Array:
    """Some rows (M, d), by their numbers, on all devices."""
    if isinstance(given, ShardedRows):
        return given.everywhere(rows)
    found: jax.Array = place.whole(given[rows])
    return found


def spread(place: Placement, given: Any, rows: np.ndarray) -> jax.Array:
    """Some rows (M, d), by their numbers, divided as by `Placement.rows`."""
    if isinstance(given, ShardedRows):
        return given.spread(rows)
    taken = TakenRows(given, rows) if isinstance(given, RowSource) else given[rows]
    return place.rows(taken)


def _ids(devices: list[Any]) -> str:
    shown = ", ".join(str(device.id) for device in devices[:16])
    return f"[{shown}{', …' if len(devices) > 16 else ''}]"


def _sharded(name: str, array: jax.Array) -> ShardedRows:
    """On a mesh of one axis over its devices, in the order of their rows."""
    check_holders(name, array)
    holders: dict[int, list[Any]] = {}
    where: Any = array.sharding.devices_indices_map(array.shape)
    for device, at in where.items():
        holders.setdefault(at[0].indices(len(array))[0], []).append(device)
    part, copies = len(array) // len(holders), len(next(iter(holders.values())))
    if part % copies:
        raise ValueError(
            f"{name}: got parts of {part} rows that {copies} devices hold each, "
            f"expected a multiple of {copies} rows, or parts of one device each"
        )
    devices = [device for start in sorted(holders) for device in holders[start]]
    kinds = (AxisType.Auto,)
    place = Placement(Mesh(np.array(devices, object), (_AXIS,), axis_types=kinds))
    return ShardedRows(place, _on_mesh(array, place))


def _on_mesh(array: jax.Array, place: Placement) -> jax.Array:
    """The same parts; of such that several devices hold each keeps its share."""
    assert place.mesh is not None
    sharding = NamedSharding(place.mesh, place.axis)
    where: Any = sharding.devices_indices_map(array.shape)
    parts = []
    for shard in array.addressable_shards:
        first, end, _ = where[shard.device][0].indices(len(array))
        before = shard.index[0].indices(len(array))[0]
        whole = end - first == shard.data.shape[0]
        parts.append(shard.data if whole else shard.data[first - before : end - before])
    return jax.make_array_from_single_device_arrays(array.shape, sharding, parts)


@functools.partial(jax.jit, static_argnames=("function", "options", "place"))
def _each(
    function: Callable[..., Any],
    options: tuple[Any, ...],
    place: Placement,
    rows: jax.Array,
    others: tuple[jax.Array, ...],
) -> Any:
    def of_device(own: jax.Array, *others: jax.Array) -> Any:
        return function(own, *others, *options)

    return place.on_rows(of_device, len(others))(rows, *others)


def bits_of(rows: jax.Array) -> jax.Array:
    """Unsigned integers of the same width; on them no number is flushed to zero."""
    if rows.dtype == jnp.bool_:
        return rows.astype(jnp.uint8)
    unsigned = jnp.dtype(f"uint{8 * rows.dtype.itemsize}")
    return jax.lax.bitcast_convert_type(rows, unsigned)


def _sent(own: jax.Array, rows: jax.Array, axis: str) -> jax.Array:
    """The bits of some rows on every device, by the one that has each."""
    at = rows - jax.lax.axis_index(axis) * own.shape[0]
    here = (at >= 0) & (at < own.shape[0])
    bits = bits_of(own[jnp.clip(at, 0, own.shape[0] - 1)])
    # Not all networks can add integers of two bytes.
    wide = bits.astype(jnp.promote_types(bits.dtype, jnp.uint32))
    total = jax.lax.psum(jnp.where(here[:, None], wide, 0), axis)
    return total.astype(bits.dtype)


def _from_bits(bits: jax.Array, dtype: Any) -> jax.Array:
    if dtype == jnp.bool_:
        return bits.astype(bool)
    return jax.lax.bitcast_convert_type(bits, dtype)


def _mapped(
    function: Callable[..., Any], place: Placement, others: int, whole: bool
) -> Callable[..., Any]:
    everywhere = PartitionSpec()
    mapped: Callable[..., Any] = jax.shard_map(
        function,
        mesh=place.mesh,
        in_specs=(place.axis, *(everywhere for _ in range(others))),
        out_specs=everywhere if whole else place.axis,
    )
    return mapped


@functools.partial(jax.jit, static_argnames="place")
def _everywhere(array: jax.Array, rows: jax.Array, *, place: Placement) -> jax.Array:
    def of_device(own: jax.Array, rows: jax.Array) -> jax.Array:
        return _from_bits(_sent(own, rows, str(place.axis[0])), own.dtype)

    found: jax.Array = _mapped(of_device, place, 1, True)(array, rows)
    return found


@functools.partial(jax.jit, static_argnames="place")
def _equal(
    array: jax.Array, rows: jax.Array, others: jax.Array, *, place: Placement
) -> jax.Array:
    def of_device(own: jax.Array, rows: jax.Array, others: jax.Array) -> jax.Array:
        one, other = (_sent(own, each, str(place.axis[0])) for each in (rows, others))
        same = one == other
        if jnp.issubdtype(own.dtype, jnp.floating):
            # Zero has two signs.
            same |= ((one | other) << 1) == 0
        return jnp.all(same, axis=1)

    found: jax.Array = _mapped(of_device, place, 2, True)(array, rows, others)
    return found


@functools.partial(jax.jit, static_argnames="place")
def _spread(array: jax.Array, rows: jax.Array, *, place: Placement) -> jax.Array:
    axis = str(place.axis[0])

    def of_device(own: jax.Array, rows: jax.Array) -> jax.Array:
        rows = rows.reshape(place.devices, -1)

        # One device's rows after the other's: all of them would be too many.
        def one(device: jax.Array | int, kept: jax.Array) -> jax.Array:
            found = _sent(own, rows[device], axis)
            return jnp.where(jax.lax.axis_index(axis) == device, found, kept)

        nothing = jnp.zeros((rows.shape[1], own.shape[1]), bits_of(own).dtype)
        # Outside of the loop for the first: the carry differs by device.
        found = jax.lax.fori_loop(1, place.devices, one, one(0, nothing))
        return _from_bits(found, own.dtype)

    found: jax.Array = _mapped(of_device, place, 1, False)(array, rows)
    return found


def _first_unfit(own: jax.Array, zero: bool) -> jax.Array:
    """The first row (1,) that is zero, or not finite; their number where none is."""
    bits = bits_of(own)
    if zero:
        signless = bits << 1 if jnp.issubdtype(own.dtype, jnp.floating) else bits
        bad = jnp.all(signless == 0, axis=1)
    elif jnp.issubdtype(own.dtype, jnp.floating):
        bad = ~jnp.all(jnp.isfinite(own), axis=1)
    else:
        bad = jnp.zeros(own.shape[0], bool)
    first = jnp.where(jnp.any(bad), jnp.argmax(bad), own.shape[0])
    return first.astype(jnp.int32)[None]
