"""Rows under `pmap` and `shard_map`: equal copies, or each device's own part."""

from __future__ import annotations

from typing import Any

import jax

from robustjax.transforms._base import AxisName


def need_layout(name: str, axis_name: AxisName, local_rows: bool) -> None:
    """Raises unless it was said whose rows these are.

    Inside `pmap` or `shard_map` a device sees its own examples alone. If every one
    held all rows and wrote those of its own examples, the copies would diverge.

    Raises:
      ValueError: called inside a mapped device axis without being told.
    """
    mapped = jax.sharding.get_abstract_mesh().manual_axes
    if not mapped or axis_name is not None or local_rows:
        return
    shown = mapped[0] if len(mapped) == 1 else tuple(mapped)
    raise ValueError(
        f"{name}: called under pmap or shard_map over {shown!r} without axis_name, "
        f"expected axis_name={shown!r} where every device holds all rows, with "
        "local_rows=True where each holds those of its own examples (local_rows=True "
        "alone where devices train apart)"
    )


def gather(tree: Any, axis_name: AxisName) -> Any:
    """Every device's leaves, joined along the first axis, equal on all devices."""
    return jax.tree.map(
        lambda leaf: jax.lax.all_gather(leaf, axis_name, tiled=True, to="invarying"),
        tree,
    )


def own_part(tree: Any, axis_name: AxisName) -> Any:
    """This device's part of leaves that were joined by `gather`."""
    place = jax.lax.axis_index(axis_name)
    parts = jax.lax.axis_size(axis_name)

    def cut(leaf: jax.Array) -> jax.Array:
        size = leaf.shape[0] // parts
        return jax.lax.dynamic_slice_in_dim(leaf, place * size, size)

    return jax.tree.map(cut, tree)


def first_row(axis_name: AxisName, rows: int) -> jax.Array:
    """The number, among all rows, of the first that this device holds."""
    return jax.lax.axis_index(axis_name) * rows
