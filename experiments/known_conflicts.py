"""How many bias-conflicting examples are found, where they are known.

    python -m experiments.known_conflicts --train_split='train[:10000]' --out=found.csv

Digits are painted in ten colours, most of each class in its own (Colored MNIST; Nam et
al., NeurIPS 2020), a biased and a debiased network are trained as by
`robustjax find-bias`, and its scores and threshold rules are held against the
colours. Repeats differ in colours, initial weights and order. What is printed are means
over repeats, in percent; the file has a row for each.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from experiments.study.flag_groups import RunFlags
from experiments.study.flags import define_flags, read_config
from experiments.study.launch import launch
from robustjax import checks, corruption, data, scores
from robustjax.methods import bias
from robustjax.output_paths import check_output_file
from robustjax.tools.bias_suspects import judge, quality
from robustjax.tools.command.fields import option
from robustjax.tools.command.output import say
from robustjax.tools.inputs import load
from robustjax.tools.options.groups import SourceFlags
from robustjax.tools.tables import in_file, text_table
from robustjax.training import StopRequest, progress_bar, write_csv

SHOWN = ("auroc", "precision", "recall", "macro_f1")


@dataclasses.dataclass(frozen=True)
class ConflictConfig(RunFlags, SourceFlags):
    """The flags."""

    dataset: str = option("mnist", "Ten classes of grey images: mnist or digits.")
    train_split: str = option("train", "Training split; tfds slices allowed.")
    aligned_percents: tuple[float, ...] = option(
        (95.0, 98.0, 99.0, 99.5), "Shares of images in the colour of their class."
    )
    epochs: tuple[int, ...] = option((5, 20), "Lengths of training.", low=1)
    batch_size: int = option(128, "Examples per training step.", low=1)
    out: str | None = option(None, "Also write every repeat to this CSV file.")


define_flags(ConflictConfig)


def measure(
    biased: data.BiasedDataset,
    key: jax.Array,
    *,
    epochs: int,
    batch_size: int,
    stop: StopRequest | None = None,
) -> Iterator[dict[str, Any]]:
    """A row per score and rule: how well they find who conflicts.

    Args:
      biased: examples of either kind.
      key: PRNG key, of the training.
      epochs: of it.
      batch_size: examples per step.
      stop: checked after every epoch.
    """
    outputs = bias.biased_outputs(
        biased.dataset, key=key, epochs=epochs, batch_size=batch_size, stop=stop
    )
    labels = biased.dataset.labels
    found = scores.bias_conflict_scores(labels, **outputs._asdict())
    for rule in scores.CONFLICT_RULES:
        for name, one in judge(found, labels, rule, "all").items():
            yield {"score": name, "rule": rule, **quality(one, ~biased.is_aligned)}


def main(stop: StopRequest) -> None:
    """Trains at every ratio, and reports."""
    config = read_config(ConflictConfig)
    for percent in config.aligned_percents:
        checks.in_range(
            "aligned_percents", percent, 0, 100, low_open=True, high_open=True
        )
    if config.out is not None:
        check_output_file("out", config.out)
    digits = load(
        config.dataset,
        config.train_split,
        data_dir=config.data_dir,
        image_size=config.image_size,
    )
    for percent in config.aligned_percents:
        # The last ratio must not fail after the trainings of the first.
        with checks.errors_name(aligned_ratio="aligned_percents"):
            corruption.assign_bias(digits.labels, percent / 100, digits.num_classes)
    keys = jax.random.split(jax.random.key(config.seed), (config.repeats, 2))
    rows: list[dict[str, Any]] = []
    places = itertools.product(config.aligned_percents, range(config.repeats))
    trainings = config.repeats * len(config.aligned_percents) * len(config.epochs)
    bar: Any = None
    for percent, repeat in places:
        paint_key, train_key = keys[repeat]
        biased = data.colored_mnist(
            digits, percent / 100, paint_key, assignment="random"
        )
        if bar is None:  # Not before: other images end in one line.
            bar = progress_bar(trainings, "trainings", unit="training")
        for epochs in config.epochs:
            where = {
                "aligned_percent": f"{percent:g}",
                "epochs": epochs,
                "repeat": repeat,
            }
            batch_size = min(config.batch_size, len(digits))
            found = measure(
                biased, train_key, epochs=epochs, batch_size=batch_size, stop=stop
            )
            rows += [where | row for row in found]
            bar.update(1)
    if bar is not None:
        bar.close()
    if config.out is not None:
        write_csv(config.out, ({k: _cell(v) for k, v in row.items()} for row in rows))
    say(_table(rows))


def _cell(value: Any) -> Any:
    return in_file(value) if isinstance(value, float) else value


def _table(rows: list[dict[str, Any]]) -> str:
    """Means over repeats."""
    names = ("aligned_percent", "epochs", "score", "rule")
    cells: dict[tuple[Any, ...], list[list[float]]] = {}
    for row in rows:
        place = tuple(row[name] for name in names)
        cells.setdefault(place, []).append([row[key] for key in SHOWN])
    return text_table(
        ["aligned %", *names[1:], "AUROC", *SHOWN[1:]],
        [
            [str(part) for part in place]
            + [f"{100 * value:.1f}" for value in np.mean(values, axis=0)]
            for place, values in cells.items()
        ],
    )


if __name__ == "__main__":
    launch(main, ConflictConfig)
