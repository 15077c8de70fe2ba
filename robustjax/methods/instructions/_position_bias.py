"""One group asked about in several orders: the bias of positions measured, removed.

Language models prefer what stands first, or last. Up to five items, and as many as
there are where letters are scored, are shown in the cyclic shifts of one shuffled
order, so that each of them stands at each position once; more items in independent
shuffles, over which the bias only tends to cancel. Answers are joined by Kemeny's rule,
scores by their means.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robustjax import checks
from robustjax.methods.instructions._kemeny import kemeny_order
from robustjax.methods.instructions._ranker import Outcome, Ranking

MOST_CYCLIC = 5


class Call(NamedTuple):
    """One answer about one group.

    Attributes:
      shown: positions in the group, in the order in which they were shown.
      levels: for each position in the group its level, 0 the best; equal levels are
        ties, and -1 is dropped. All -1 where the outcome is not `ranked`.
      outcome: `ranked`, `all_dropped` or `malformed`.
      scores: for each position in the group its log-probability, or () without.
    """

    shown: tuple[int, ...]
    levels: tuple[int, ...]
    outcome: Outcome
    scores: tuple[float, ...] = ()


def group_generator(seed: int, ids: Sequence[str]) -> np.random.Generator:
    """A generator that depends on the seed and on what is in the group alone."""
    named = "\0".join([str(seed), *ids]).encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(named).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32).tolist())


def presentation_orders(
    num_items: int,
    calls: int | None,
    generator: np.random.Generator,
    *,
    cyclic: bool = False,
) -> list[tuple[int, ...]]:
    """Orders in which a group is shown.

    Args:
      num_items: of the group.
      calls: how many orders, or None for the number of items, at most 5 unless
        `cyclic`.
      generator: of the shuffles.
      cyclic: whether more than `MOST_CYCLIC` items, too, are shown in cyclic shifts.

    Returns:
      The orders. Of up to `MOST_CYCLIC` items (of any number, if `cyclic`), every
      `num_items` of them in a row are the cyclic shifts of one shuffle, in an order
      that is drawn, too. Then `calls` beyond `num_items` are rounded up to a multiple
      of it: the rest would show some items more often in front than others. Fewer
      cannot be balanced, and keep a part of the bias.
    """
    cyclic = cyclic or num_items <= MOST_CYCLIC
    if calls is None:
        calls = num_items if cyclic else MOST_CYCLIC
    checks.at_least("calls", calls, 1)
    if cyclic and calls > num_items:
        calls = -(-calls // num_items) * num_items
    orders: list[tuple[int, ...]] = []
    while len(orders) < calls:
        base = generator.permutation(num_items)
        shifts = np.zeros(1, int)
        if cyclic:
            shifts = generator.permutation(num_items)
        orders += [tuple(np.roll(base, shift).tolist()) for shift in shifts]
    return orders[:calls]


def preferences(calls: Sequence[Call]) -> np.ndarray:
    """(n, n) in how many answers row stands above column; dropped ones are lowest."""
    levels = np.array([call.levels for call in calls])
    depth = np.where(levels < 0, np.iinfo(levels.dtype).max, levels)
    return (depth[:, :, None] < depth[:, None, :]).sum(0)


def combine_calls(calls: Sequence[Call]) -> Ranking:
    """The ranking that the answers about one group come to.

    Answers that could not be read do not count. Where all others have scores, their
    means rank: over cyclic orders whatever a position adds to a score is the same for
    all, even if it is far more than records differ. Otherwise a record is kept if more
    than half of the others keep it; those that are kept are in Kemeny's order, among
    equally good ones in the order in which the first call showed them (a shuffled one).

    Args:
      calls: at least one, all about the same group.
    """
    read = [call for call in calls if call.outcome != "malformed"]
    if not read:
        return Ranking((), "malformed")
    scores = np.array([call.scores for call in read if call.scores])
    if len(scores) == len(read) and np.isfinite(scores).all():
        means = scores.mean(0)
        best_first = sorted(calls[0].shown, key=lambda at: -means[at])
        return Ranking(tuple(best_first), "ranked")
    keeps = np.array([call.levels for call in read]) >= 0
    kept = [at for at in calls[0].shown if 2 * keeps[:, at].sum() > len(read)]
    if not kept:
        return Ranking((), "all_dropped")
    order = kemeny_order(preferences(read)[np.ix_(kept, kept)])
    return Ranking(tuple(kept[at] for at in order), "ranked")


class CallAgreement(NamedTuple):
    """How far rankings made of few calls agree.

    Attributes:
      calls: per ranking.
      tau_to_all: mean Kendall tau to the ranking made of all calls of the group; 1 by
        construction where these are all calls.
      tau_apart: mean Kendall tau between two rankings made of different calls; NaN
        where no group has twice as many calls.
      same_first: how often two such rankings have the same first record, or none.
      groups: that have so many calls.
    """

    calls: int
    tau_to_all: float
    tau_apart: float
    same_first: float
    groups: int


def agreement_by_calls(
    groups: Sequence[Sequence[Call]],
    numbers: Sequence[int] = (1, 3, 5),
    *,
    draws: int = 3,
    seed: int = 0,
) -> list[CallAgreement]:
    """Agreement against the number of calls.

    Args:
      groups: the calls of each group of at least two records.
      numbers: of calls, each at least 1.
      draws: of calls, without replacement, per group and number.
      seed: of the draws.
    """
    checks.at_least("numbers", min(numbers), 1)
    generator = np.random.default_rng(seed)
    result = []
    for number in numbers:
        to_all, apart, first = [], [], []
        enough = [calls for calls in groups if len(calls) >= number]
        for calls in enough:
            whole = combine_calls(calls)
            for _ in range(draws):
                drawn = generator.permutation(len(calls))
                one, other = (
                    [calls[at] for at in sorted(drawn[start : start + number])]
                    for start in (0, number)
                )
                to_all.append(_tau(combine_calls(one), whole, len(calls[0].levels)))
                if len(other) == number:
                    pair = combine_calls(one), combine_calls(other)
                    apart.append(_tau(*pair, len(calls[0].levels)))
                    first.append(pair[0].order[:1] == pair[1].order[:1])
        tau_all, tau_apart, same = (
            float(np.mean(values)) if values else np.nan
            for values in (to_all, apart, first)
        )
        agreement = CallAgreement(number, tau_all, tau_apart, same, len(enough))
        result.append(agreement)
    return result


def _tau(one: Ranking, other: Ranking, num_items: int) -> float:
    """Kendall's tau over all pairs, in which dropped records are tied at the end.

    Pairs tied in both agree, pairs tied in one count half.
    """
    places = [
        [ranking.order.index(at) if at in ranking.order else num_items for at in items]
        for items in [range(num_items)]
        for ranking in (one, other)
    ]
    total = 0.0
    pairs = list(itertools.combinations(range(num_items), 2))
    for i, j in pairs:
        signs = [np.sign(place[i] - place[j]) for place in places]
        total += 1 - abs(signs[0] - signs[1])
    return total / len(pairs)


def first_by_position(groups: Sequence[Sequence[Call]]) -> dict[int, np.ndarray]:
    """P(first | position): how often what stood at a position was ranked first.

    Without a bias every entry tends to 1 / n, for each record stands everywhere alike.

    Args:
      groups: the calls of each group; those with nothing ranked do not count.

    Returns:
      The size n of groups -> (n,) shares that sum to 1; ties share a first place.
    """
    counts: dict[int, np.ndarray] = {}
    for call in itertools.chain.from_iterable(groups):
        if call.outcome != "ranked":
            continue
        best = min(level for level in call.levels if level >= 0)
        first = np.array([call.levels[at] == best for at in call.shown], float)
        size = len(call.levels)
        counts[size] = counts.get(size, np.zeros(size)) + first / first.sum()
    return {size: count / count.sum() for size, count in sorted(counts.items())}
