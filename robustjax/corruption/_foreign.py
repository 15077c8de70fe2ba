"""Open-set label noise: examples that belong to none of the classes."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from robustjax import checks


class ForeignInputs(NamedTuple):
    """Inputs of which some are another data set's.

    Attributes:
      inputs: (N, ...) of the dtype of those that were given; rows that were not
        replaced are as they were.
      is_foreign: (N,) bool, which rows were replaced.
      rows: (N,) int64, of the foreign set; -1 where nothing was replaced.
    """

    inputs: np.ndarray
    is_foreign: np.ndarray
    rows: np.ndarray


def foreign_inputs(
    key: jax.Array, inputs: Any, foreign: Any, share: float
) -> ForeignInputs:
    """Puts foreign examples in the places of some, whose labels then mean nothing.

    Open-set noise of Wang et al., "Iterative Learning with Open-set Noisy Labels" (CVPR
    2018): the labels stay, and no label would be right.

    Args:
      key: PRNG key; decides which are replaced, and by what.
      inputs: (N, ...), say images.
      foreign: (M, ...) of the same shape and dtype; each is used once at most.
      share: of the N that are replaced, in [0, 1], rounded to the nearest number.

    Returns:
      New arrays; nothing that was given is changed.

    Raises:
      ValueError: a share outside [0, 1], another shape or dtype, or too few foreign
        examples.
    """
    checks.in_range("share", share, 0, 1)
    own, others = np.asarray(inputs), np.asarray(foreign)
    if own.ndim < 1 or others.ndim < 1 or own.shape[1:] != others.shape[1:]:
        raise ValueError(
            f"foreign: got examples of shape {others.shape[1:]}, expected that of "
            f"inputs, {own.shape[1:]}"
        )
    if own.dtype != others.dtype:
        raise ValueError(
            f"foreign: got {others.dtype.name}, expected the {own.dtype.name} of inputs"
        )
    count = round(share * len(own))
    if count > len(others):
        raise ValueError(
            f"foreign: got {len(others)} examples, expected the {count} that a share "
            f"of {share:g} asks for"
        )
    where, what = jax.random.split(key)
    places = np.asarray(jax.random.permutation(where, len(own)))[:count]
    taken = np.asarray(jax.random.permutation(what, len(others)))[:count]
    rows = np.full(len(own), -1)
    rows[places] = taken
    mixed = own.copy()
    mixed[places] = others[taken]
    return ForeignInputs(mixed, rows >= 0, rows)
