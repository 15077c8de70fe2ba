"""In which order `correct` asks, where nobody says: by how many labels seem wrong.

Where few are wrong, what matters is to find them: the ranking under cross-validation,
whose networks have not seen the label. Where many are, any rule finds them, and the
robust training of ALC learns more from the answers (measured in docs/answering.md).
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax

from robustjax import data, scores
from robustjax.files import write_atomically
from robustjax.methods import ClassifierSettings
from robustjax.methods._exchange_folder import is_claimed
from robustjax.methods.label_correction import (
    CorrectionMethod,
    EpochReport,
    LabelIssues,
    cross_validated_probabilities,
)
from robustjax.training import StopRequest

_FILE = "order.json"
_FOLDS = 5
# By confident learning's estimate: see docs/answering.md.
MANY_WRONG = 0.3


class Order(NamedTuple):
    """What was chosen, and why.

    Attributes:
      method: "label_issues" or "alc".
      noise_rate: the estimated share of wrong labels.
    """

    method: str
    noise_rate: float

    def __str__(self) -> str:
        """A sentence."""
        side = "below" if self.method == "label_issues" else "at least"
        other = "alc" if self.method == "label_issues" else "label_issues"
        return (
            f"about {self.noise_rate:.0%} of the labels seem wrong, {side} "
            f"{MANY_WRONG:.0%}: asks in the order of {self.method} (--method={other} "
            "in another folder for the other one)"
        )


def order_for(noise_rate: float) -> Order:
    """The order that suits an estimated share of wrong labels, in [0, 1]."""
    method = "label_issues" if noise_rate < MANY_WRONG else "alc"
    return Order(method, noise_rate)


def choose_order(
    folder: pathlib.Path,
    dataset: data.Dataset,
    settings: ClassifierSettings,
    seed: int,
    *,
    on_epoch: EpochReport,
    report: Callable[[str], None],
    stop: StopRequest,
) -> CorrectionMethod | None:
    """The method of a folder: chosen when it is begun, and kept.

    Args:
      folder: of the exchange; made if missing.
      dataset: with the labels as they were given.
      settings: of the classifier.
      seed: of the estimate.
      on_epoch: called while the estimate trains.
      report: called with a sentence on the choice.
      stop: checked after every epoch.

    Returns:
      The method; None for ALC as `LabelExchange` makes it.

    Raises:
      ValueError: a folder that was begun with a method of the user's, or a damaged
        record of the choice.
    """
    path = folder / _FILE
    if path.exists():
        order = _read(path)
    elif is_claimed(folder):
        raise ValueError(
            f"method: got nothing, but {str(folder)!r} was begun with --method or "
            "--scores; give the same"
        )
    else:
        order = order_for(
            _estimate(dataset, settings, seed, on_epoch=on_epoch, stop=stop)
        )
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(order._asdict()) + "\n")
    report(str(order))
    if order.method == "alc":
        return None
    return LabelIssues(folds=min(_FOLDS, len(dataset)))


def _read(path: pathlib.Path) -> Order:
    try:
        found = json.loads(path.read_text("utf-8"))
        order = Order(str(found["method"]), float(found["noise_rate"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"folder: {str(path)!r} cannot be read ({error})") from None
    if order.method not in ("label_issues", "alc"):
        raise ValueError(f"folder: {str(path)!r} names no method of ours")
    return order


def _estimate(
    dataset: data.Dataset,
    settings: ClassifierSettings,
    seed: int,
    *,
    on_epoch: EpochReport,
    stop: StopRequest,
) -> float:
    folds = min(_FOLDS, len(dataset))
    # No batch is larger than the smallest training set.
    seen = len(dataset) - -(-len(dataset) // folds)
    probabilities = cross_validated_probabilities(
        dataset,
        key=jax.random.key(seed),
        folds=folds,
        settings=dataclasses.replace(
            settings, batch_size=min(settings.batch_size, seen)
        ),
        on_epoch=on_epoch,
        stop=stop,
    )
    return scores.estimated_noise_rate(dataset.labels, probabilities)
