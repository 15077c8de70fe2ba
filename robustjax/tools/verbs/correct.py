"""Corrects labels with a person as the oracle: the verb `correct`."""

from __future__ import annotations

import numpy as np

from robustjax import data, methods
from robustjax.methods.label_correction import CorrectionMethod
from robustjax.output_paths import check_output_folder
from robustjax.tools.classifier_settings import classifier_settings
from robustjax.tools.command.fields import need_options
from robustjax.tools.command.output import say
from robustjax.tools.given_scores import read_order
from robustjax.tools.inputs import load_labeled
from robustjax.tools.method_choice import choose
from robustjax.tools.options.correct import CorrectConfig
from robustjax.tools.pages import check_page, now, write_questions
from robustjax.training import LateBar, StopRequest


def _make_method(config: CorrectConfig) -> CorrectionMethod | None:
    """The method, or None for the default one.

    Raises:
      ValueError: an unknown method or option, or one that is missing or out of range.
    """
    known = methods.entries("label_correction")
    choice = choose([config.method], known, (), config.options)
    values = choice.values[config.method]
    if config.method == "alc" and not values:
        return None
    # Here no noise is measured that could stand in for what must be known.
    return methods.make_correction_method(config.method, **values)


def main(config: CorrectConfig, stop: StopRequest) -> None:
    """Takes in what was answered, and asks on."""
    need_options(config, "dataset", "folder")
    assert config.folder is not None
    default = CorrectConfig()
    if config.scores is not None and config.method != default.method:
        raise ValueError(f"method: got {config.method} beside --scores, expected one")
    if config.scores is not None and config.options:
        raise ValueError("options: --scores has none")
    method = _make_method(config)
    check_output_folder("folder", config.folder)
    check_page(config)
    shown = dataset = load_labeled(config, say)
    if config.scores is not None:
        method = read_order(config.scores, dataset)
    if config.standardize:
        (dataset,) = data.standardize(dataset)
    bar = LateBar("training", unit="epoch")

    def on_epoch(kind: str, epoch: int, metrics: dict[str, np.ndarray]) -> None:
        del kind, epoch, metrics
        bar.advance(config.epochs)
        # What was answered is saved by now; the round begins anew next time.
        stop.check()

    exchange = methods.LabelExchange(
        config.folder,
        dataset,
        batch=min(config.batch, len(dataset)),
        method=method,
        settings=classifier_settings(config, config, len(dataset)),
        seed=config.seed,
        on_epoch=on_epoch,
        report=say,
    )
    with bar:
        pending = exchange.advance(amend=config.amend, now=now())
    changed = int(np.sum(exchange.labels != dataset.labels))
    say(f"{len(dataset):,} examples, {changed:,} labels changed so far")
    write_questions(config, exchange, shown, pending, exchange.labels)
    if pending is None:
        status = exchange.status
        undecided = int(np.sum(~np.isin(status, ("confirmed", "corrected"))))
        say(
            f"every example was answered ({undecided:,} of them by no class); the "
            f"labels are in {exchange.folder / 'labels.csv'}"
        )
