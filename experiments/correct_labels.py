"""Correct the labels of your own data set, with you as the oracle.

    python -m experiments.correct_labels --dataset=features.npz --folder=correction

trains on the labels as they are and writes `correction/to_label.csv`: the examples
to look at next. Fill its column `new_label` (leave blank what you cannot decide: it
keeps its label and is not asked about again), save it as `correction/labeled.csv`, and
run the same command again: it takes your answers in, retrains, and asks the next
questions. `correction/labels.csv` always holds the labels so far.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from experiments.common.inputs import load_labeled
from experiments.study.choice import choose
from experiments.study.flag_groups import (
    MlpFlags,
    OwnLabelFlags,
    SeedFlags,
    TrainingFlags,
)
from experiments.study.flags import define_flags, option, read_config
from experiments.study.launch import launch
from experiments.study.output import say
from robustjax import checks, data, methods
from robustjax.methods.label_correction import CorrectionMethod
from robustjax.output_paths import check_output_folder
from robustjax.training import StopRequest, advance, progress_bar


@dataclasses.dataclass(frozen=True)
class CurationConfig(SeedFlags, TrainingFlags, MlpFlags, OwnLabelFlags):
    """The flags."""

    hidden: tuple[int, ...] = (256, 256, 256)
    epochs: int = 20
    learning_rate: float = 0.01
    folder: str | None = option(None, "Where questions, answers and labels live.")
    batch: int = option(100, "Questions at a time, at most all.")
    method: str = option("alc", "Which examples to ask about.")
    options: tuple[str, ...] = option(
        (), "Of the method, such as weight_step=0.2; o2u_net needs a noise_rate."
    )


define_flags(CurationConfig)


def _make_method(config: CurationConfig) -> CorrectionMethod | None:
    """The method, or None for the default one.

    Raises:
      ValueError: an unknown method or option, or one that is missing or out of range.
    """
    known = methods.entries("label_correction")
    checks.one_of("method", config.method, [entry.name for entry in known])
    choice = choose([config.method], known, (), config.options)
    values = choice.values[config.method]
    if config.method == "alc" and not values:
        return None
    # Here no noise is measured that could stand in for what must be known.
    return methods.make_correction_method(config.method, **values)


def main(stop: StopRequest) -> None:
    """Takes in what was answered, and asks on."""
    config = read_config(CurationConfig)
    for name in ("dataset", "folder"):
        if getattr(config, name) is None:
            raise ValueError(f"{name}: got nothing, expected --{name}=…")
    assert config.folder is not None
    method = _make_method(config)
    check_output_folder("folder", config.folder)
    dataset = load_labeled(config)
    if config.standardize:
        (dataset,) = data.standardize(dataset)
    bar: Any = None

    def on_epoch(kind: str, epoch: int, metrics: dict[str, np.ndarray]) -> None:
        nonlocal bar
        del kind, epoch, metrics
        if bar is None:  # Not before: faulty files end in one line.
            bar = progress_bar(config.epochs, "training", unit="epoch")
        advance(bar)
        # What was answered is saved by now; the round begins anew next time.
        stop.check()

    exchange = methods.LabelExchange(
        config.folder,
        dataset,
        batch=min(config.batch, len(dataset)),
        method=method,
        settings=methods.ClassifierSettings(
            hidden=config.hidden,
            epochs=config.epochs,
            batch_size=min(config.batch_size, len(dataset)),
            learning_rate=config.learning_rate,
            dtype=config.dtype,
        ),
        seed=config.seed,
        on_epoch=on_epoch,
    )
    try:
        pending = exchange.advance()
    finally:
        if bar is not None:
            bar.close()
    changed = int(np.sum(exchange.labels != dataset.labels))
    say(f"{len(dataset):,} examples, {changed:,} labels changed so far")
    if pending is None:
        skipped = int(np.sum(exchange.status == "skipped"))
        say(
            f"every example has been asked about ({skipped:,} were left blank); the "
            f"labels are in {exchange.folder / 'labels.csv'}"
        )
        return
    say(
        f"round {pending.round_number}: fill the column new_label of {pending.asked} "
        f"({pending.questions} questions), save it as {pending.answers}, and run the "
        "same command again"
    )


if __name__ == "__main__":
    launch(main, CurationConfig)
