"""Forgetting: how often an example is unlearned again. High means forgettable.

Toneva, Sordoni, Tachet des Combes, Trischler, Bengio, Gordon, "An Empirical Study of
Example Forgetting during Deep Neural Network Learning" (ICLR 2019).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks

NEVER_LEARNED = ("most", "least")
"""Values of `never_learned` in `forgettability`."""


class Forgetting(NamedTuple):
    """What happened to every example.

    Attributes:
      events: (...) int32, how often a prediction turned from correct to wrong.
      learned: (...) bool, whether any prediction was correct.
    """

    events: jax.Array
    learned: jax.Array


def forgetting_events(correct: Any) -> Forgetting:
    """Counts the transitions from correct to wrong.

    In the paper predictions are those of the training visits, one per epoch;
    `transforms.learning_record` counts them while training, without this array.

    Args:
      correct: (E, ...) bool, whether the example was classified correctly at each of
        its E visits, in order.

    Returns:
      `Forgetting` of shape (...).

    Raises:
      ValueError: no visit, or anything but 0 and 1 in an array that is not traced.
    """
    correct = checks.truths("correct", correct)
    if np.ndim(correct) == 0 or np.shape(correct)[0] == 0:
        raise ValueError(
            f"correct: got shape {np.shape(correct)}, expected (E, …), E >= 1 visits"
        )
    correct = jnp.asarray(correct, bool)
    lost = correct[:-1] & ~correct[1:]
    return Forgetting(jnp.sum(lost, axis=0, dtype=jnp.int32), jnp.any(correct, axis=0))


def forgettability(
    events: Any, learned: Any, *, never_learned: str = "most"
) -> jax.Array:
    """Ranks examples by their forgetting events, with a rule for never-learned ones.

    An example that is never classified correctly is never forgotten, either. In the
    paper it counts as the most forgettable. Public code of later papers (DeepCore,
    Prune4ReL) leaves it at 0 events, least forgettable together with the examples
    that are learned once and for all. Under label noise, never-learned examples are
    mostly wrong labels.

    Args:
      events: (N,) integers.
      learned: (N,) bool.
      never_learned: "most" as in the paper, one event more than any example has, or
        "least", 0 events.

    Returns:
      (N,) float32.

    Raises:
      ValueError: an unknown rule, no events or negative ones, `learned` that is neither
        0 nor 1, wrong ranks, or lengths that differ.
    """
    checks.one_of("never_learned", never_learned, NEVER_LEARNED)
    events = arrays.float32("events", events, 1)
    checks.rank("learned", learned, 1)
    if checks.same_length(events=events, learned=learned) == 0:
        raise ValueError("events: got none, expected at least one")
    checks.in_range("events", events, 0, np.inf, high_open=True)
    learned = checks.truths("learned", learned)
    value = jnp.max(events) + 1 if never_learned == "most" else jnp.float32(0)
    return jnp.where(jnp.asarray(learned, bool), events, value)
