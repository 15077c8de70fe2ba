"""What the query strategies of open-set active learning share."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from robustjax import checks
from robustjax.methods.active_learning._open_set_round import Query, RoundView


class Memoryless:
    """A strategy that learns nothing from answers."""

    @property
    def wants(self) -> frozenset[str]:
        """Nothing beside logits and features."""
        return frozenset()

    def init_memory(self, key: jax.Array) -> Any:
        """Empty."""
        del key
        return ()

    def learn(
        self, view: RoundView, memory: Any, query: Query, answers: np.ndarray
    ) -> Any:
        """The memory as it is."""
        del view, query, answers
        return memory


def open_rows(view: RoundView, count: int) -> np.ndarray:
    """The unlabelled rows (n,), ascending.

    Raises:
      ValueError: a count that is not in 1 … n.
    """
    rows = view.unlabeled
    if not 1 <= count <= rows.size:
        raise ValueError(
            f"count: got {count}, expected 1 … {rows.size}, the unlabelled examples"
        )
    return rows


def in_logits(view: RoundView) -> jax.Array:
    """The logits (N, k) of the task's own classes.

    Raises:
      ValueError: neither k nor k + 1 logits, NaN or infinity.
    """
    logits, k = view.observation.logits, view.num_classes
    if np.ndim(logits) != 2 or np.shape(logits)[1] not in (k, k + 1):
        raise ValueError(
            f"logits: got shape {np.shape(logits)}, expected (N, {k}) or (N, {k + 1})"
        )
    checks.finite("logits", logits)
    return logits[:, :k]


def embedding(view: RoundView, name: str) -> jax.Array:
    """What was learnt from the pool without labels, by name.

    Raises:
      ValueError: there is none of that name.
    """
    if name not in view.embeddings:
        got = ", ".join(sorted(view.embeddings)) or "none"
        raise ValueError(f"embeddings: got {got}, expected {name!r} among them")
    return view.embeddings[name]


def shuffled(view: RoundView, rows: np.ndarray) -> np.ndarray:
    """Rows in a random order, the same one throughout a round.

    Where many examples are equally wanted, the order of the pool must not decide: it
    may have the task's own examples first.
    """
    draws = jax.random.uniform(jax.random.fold_in(view.key, 2), (view.labels.size,))
    return rows[np.argsort(np.asarray(draws)[rows], kind="stable")]


def highest(
    view: RoundView,
    scores: np.ndarray,
    count: int,
    *,
    then: np.ndarray | None = None,
) -> np.ndarray:
    """The `count` unlabelled rows with the largest scores, largest first.

    Args:
      view: of the round.
      scores: (N,) finite at these rows.
      count: 1 … n.
      then: (N,), by which equal scores are ordered, largest first. What is still
        equal is in random order, see `shuffled`.

    Raises:
      ValueError: a count out of range, or a score that is NaN or infinite.
    """
    rows = shuffled(view, open_rows(view, count))
    keys = [-np.asarray(scores)[rows]]
    checks.finite("scores", keys[0])
    if then is not None:
        keys.insert(0, -np.asarray(then)[rows])
    return rows[np.lexsort(keys)[:count]]


def repeated(rows: np.ndarray) -> np.ndarray:
    """Rows, and the first one again and again, up to a power of two.

    Where a maximum or minimum over them is taken it stays, and programs are compiled
    for few lengths rather than for every round.
    """
    length = 1 << int(rows.size - 1).bit_length()
    return np.pad(
        rows, (0, length - rows.size), mode="constant", constant_values=rows[0]
    )
