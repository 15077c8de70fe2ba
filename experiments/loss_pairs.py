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
labels that the network predicts. Rows of other heads and optimisers stay in the file,
which has rows of one number of images, epochs and repeats and of one seed alone.
"""

from __future__ import annotations

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.studies.label_noise.pairs import (
    HEADS,
    NOISE_RATE,
    OPTIMIZERS,
    PARTNERS,
    SETTINGS,
    check_settings,
    keep_settings,
    make_chain,
    train_pair,
    write_rows,
)
from experiments.study.decoded_cache import define_no_cache
from experiments.study.launch import launch
from experiments.study.numbers import Measure, in_cell
from robustjax import checks, corruption
from robustjax.output_paths import check_output_folder
from robustjax.tools.command.output import say
from robustjax.tools.inputs import load_splits
from robustjax.tools.tables import text_table
from robustjax.training import StopRequest

_SHARE = Measure("share", "of all")

define_no_cache()
_PARTNERS = flags.DEFINE_list("partner", list(PARTNERS), ", ".join(PARTNERS) + ".")
_HEADS = flags.DEFINE_list("head", list(HEADS), ", ".join(HEADS) + ".")
_OPTIMIZERS = flags.DEFINE_list(
    "optimizer", ["adam", "sgd"], ", ".join(OPTIMIZERS) + " (SGD 0.1 with 0.9)."
)
_OUT = flags.DEFINE_string("out_dir", "runs/loss_pairs", "Where the CSV files go.")
_EXAMPLES = flags.DEFINE_integer(
    "examples", SETTINGS["examples"], "Training images.", lower_bound=1
)
_EPOCHS = flags.DEFINE_integer("epochs", SETTINGS["epochs"], "Epochs.", lower_bound=1)
_REPEATS = flags.DEFINE_integer(
    "repeats", SETTINGS["repeats"], "Repeats.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", SETTINGS["seed"], "Of everything.")


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
    numbers = (_EXAMPLES, _EPOCHS, _REPEATS, _SEED)
    settings = {flag.name: flag.value for flag in numbers}
    check_settings(pathlib.Path(_OUT.value), settings)
    train, test = load_splits(
        "mnist",
        f"train[:{_EXAMPLES.value}]",
        "test",
        data_dir=None,
        image_size=0,
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
    keep_settings(out, settings)
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
                cells.append(in_cell(np.array([one.accuracy for one in found]), _SHARE))
                classes.append("/".join(str(one.classes) for one in found))
                share = in_cell(np.array([one.memorised for one in found]), _SHARE)
                memorised.append(share)
            line = [partner, head, *cells, " ".join(classes), " ".join(memorised)]
            table.append(line)
            say("  ".join(line))
        write_rows(out / f"{partner}.csv", rows)
    say(f"\n{text_table(header, table)}")


if __name__ == "__main__":
    launch(main)
