"""Which heads and partners fit together? Every pair trained on noisy MNIST.

A chain may join any head with ELR, with weights or with a selection of small losses,
and most such pairs were never published. This study trains them all alike:

    python -m experiments.loss_pairs --partner=none,elr_3

The first 5,000 MNIST images, half of their labels redrawn (never to the true class), a
perceptron with one hidden layer of 128, batches of 128, 20 epochs at a constant rate:
Adam 1e-3 and plain SGD 0.1. Three repeats differ in noise, initial weights and order.
It prints means and writes `<out_dir>/<partner>.csv` with what every repeat reached
after the last epoch: test accuracy, the number of classes that make up at least 1 % of
the predictions for the test images (1 to 3 is a collapse), and the share of wrong
labels that the network predicts. Rows of other heads and optimisers stay in the file.
"""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

import robustjax as rj
from experiments.common.inputs import load_splits
from experiments.common.launch import launch
from experiments.common.tables import percent, text_table
from robustjax import checks, corruption
from robustjax.data import Dataset
from robustjax.files import write_atomically
from robustjax.models import MLP
from robustjax.output_paths import check_output_folder
from robustjax.training import Program, StopRequest, choose_execution, fit, supervised

NOISE_RATE, HIDDEN, BATCH, Q = 0.5, (128,), 128, 0.7

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

_PARTNERS = flags.DEFINE_list("partner", list(PARTNERS), ", ".join(PARTNERS) + ".")
_HEADS = flags.DEFINE_list("head", list(HEADS), ", ".join(HEADS) + ".")
_OPTIMIZERS = flags.DEFINE_list(
    "optimizer", ["adam", "sgd"], ", ".join(OPTIMIZERS) + " (SGD 0.1 with 0.9)."
)
_OUT = flags.DEFINE_string("out_dir", "runs/loss_pairs", "Where the CSV files go.")
_EXAMPLES = flags.DEFINE_integer("examples", 5000, "Training images.")
_EPOCHS = flags.DEFINE_integer("epochs", 20, "Epochs.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Repeats.")
_SEED = flags.DEFINE_integer("seed", 0, "Of everything.")


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


def main(stop: StopRequest) -> None:
    """Trains every pair asked for, and reports."""
    for flag, known in (
        (_PARTNERS, PARTNERS),
        (_HEADS, HEADS),
        (_OPTIMIZERS, OPTIMIZERS),
    ):
        for value in flag.value:
            checks.one_of(flag.name, value, known)
    check_output_folder("out_dir", _OUT.value)
    train, test = load_splits(
        "mnist",
        f"train[:{_EXAMPLES.value}]",
        "test",
        data_dir=None,
        image_size=None,
    )
    noise_key, run_key = jax.random.split(jax.random.key(_SEED.value))
    drawn = [
        corruption.symmetric(
            key,
            jnp.asarray(train.labels),
            NOISE_RATE,
            train.num_classes,
            include_true=False,
        )
        for key in jax.random.split(noise_key, _REPEATS.value)
    ]
    given = np.stack([np.asarray(noisy.labels) for noisy in drawn])
    transition = drawn[0].transition
    assert transition is not None
    out = pathlib.Path(_OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    header = ["partner", "head", *_OPTIMIZERS.value, "classes", "memorised"]
    table = []
    for partner in _PARTNERS.value:
        rows: list[list[str]] = []
        for head in _HEADS.value:
            cells, classes, memorised = [], [], []
            for optimizer in _OPTIMIZERS.value:
                found = train_pair(
                    make_chain(head, partner, transition),
                    OPTIMIZERS[optimizer](),
                    train,
                    test,
                    given,
                    epochs=_EPOCHS.value,
                    key=run_key,
                )
                stop.check()
                rows += [
                    [
                        head,
                        optimizer,
                        str(repeat),
                        f"{one.accuracy:.4f}",
                        str(one.classes),
                        f"{one.memorised:.4f}",
                    ]
                    for repeat, one in enumerate(found)
                ]
                cells.append(percent(np.array([one.accuracy for one in found])))
                classes.append("/".join(str(one.classes) for one in found))
                share = percent(np.array([one.memorised for one in found]))
                memorised.append(share)
            line = [partner, head, *cells, " ".join(classes), " ".join(memorised)]
            table.append(line)
            print("  ".join(line), flush=True)
        write_rows(out / f"{partner}.csv", rows)
    print(f"\n{text_table(header, table)}")


if __name__ == "__main__":
    launch(main)
