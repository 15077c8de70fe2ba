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
from absl import flags

from experiments.common import config_flags
from experiments.common.config_flags import option
from experiments.common.inputs import load_labeled
from experiments.common.launch import launch
from robustjax import checks, data, methods
from robustjax.methods.label_correction import Arm
from robustjax.output_paths import check_output_folder
from robustjax.training import StopRequest, advance, progress_bar


@dataclasses.dataclass(frozen=True)
class CurationConfig:
    """The flags."""

    dataset: str | None = option(
        None, "An .npz file of inputs or features, an image folder, or a tfds name."
    )
    split: str = option("train", "Its split.")
    data_dir: str | None = option(None, "tfds folder; $ROBUSTJAX_DATA/tfds if set.")
    image_size: int | None = option(None, "Resize images of a folder to this size.")
    labels: str | None = option(
        None, "CSV with columns id and label: the labels to correct, if elsewhere."
    )
    standardize: bool = option(False, "Give inputs zero mean and unit deviation.")
    folder: str | None = option(None, "Where questions, answers and labels live.")
    batch: int = option(100, "Questions at a time, at most all.")
    method: str = option("alc", "Which examples to ask about.")
    noise_rate: float | None = option(
        None, "The known or estimated share of wrong labels; only o2u_net needs it."
    )
    hidden: tuple[int, ...] = option((256, 256, 256), "Widths of the hidden layers.")
    epochs: int = option(20, "Epochs per round.")
    batch_size: int = option(128, "Examples per training step.")
    learning_rate: float = option(0.01, "Initial learning rate.")
    seed: int = option(0, "Of everything.")


config_flags.define_flags(CurationConfig)


def _make_arm(config: CurationConfig) -> Arm | None:
    """The method, or None for the default one."""
    checks.one_of("method", config.method, methods.ARM_NAMES)
    if config.noise_rate is not None:
        checks.in_range(
            "noise_rate", config.noise_rate, 0, 1, low_open=True, high_open=True
        )
    if config.method == "alc":
        return None
    options = methods.ArmOptions(noise_rate=config.noise_rate)
    return methods.make_arm(config.method, options)


def main(stop: StopRequest) -> None:
    """Takes in what was answered, and asks on."""
    config = config_flags.read_config(CurationConfig, {}, None, flags.FLAGS)
    for name in ("dataset", "folder"):
        if getattr(config, name) is None:
            raise ValueError(f"{name}: got nothing, expected --{name}=…")
    assert config.dataset is not None
    assert config.folder is not None
    arm = _make_arm(config)
    check_output_folder("folder", config.folder)
    dataset = load_labeled(
        config.dataset,
        config.split,
        data_dir=config.data_dir,
        image_size=config.image_size,
        label_file=config.labels,
    )
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
        arm=arm,
        settings=methods.ClassifierSettings(
            hidden=config.hidden,
            epochs=config.epochs,
            batch_size=min(config.batch_size, len(dataset)),
            learning_rate=config.learning_rate,
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
    print(f"{len(dataset):,} examples, {changed:,} labels changed so far")
    if pending is None:
        skipped = int(np.sum(exchange.status == "skipped"))
        print(
            f"every example has been asked about ({skipped:,} were left blank); the "
            f"labels are in {exchange.folder / 'labels.csv'}"
        )
        return
    print(
        f"round {pending.round_number}: fill the column new_label of {pending.asked} "
        f"({pending.questions} questions), save it as {pending.answers}, and run the "
        "same command again"
    )


if __name__ == "__main__":
    launch(main)
