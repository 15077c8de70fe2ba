"""Factors of examples' features, checked and brought to where a selection computes."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from robustjax import checks, conditioning
from robustjax.placement import Placement
from robustjax.row_source import RowSource, row_blocks
from robustjax.selection._cosine_kernel import inverse_norms
from robustjax.selection._factored_pool import Factors
from robustjax.selection._greedy import check_rows
from robustjax.sharded_rows import everywhere, placed, spread

# Float32 rows of every factor on the host, in a file, or in parts on devices.
GivenFactors = tuple[np.ndarray | RowSource, ...]


def placed_sets(mesh: Mesh | None, **sets: Any) -> tuple[Placement, list[Any]]:
    """Where a selection is to lie, and its sets as tuples of factors, or None.

    Raises:
      ValueError: see `sharded_rows.placed`.
    """
    place = Placement(mesh)
    found: list[Any] = []
    for name, features in sets.items():
        parts = []
        for part in features if isinstance(features, tuple) else (features,):
            place, there = placed(name, part, place.mesh)
            parts.append(there)
        found.append(None if features is None else tuple(parts))
    return place, found


def check_factors(name: str, parts: tuple[Any, ...]) -> GivenFactors:
    """Checked factors as float32."""
    checked = [check_rows(name, part, nonzero=True) for part in parts]
    if any(len(part) == 0 for part in checked):
        raise ValueError(f"{name}: got no rows, expected at least one")
    checks.same_length(**{f"{name}[{i}]": part for i, part in enumerate(parts)})
    return tuple(conditioning.scaled_source(name, part) for part in checked)


def left_there(factors: GivenFactors) -> Factors:
    """On the host or in a file, with the inverse norms."""

    def inverse(part: np.ndarray | RowSource) -> np.ndarray:
        norms = jax.jit(inverse_norms)
        found = [np.asarray(norms(part[here])) for here in row_blocks(part)]
        return np.concatenate(found)

    return tuple((part, inverse(part)) for part in factors)


def divided(
    place: Placement, factors: GivenFactors, some: np.ndarray | None = None
) -> Factors:
    """Divided among the devices, all rows or some by their numbers."""
    rows = [
        place.rows(part) if some is None else spread(place, part, some)
        for part in factors
    ]
    return tuple((array, jax.jit(inverse_norms)(array)) for array in rows)


def on_all(place: Placement, factors: GivenFactors) -> Factors:
    """All rows on every device."""
    rows = [everywhere(place, part, np.arange(len(part))) for part in factors]
    return tuple((array, jax.jit(inverse_norms)(array)) for array in rows)
