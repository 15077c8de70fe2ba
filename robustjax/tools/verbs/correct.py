"""Corrects labels with a person as the oracle: the verb `correct`."""

from __future__ import annotations

import pathlib

import numpy as np

from robustjax import data, methods
from robustjax.methods.label_correction import CorrectionMethod, LabelIssues
from robustjax.output_paths import check_output_folder
from robustjax.tools.classifier_settings import classifier_settings
from robustjax.tools.command.fields import need_options
from robustjax.tools.command.output import say
from robustjax.tools.correction_order import choose_order
from robustjax.tools.given_scores import read_order
from robustjax.tools.inputs import load_labeled
from robustjax.tools.method_choice import choose
from robustjax.tools.options.correct import CorrectConfig
from robustjax.tools.pages import check_page, now, write_questions
from robustjax.training import LateBar, StopRequest


def _make_method(config: CorrectConfig) -> CorrectionMethod | None:
    """The method that was asked for, or None for ALC by its defaults.

    Raises:
      ValueError: an unknown method or option, or one that is missing or out of range.
    """
    assert config.method is not None
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
    if config.scores is not None and config.method is not None:
        raise ValueError(f"method: got {config.method} beside --scores, expected one")
    if config.scores is not None and config.options:
        raise ValueError("options: --scores has none")
    if config.method is None and config.options:
        raise ValueError("options: got some without --method, whose they are")
    method = None if config.method is None else _make_method(config)
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
        # Beside the network that suggests, those that have not seen the labels.
        kinds = 2 if isinstance(method, LabelIssues) else 1
        bar.advance(kinds * config.epochs)
        # What was answered is saved by now; the round begins anew next time.
        stop.check()

    settings = classifier_settings(config, config, len(dataset))
    if config.method is None and config.scores is None:
        # What is said while a bar stands would stand in its line.
        said: list[str] = []
        with LateBar("estimating", unit="epoch") as estimating:
            method = choose_order(
                pathlib.Path(config.folder),
                dataset,
                settings,
                config.seed,
                on_epoch=lambda *_: estimating.advance(config.epochs),
                report=said.append,
                stop=stop,
            )
        say("\n".join(said))
    exchange = methods.LabelExchange(
        config.folder,
        dataset,
        batch=min(config.batch, len(dataset)),
        method=method,
        settings=settings,
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
