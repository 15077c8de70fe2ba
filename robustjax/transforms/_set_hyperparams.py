"""Changes of hyperparameters that `inject_hyperparams` has put into a state."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.transforms._base import LossState


def set_hyperparams(state: LossState, /, *path: int | str, **values: Any) -> LossState:
    """Replaces injected hyperparameters in the state of an injected transform.

    Args:
      state: of the transform itself, or of a chain that holds it.
      *path: where it is in the chain: its position, or its name in a `named_chain`;
        more of them for chains within chains.
      **values: new values by name.

    Raises:
      ValueError: a place without injected hyperparameters, a name that was not
        injected or follows a schedule, another shape than before, or a value that the
        type of the one before cannot hold, as that of 3 cannot hold 0.5.
    """
    if path:
        first, *rest = path
        try:
            rows, shared = state.rows[first], state.shared[first]
        except (KeyError, IndexError, TypeError):
            known = state.shared if isinstance(state.shared, dict) else ()
            places = ", ".join(map(str, known or range(len(state.shared))))
            raise ValueError(
                f"path: got {first!r}, expected one of: {places}"
            ) from None
        inner = set_hyperparams(LossState(rows, shared), *rest, **values)
        return state._replace(shared=_with_entry(state.shared, first, inner.shared))
    if not (isinstance(state.shared, dict) and "hyperparams" in state.shared):
        raise ValueError(
            "state: holds no injected hyperparameters; in a chain, say where, as in "
            "set_hyperparams(state, 0, q=0.5)"
        )
    old = state.shared["hyperparams"]
    for name, value in values.items():
        if name in state.shared.get("scheduled", ()):
            raise ValueError(f"{name}: follows a schedule, which would set it again")
        if name not in old:
            raise ValueError(
                f"{name}: not an injected hyperparameter; known: {', '.join(old)}"
            )
        if jnp.shape(value) != jnp.shape(old[name]):
            raise ValueError(
                f"{name}: got shape {jnp.shape(value)}, expected {jnp.shape(old[name])}"
            )
        whole = jnp.issubdtype(old[name].dtype, jnp.integer)
        if whole and not checks.is_traced(value) and np.any(np.asarray(value) % 1):
            raise ValueError(
                f"{name}: got {value}, expected whole numbers as when it was injected; "
                "inject it as a float, 3.0 say"
            )
    new = {
        **old,
        **{k: jnp.asarray(v, old[k].dtype) for k, v in values.items()},
    }
    return state._replace(shared={**state.shared, "hyperparams": new})


def _with_entry(shared: Any, place: int | str, value: Any) -> Any:
    """A copy of a tuple or dict with one entry replaced."""
    if isinstance(shared, dict):
        return {**shared, place: value}
    entries = list(shared)
    entries[place] = value  # type: ignore[index]
    return tuple(entries)
