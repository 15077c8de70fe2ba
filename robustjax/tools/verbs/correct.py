"""Corrects labels with a person as the oracle: the verb `correct`."""

from __future__ import annotations

import pathlib

import numpy as np

from robustjax import checks, data, methods, selection
from robustjax.methods.label_correction import CorrectionMethod, LabelIssues
from robustjax.output_paths import check_output_folder
from robustjax.tools.classifier_settings import classifier_settings
from robustjax.tools.command.fields import need_options
from robustjax.tools.command.output import say
from robustjax.tools.correction_order import choose_order
from robustjax.tools.given_scores import read_costs, read_order
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


_BATCH = 100


def _batch(config: CorrectConfig, size: int) -> int | None:
    """Questions per round; None where costs bound them."""
    if config.costs is not None:
        return None
    return min(_BATCH if config.batch is None else config.batch, size)


def _check_costs(config: CorrectConfig) -> None:
    """Raises `ValueError` for options on costs that do not go together."""
    if config.costs is None:
        if config.round_budget is not None:
            raise ValueError(
                f"round_budget: got {config.round_budget:g} without --costs"
            )
        if config.cost_blind:
            raise ValueError("cost_blind: got true without --costs")
        return
    if config.batch is not None:
        raise ValueError(
            f"batch: got {config.batch} beside --costs, expected --round_budget alone"
        )
    if config.round_budget is None:
        raise ValueError(
            "round_budget: got nothing beside --costs, expected what a round may cost"
        )


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
    _check_costs(config)
    method = None if config.method is None else _make_method(config)
    check_output_folder("folder", config.folder)
    check_page(config)
    shown = dataset = load_labeled(config, say)
    costs = None
    if config.costs is not None:
        costs = read_costs(config.costs, dataset)
        assert config.round_budget is not None
        with checks.errors_name(budget="round_budget"):
            selection.most_within_budget(costs, config.round_budget)
    per_cost = not config.cost_blind
    if config.scores is not None:
        method = read_order(config.scores, dataset, costs if per_cost else None)
        # Then the costs are in the order.
        per_cost = per_cost and costs is None
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
        batch=_batch(config, len(dataset)),
        costs=costs,
        round_budget=config.round_budget,
        per_cost=per_cost,
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
    if costs is not None and exchange.waiting is not None:
        asked = [question.id for question in exchange.waiting.questions]
        paid = costs[data.rows_of(dataset, asked)].sum()
        say(f"{len(asked):,} questions that cost {paid:g} of {config.round_budget:g}")
    write_questions(config, exchange, shown, pending, exchange.labels)
    if pending is None:
        status = exchange.status[exchange.affordable]
        undecided = int(np.sum(~np.isin(status, ("confirmed", "corrected"))))
        whose = "example" if costs is None else "example that a round can pay for"
        say(
            f"every {whose} was answered ({undecided:,} of them by no class); the "
            f"labels are in {exchange.folder / 'labels.csv'}"
        )
