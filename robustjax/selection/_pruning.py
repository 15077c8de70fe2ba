"""Data pruning: which part of a noisy data set to keep, by any of a dozen rules.

Prune4ReL (Park et al., NeurIPS 2023) and what it is compared with, behind one call.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from robustjax import arrays, checks, scores
from robustjax.placement import per_example
from robustjax.selection import _pruning_rules as rules
from robustjax.selection._greedy import (
    Progress,
    Selection,
    budget_from_fraction,
    check_picks,
    check_rows,
)
from robustjax.selection._pruning_options import check_pruning_option
from robustjax.selection._pruning_rules import Inputs, Task
from robustjax.sharded_rows import ShardedRows, placed

# Probabilities rounded to float16 still pass.
_SUM_TOLERANCE = 1e-3

_ANY = (("labels",), ("features",), ("probabilities",))
_RANKED = ("none", "even", "proportional")
BALANCE_LABELS = ("given", "predicted", "none")
"""By which labels a budget is shared among classes."""


@dataclasses.dataclass(frozen=True)
class PruningMethod:
    """A way to choose what is kept.

    Attributes:
      rule: `(inputs, task, **options) -> Selection`.
      needs: alternatives, each the names of inputs that suffice; the first that is
        there is used.
      balances: how it can share the budget among classes, the default first.
      draws: whether it needs a PRNG key.
      divides: whether devices can share its work.
    """

    rule: Callable[..., Selection]
    needs: tuple[tuple[str, ...], ...]
    balances: tuple[str, ...] = _RANKED
    draws: bool = False
    divides: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """The names of its own options."""
        parameters = inspect.signature(self.rule).parameters
        return tuple(name for name in parameters if name not in ("inputs", "task"))


_PREDICTED = ("probabilities", "labels")
_EMBEDDED = ("features", "probabilities")

PRUNING_METHODS: Mapping[str, PruningMethod] = types.MappingProxyType(
    {
        "uniform": PruningMethod(rules.uniform, _ANY, draws=True),
        "small_loss": PruningMethod(rules.small_loss, (("losses",), _PREDICTED)),
        "most_confident": PruningMethod(rules.most_confident, (("probabilities",),)),
        "margin": PruningMethod(rules.margin, (("probabilities",),)),
        "k_center": PruningMethod(
            rules.farthest_first, (("features",),), ("none",), divides=True
        ),
        "forgetting": PruningMethod(
            rules.forgetting,
            (("forgetting",),),
            ("proportional", "none", "even"),
        ),
        "grand": PruningMethod(
            rules.grand, (("grand",), ("features", "probabilities", "labels"))
        ),
        "el2n": PruningMethod(rules.el2n, (("el2n",), _PREDICTED)),
        "ssp": PruningMethod(rules.ssp, (("features",),), draws=True, divides=True),
        "moderate": PruningMethod(rules.moderate, (("features", "labels"),)),
        "ccs": PruningMethod(
            rules.ccs, (("hardness",), ("el2n",), _PREDICTED), ("none",), draws=True
        ),
        "prune4rel": PruningMethod(
            rules.confident_neighbors,
            (_EMBEDDED,),
            ("none", "even", "authors"),
            divides=True,
        ),
        "prune4rel_balanced": PruningMethod(
            rules.confident_neighbors, (_EMBEDDED,), ("even", "authors"), divides=True
        ),
    }
)
"""What each method needs and can do, by name."""


def _check_probabilities(probabilities: Any) -> np.ndarray:
    array = scores.check_probabilities(probabilities, name="probabilities")
    sums = array @ np.ones(array.shape[1], array.dtype)
    wrong = np.flatnonzero(np.abs(sums - 1) > _SUM_TOLERANCE)
    if wrong.size:
        row = int(wrong[0])
        raise ValueError(
            f"probabilities: {wrong.size} row(s) do not sum to 1 (first: row {row}, "
            f"{sums[row]:.6g}), expected sums within {_SUM_TOLERANCE:g} of 1"
        )
    return array


def _check_inputs(given: dict[str, Any]) -> Inputs:
    """Raises `ValueError` for arrays that are wrong, each or together."""
    there = {
        name: array
        if isinstance(array, ShardedRows)
        else arrays.numbers(name, array, 2 if name in _EMBEDDED else 1)
        for name, array in given.items()
        if array is not None
    }
    size = checks.same_length(**there)
    if size == 0:
        raise ValueError(f"{next(iter(there))}: got no examples, expected at least 1")
    checked: dict[str, Any] = dict(there)
    if "features" in checked:
        check_rows("features", checked["features"])
    classes = None
    if "probabilities" in checked:
        checked["probabilities"] = _check_probabilities(checked["probabilities"])
        classes = checked["probabilities"].shape[1]
    if "labels" in checked:
        checked["labels"] = checks.labels("labels", checked["labels"], classes)
    if "learned" in checked and checked["learned"].dtype != bool:
        raise ValueError(f"learned: got {checked['learned'].dtype}, expected bool")
    for name in ("losses", "el2n", "grand", "forgetting", "hardness"):
        if name in checked:
            checks.finite(name, checked[name])
    return Inputs(size, **checked)


def _check_needs(method: str, given: Mapping[str, Any]) -> None:
    """Raises `ValueError` naming what a method needs and has not been given."""
    there = {name for name, array in given.items() if array is not None}
    needs = PRUNING_METHODS[method].needs
    if any(there.issuperset(names) for names in needs):
        return
    wanted = ", or ".join(" and ".join(names) for names in needs)
    got = ", ".join(name for name in given if name in there) or "nothing"
    raise ValueError(f"method: {method!r} got {got}, expected {wanted}")


def check_pruning(
    method: str,
    *,
    balance: str | None = None,
    balance_labels: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Checks names and options before any data is there.

    Args:
      method: one of `PRUNING_METHODS`.
      balance: one of the method's, or None for its default.
      balance_labels: one of `BALANCE_LABELS`, or None for given labels wherever the
        balance needs some.
      options: its own options.

    Returns:
      The balance: with labels to balance by, the method's default, or "even" where
      that is "none".

    Raises:
      ValueError: an unknown method or balance, an option that it does not have, or one
        outside its range.
    """
    checks.one_of("method", method, PRUNING_METHODS)
    chosen = PRUNING_METHODS[method]
    if balance_labels is not None:
        checks.one_of("balance_labels", balance_labels, BALANCE_LABELS)
        if balance is not None and (balance == "none") != (balance_labels == "none"):
            raise ValueError(
                f"balance_labels: got {balance_labels!r} with balance={balance!r}, "
                "expected none with none alone"
            )
    if balance is None:
        balance = chosen.balances[0]
        if balance_labels == "none":
            balance = "none"
        elif balance_labels is not None and balance == "none":
            balance = "even"
    if balance not in chosen.balances:
        raise ValueError(
            f"balance: got {balance!r}, expected {' or '.join(chosen.balances)} with "
            f"method={method!r}"
        )
    for name, value in (options or {}).items():
        if name not in chosen.options:
            known = ", ".join(chosen.options) or "none"
            raise ValueError(
                f"{name}: not an option of method={method!r}; its options: {known}"
            )
        check_pruning_option(name, value)
    return balance


def select(
    features: Any,
    probabilities: Any,
    labels: Any,
    fraction: float,
    method: str = "prune4rel",
    *,
    balance: str | None = None,
    balance_labels: str | None = None,
    key: jax.Array | None = None,
    losses: Any = None,
    el2n: Any = None,
    grand: Any = None,
    forgetting: Any = None,
    learned: Any = None,
    hardness: Any = None,
    mesh: Mesh | None = None,
    on_progress: Progress | None = None,
    **options: Any,
) -> Selection:
    """Selects `round(N fraction)` examples to keep, by one of `PRUNING_METHODS`.

    What is kept, what for, and the gains:
      * `uniform`: random examples. Any input, and a key; 0.
      * `small_loss`: the smallest cross-entropies of given labels. `losses`, or
        probabilities and labels; the losses.
      * `most_confident`: the largest confidences, whatever the given label.
        Probabilities; the confidences.
      * `margin`: the smallest differences of the two largest probabilities.
        Probabilities; the differences.
      * `k_center`: the farthest first. Features; distances, see `k_center`.
      * `forgetting`: the most forgetting events, class by class. `forgetting` and
        labels; the events.
      * `grand`: the largest gradient norms. `grand`, or of the last layer from
        features, probabilities and labels; the norms.
      * `el2n`: the largest error norms. `el2n`, or probabilities and labels; the
        norms.
      * `ssp`: the farthest from their k-means prototypes. Features and a key; the
        distances.
      * `moderate`: the middle of the sorted distances to the median of the given
        class, as many cut off below as above. Features and labels; the distances.
      * `ccs`: all strata of hardness but the hardest examples. `hardness`, or `el2n`,
        or probabilities and labels, and a key; the hardness.
      * `prune4rel`: confident neighbours for as many as possible. Features and
        probabilities; see `prune4rel`.
      * `prune4rel_balanced`: the same, one class after the other. Labels, too.

    Options of a method are keyword arguments:
      * `forgetting`: `never_learned`, "most" (Toneva et al., 2019; needs `learned`)
        or "least", as in the published comparison, where such examples have 0 events.
      * `ssp`: `clusters`, by default the number of classes; `keep`, "hard" (far from
        the prototypes: what Sorscher et al., 2022, keep of large data sets, and what
        agrees with the published shares of wrong labels) or "easy" (what the text of
        the comparison says); `metric`, "cosine" or "euclidean".
      * `ccs`: `strata` and `hard_cutoff`, see `coverage_centric`.
      * `most_confident`: `confidence`, see `confidence_of`.
      * `prune4rel`, `prune4rel_balanced`: `confidence` ("max_prob" or "diff_prob"),
        `threshold`, `temperature`, `objective`, `similarity`, `ranking`, see
        `prune4rel`.

    Where public code of the comparison (kaist-dmlab/Prune4Rel, DeepCore) differs:
    its Margin has to be asked for by flag, and DeepCore's picks the most confident
    examples; its GraNd scores are divided by the batch size, so that a smaller last
    batch gets larger ones, and its repeats go on with one network; its Forgetting
    rounds every class by itself, which need not meet the budget.

    `balance` shares the budget among classes: "none", "even", "proportional" (see
    `ranking.rank_by_class`), or for Prune4ReL "authors". Where a class holds fewer
    examples than its even share it gives all of them, and the other classes give
    equally more. By default Forgetting is proportional, Prune4ReL balanced is even,
    and the others look at no class. `balance_labels` says by which labels: "given",
    which may be wrong, or "predicted", the class of the largest probability; a class
    that is given or predicted to no example gives nothing.

    Args:
      features: (N, d) finite floats, or None; no row zero for Prune4ReL and SSP. Of a
        JAX array that devices hold in parts of rows these stay there with `k_center`,
        `ssp` and Prune4ReL. Where several processes have them all call; of the other
        arrays, which may be divided likewise, each then gets all rows.
      probabilities: (N, C) floats whose rows sum to 1 within 0.001, or None.
      labels: (N,) given labels in 0 … C-1, or None.
      fraction: of the examples to keep, in (0, 1].
      method: its name.
      balance: one of the method's; by default its own.
      balance_labels: "given" or "predicted" balances by these labels, evenly if the
        method's own balance is "none"; "none" does not balance. By default by given
        labels if the balance needs some.
      key: of random draws; if given, exact ties are broken at random, too, and
        otherwise go to the lowest index (k-center then starts with example 0).
      losses: (N,) cross-entropies of the given labels.
      el2n: (N,) as recorded in training.
      grand: (N,) gradient norms, say means over several networks.
      forgetting: (N,) forgetting events.
      learned: (N,) bool, whether an example was ever classified correctly.
      hardness: (N,) score for `ccs`, high for hard examples.
      mesh: devices among which the examples are divided by `k_center`, `ssp` and
        Prune4ReL, see these; the other methods compare no examples.
      on_progress: called with the picks made and the budget by `k_center` and
        Prune4ReL, which take long.
      **options: of the method.

    Returns:
      `Selection`: global indices in order of selection. The objective is the sum of
      the gains, but for `k_center` its radius and for Prune4ReL the value of Eq. 5.8.
      With every method but `ccs` the selection at a smaller fraction is the
      beginning of that at a larger one.

    Raises:
      ValueError: an unknown name, a fraction out of range, NaN, rows that are no
        distribution, zero rows, labels out of range, different lengths, inputs or a
        key that the method needs and were not given, a mesh for a method that does
        not divide its work, or of other devices than hold the features; features that
        processes divide, for such a method or otherwise than by rows.

    Example:
      >>> import numpy as np
      >>> from robustjax import selection
      >>> rng = np.random.default_rng(0)
      >>> features = rng.normal(size=(50, 8))
      >>> probabilities = rng.dirichlet(np.ones(3), size=50)
      >>> labels = rng.integers(0, 3, 50)
      >>> kept = selection.select(features, probabilities, labels, 0.2, "margin")
      >>> len(kept.indices)
      10
    """
    balance = check_pruning(
        method, balance=balance, balance_labels=balance_labels, options=options
    )
    checks.in_range("fraction", fraction, 0, 1, low_open=True)
    given = {
        "features": features,
        "probabilities": probabilities,
        "labels": labels,
        "losses": losses,
        "el2n": el2n,
        "grand": grand,
        "forgetting": forgetting,
        "learned": learned,
        "hardness": hardness,
    }
    _check_needs(method, given)
    by_prediction = balance_labels == "predicted"
    if balance != "none" and (probabilities if by_prediction else labels) is None:
        name = "probabilities" if by_prediction else "labels"
        what = "those that predict classes" if by_prediction else "given labels"
        raise ValueError(
            f"{name}: got None, expected {what} with method={method!r} and "
            f"balance={balance!r}"
        )
    chosen = PRUNING_METHODS[method]
    if mesh is not None and not chosen.divides:
        able = ", ".join(name for name, one in PRUNING_METHODS.items() if one.divides)
        raise ValueError(f"mesh: got one with method={method!r}, expected {able}")
    if chosen.draws and key is None:
        raise ValueError(
            f"key: got None, expected a PRNG key, by which method={method!r} draws"
        )
    # In one order: of several processes all are to meet at the same array.
    for name in given:
        if name != "features":
            given[name] = per_example(given[name])
    if chosen.divides:
        _, given["features"] = placed("features", features, mesh)
    inputs = _check_inputs(given)
    classes = inputs.labels
    if by_prediction:
        classes = inputs.probabilities.argmax(axis=1).astype(np.int32)
    inputs = dataclasses.replace(inputs, classes=classes)
    budget = budget_from_fraction(fraction, inputs.size)
    found = chosen.rule(
        inputs, Task(budget, balance, key, mesh, on_progress), **options
    )
    check_picks(found.indices, inputs.size)
    return found
