"""Whose turn it is: the class of every pick of a class-balanced selection.

The turns depend on the sizes of the classes only, so they are known before the first
pick.
"""

from __future__ import annotations

import numpy as np

from robustjax import arrays, checks

BALANCES = ("even", "authors")


def even_turns(sizes: np.ndarray, budget: int) -> np.ndarray:
    """Round after round, one pick for every class that has examples left.

    What an exhausted class cannot give is thereby shared equally by the others, and
    the counts of classes that are not exhausted differ by one at most.

    Args:
      sizes: (C,) examples per class.
      budget: 0 … their sum.

    Returns:
      (budget,) int32 classes.

    Raises:
      ValueError: sizes that are no numbers of examples, or a budget out of range.
    """
    sizes = arrays.numbers("sizes", sizes, 1)
    if sizes.dtype.kind not in "iu" or (sizes < 0).any():
        raise ValueError(f"sizes: got {sizes}, expected integers >= 0")
    checks.at_least("budget", budget, 0)
    if budget > sizes.sum():
        raise ValueError(
            f"budget: got {budget}, expected at most the {sizes.sum()} examples of all "
            "classes"
        )
    classes = np.repeat(np.arange(len(sizes)), sizes)
    rounds = np.arange(len(classes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return classes[np.lexsort((classes, rounds))][:budget].astype(np.int32)


def authors_turns(sizes: np.ndarray, budget: int) -> np.ndarray:
    """The turns as taken in the published code of Prune4ReL.

    Turn i belongs to the class in place `i mod (number of classes left)`. A class that
    is found exhausted is struck off, and the turn goes to the class then in that place
    of the shorter list, which shifts all turns that follow. If that class has given
    more than 1.5 times the size of the first class that ran out, this turn is the
    last one: all later picks are of any class, not balanced.

    Args:
      sizes: (C,) examples per class.
      budget: at most their sum.

    Returns:
      (M,) int32 classes, M <= budget; picks after these are free.
    """
    left = [int(size) for size in sizes]
    available = list(range(len(left)))
    first_to_run_out: int | None = None
    turns: list[int] = []
    while len(turns) < budget:
        turn = available[len(turns) % len(available)]
        free = False
        while left[turn] == 0:
            if first_to_run_out is None:
                first_to_run_out = int(sizes[turn])
            available.remove(turn)
            turn = available[len(turns) % len(available)]
            free |= int(sizes[turn]) - left[turn] > 1.5 * first_to_run_out
        turns.append(turn)
        left[turn] -= 1
        if free:
            break
    return np.asarray(turns, np.int32)


def class_turns(labels: np.ndarray, budget: int, balance: str) -> np.ndarray:
    """Classes of the picks, by one of the two rules.

    Args:
      labels: (N,) int32.
      budget: 1 … N.
      balance: "even" or "authors".

    Raises:
      ValueError: an unknown rule.
    """
    checks.one_of("balance", balance, BALANCES)
    sizes = np.bincount(labels)
    turns = even_turns if balance == "even" else authors_turns
    return turns(sizes, budget)
