"""Per-example rows without the padding of a device layout: they fit any other."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax.training._processes import on_host, placed_like
from robustjax.training._state import TrainState
from robustjax.transforms import ExampleSpec


@dataclasses.dataclass(frozen=True, eq=False)
class ExampleRows:
    """Rows of which the last ones are padding; a leaf of trees.

    Attributes:
      array: (R, N_padded, ...), on the devices of any layout or on the host.
      examples: N, how many are of examples.
    """

    array: Any
    examples: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Without padding, (R, N, ...)."""
        repeats, _, *rest = self.array.shape
        return (repeats, self.examples, *rest)

    def whole(self) -> np.ndarray:
        """All rows (R, N, ...) on the host. All processes must come here."""
        return np.asarray(on_host(self.array))[:, : self.examples]

    def filled(self, rows: np.ndarray) -> Any:
        """Other rows with this one's padding, placed as it is.

        All processes must come here.

        Args:
          rows: (R, N, ...) on the host, the same in every process.
        """
        if self.array.shape[1] > self.examples:
            padding = np.asarray(on_host(self.array[:, self.examples :]))
            rows = np.concatenate([rows, padding], axis=1)
        return placed_like(rows, self.array)

    def filled_in_place(self, rows: jax.Array) -> jax.Array:
        """The same of rows that lie as this one's do; nothing is sent.

        Args:
          rows: (R, N_padded, ...); of what follows the first N nothing is kept.
        """
        if self.array.shape[1] == self.examples:
            return rows
        return _filled(rows, self.array, self.examples)


@jax.jit
def _filled(rows: jax.Array, own: jax.Array, examples: int) -> jax.Array:
    kept = jnp.arange(rows.shape[1]) < examples
    return jnp.where(kept.reshape(-1, *(1,) * (rows.ndim - 2)), rows, own)


def with_example_rows(state: TrainState, spec: ExampleSpec) -> TrainState:
    """A state whose per-example rows know which of them are padding.

    Args:
      state: leaves (R, ...), rows (R, N_padded, ...).
      spec: of the rows.

    Raises:
      ValueError: rows of another number, of which something else would be cut off.
    """

    def mark(rows: Any) -> ExampleRows:
        if rows.shape[1] != spec.padded_examples:
            raise ValueError(
                f"state: got per-example rows {rows.shape}, expected "
                f"(R, {spec.padded_examples}, ...); an algorithm whose rows are of "
                "something else than its data names them by row_spec"
            )
        return ExampleRows(rows, spec.num_examples)

    return state.with_rows(jax.tree.map(mark, state.loss_state.rows))
