"""Pairs of a head and its partner: what they are, and training one of them."""

from __future__ import annotations

import csv
import io
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import robustjax as rj
from robustjax.data import Dataset
from robustjax.files import write_atomically
from robustjax.models import MLP
from robustjax.training import Program, choose_execution, fit, supervised

NOISE_RATE, HIDDEN, BATCH, Q = 0.5, (128,), 128, 0.7
SETTINGS = {"examples": 5000, "epochs": 20, "repeats": 3, "seed": 0}
"""By flag, what all rows of a folder have in common; with the study's own values."""

OPTIMIZERS = {
    "adam": lambda: optax.adam(1e-3),
    "sgd": lambda: optax.sgd(0.1),
    "momentum": lambda: optax.sgd(0.1, momentum=0.9),
}

# From the true transition matrix; what rewrites labels stands before the head.
HEADS: dict[str, Callable[[jax.Array], tuple[rj.LossTransform, ...]]] = {
    "ce": lambda T: (rj.ce(),),
    "smoothed_ce": lambda T: (rj.label_smoothing(0.1), rj.ce()),
    "mae": lambda T: (rj.mae(),),
    "gce": lambda T: (rj.gce(Q),),
    "truncated_gce": lambda T: (rj.truncated_gce(Q),),
    "truncated_gce_from_8": lambda T: (rj.truncated_gce(Q, start_epoch=8),),
    "symmetric_ce": lambda T: (rj.symmetric_ce(),),
    "nce": lambda T: (rj.nce(),),
    "ngce": lambda T: (rj.ngce(Q),),
    "active_passive": lambda T: (rj.active_passive(),),
    "bootstrap_soft": lambda T: (rj.bootstrap(),),
    "bootstrap_hard": lambda T: (rj.bootstrap(hard=True),),
    "forward_correction": lambda T: (rj.forward_correction(T),),
    "backward_correction": lambda T: (rj.backward_correction(T),),
    "sop": lambda T: (rj.sop(),),
}

# What stands before the head, after labels are rewritten, and what stands behind it.
# 0.6 is 3 times C^-q: what GCE's gradient is of CE's where all classes are as likely.
PARTNERS: dict[
    str, Callable[[], tuple[tuple[rj.LossTransform, ...], tuple[rj.LossTransform, ...]]]
] = {
    "none": lambda: ((), ()),
    "elr_3": lambda: ((), (rj.elr(3.0, 0.7),)),
    "elr_1": lambda: ((), (rj.elr(1.0, 0.7),)),
    "elr_0.6": lambda: ((), (rj.elr(3.0 * 10.0**-Q, 0.7),)),
    "alpha_weights": lambda: ((rj.alpha_weights(),), ()),
    "clean_probability": lambda: ((rj.clean_probability(5),), ()),
    "small_loss": lambda: (
        (),
        (rj.small_loss(rj.forget_rate_schedule(NOISE_RATE, 10)),),
    ),
}


class Measured(NamedTuple):
    """What one repeat reached.

    Attributes:
      accuracy: share of right predictions on the test images.
      classes: how many classes make up at least 1 % of these predictions.
      memorised: share of the wrong training labels that the network predicts; NaN where
        no label is wrong.
    """

    accuracy: float
    classes: int
    memorised: float


def make_chain(head: str, partner: str, transition: jax.Array) -> rj.LossTransform:
    """The chain of a head and its partner, both by name."""
    *labels, values = HEADS[head](transition)
    before, after = PARTNERS[partner]()
    return rj.chain(*labels, *before, values, *after)


def train_pair(
    tx: rj.LossTransform,
    optimizer: optax.GradientTransformation,
    train: Dataset,
    test: Dataset,
    given: np.ndarray,
    *,
    epochs: int,
    key: jax.Array,
) -> list[Measured]:
    """Trains all repeats of one pair as one program.

    Args:
      tx: the whole loss.
      optimizer: of the network.
      train: N images with their true labels.
      test: what accuracy is measured on.
      given: (R, N) noisy labels.
      epochs: how many.
      key: of the initial weights and the order.

    Returns:
      One measurement per repeat.
    """
    classes = train.num_classes
    program = Program(
        supervised(MLP(classes, HIDDEN), tx, optimizer),
        rj.ExampleSpec(len(train), classes),
        batch_size=BATCH,
        execution=choose_execution(convolutional=False),
    )
    data = program.make_data(train.inputs, given)
    state = program.init(jax.random.split(key, len(given)), data.inputs)
    state = fit(program, state, data, epochs=epochs)
    on_test = np.asarray(program.predict(state, jnp.asarray(test.inputs))).argmax(-1)
    on_train = np.asarray(program.predict(state, data.inputs)).argmax(-1)
    found = []
    for tested, trained, labels in zip(on_test, on_train, given):
        counts = np.bincount(tested, minlength=classes)
        repeated = (trained == labels)[labels != train.labels]
        found.append(
            Measured(
                float((tested == test.labels).mean()),
                int((counts >= 0.01 * len(test)).sum()),
                float(repeated.mean()) if len(repeated) else float("nan"),
            )
        )
    return found


_COLUMNS = ("head", "optimizer", "repeat", *Measured._fields)
_KEPT = "settings.json"


def check_settings(folder: pathlib.Path, settings: Mapping[str, int]) -> None:
    """Raises `ValueError` where a folder's rows, which stay, are of other settings.

    Args:
      folder: of CSV files; of those without `settings.json`, which they had before
        there was one, the settings are the study's own.
      settings: see `SETTINGS`.
    """
    path = folder / _KEPT
    found = SETTINGS if any(folder.glob("*.csv")) else settings
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if found.get(name) != value:
            raise ValueError(
                f"{name}: got {value} for {str(folder)!r}, whose rows are with "
                f"{found.get(name)}; pass another --out_dir"
            )


def keep_settings(folder: pathlib.Path, settings: Mapping[str, int]) -> None:
    """Writes down what `check_settings` looks for."""
    write_atomically(folder / _KEPT, json.dumps(dict(settings)) + "\n")


def write_rows(path: pathlib.Path, rows: Sequence[Sequence[str]]) -> None:
    """Writes the rows over those of the same head and optimiser, in a fixed order."""
    kept: list[list[str]] = []
    if path.exists():
        with path.open(newline="") as stream:
            kept = list(csv.reader(stream))[1:]
    new = {tuple(row[:2]) for row in rows}
    merged = [row for row in kept if tuple(row[:2]) not in new] + [*map(list, rows)]
    heads, optimizers = list(HEADS), list(OPTIMIZERS)
    merged.sort(key=lambda r: (heads.index(r[0]), optimizers.index(r[1]), int(r[2])))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(merged)
    write_atomically(path, text.getvalue())
