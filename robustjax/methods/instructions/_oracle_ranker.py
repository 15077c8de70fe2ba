"""A ranker that knows the truth, and errs by a stated share: how good must one be?"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from robustjax import checks
from robustjax.data import Record
from robustjax.methods.instructions._ranker import Ranking


class OracleRanker:
    """Ranks by known quality and drops what is known to be wrong.

    With probability `noise`, for every group on its own, it says what one says who
    knows nothing: an order at random of which nothing is dropped, or of a group of one,
    by a fair coin, whether it is wrong.
    """

    def __init__(
        self, quality: Mapping[str, float], wrong: Collection[str], noise: float = 0.0
    ):
        """Sets what is known.

        Args:
          quality: of records by id, high is good; 0 where none is given.
          wrong: ids of the records to drop.
          noise: in [0, 1].

        Raises:
          ValueError: a noise outside its range.
        """
        checks.in_range("noise", noise, 0, 1)
        self._quality, self._wrong = dict(quality), frozenset(wrong)
        self._noise = noise

    def rank(
        self, instruction_groups: Sequence[Sequence[Record]], seed: int
    ) -> list[Ranking]:
        """See `Ranker`."""
        return [self._one(group, seed) for group in instruction_groups]

    def _one(self, group: Sequence[Record], seed: int) -> Ranking:
        ids = [each.id for each in group]
        draws = _generator(ids, seed)
        errs = draws.random() < self._noise
        order = draws.permutation(len(group)).tolist()
        if len(group) == 1:
            keep = bool(draws.integers(2)) if errs else ids[0] not in self._wrong
            return Ranking((0,) if keep else (), "singleton")
        if not errs:
            order = [i for i in order if ids[i] not in self._wrong]
            # Stable: equal ones stay in random order.
            order.sort(key=lambda i: -self._quality.get(ids[i], 0.0))
        return Ranking(tuple(order), "ranked" if order else "all_dropped")


def _generator(ids: Sequence[str], seed: int) -> np.random.Generator:
    """Of a group and a seed, whatever other groups there are."""
    text = "\0".join([str(seed), *ids]).encode("utf-8")
    return np.random.default_rng(list(hashlib.sha256(text).digest()))
