"""Open-set active learning, strategy against strategy."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.common.inputs import arrays_of
from experiments.studies.active_learning import report, setup
from experiments.studies.active_learning.config import OpenSetConfig
from experiments.studies.active_learning.presets import PRESETS
from experiments.studies.active_learning.runner import (
    POOL,
    cell_of,
    keys_of,
    run_strategy,
    trainings,
)
from experiments.study.examples import Known, keep_known
from experiments.study.journal import Journal
from experiments.study.presets import preset_of
from experiments.study.run import Plan, Ready, Request, Study
from robustjax.methods import entries
from robustjax.methods.active_learning import OpenSetRun, QueryStrategy
from robustjax.tools.method_choice import choose
from robustjax.tools.open_set_networks import (
    Classifiers,
    check_embeddings,
    kind_of,
    needs_embeddings,
    read_embeddings,
    train_embeddings,
)
from robustjax.training import StopRequest, progress_bar


class Settings(NamedTuple):
    """What was asked for.

    Attributes:
      labels: label -> strategy.
      config: every flag.
      strategies: label -> strategy with its options.
      preset: its name, or None.
    """

    labels: Mapping[str, str]
    config: OpenSetConfig
    strategies: Mapping[str, QueryStrategy]
    preset: str | None


class Parts(NamedTuple):
    """What is trained.

    Attributes:
      data: that all runs share.
      strategies: by label.
      classifiers: that they share.
    """

    data: setup.Data
    strategies: Mapping[str, QueryStrategy]
    classifiers: Classifiers


def _plan(request: Request) -> Plan[Settings]:
    preset, given = request.preset, request.given
    dataset = given.get("dataset", OpenSetConfig.dataset)
    preset, base = preset_of(PRESETS, preset, dataset)
    choice = choose(
        request.methods,
        entries("active_learning", "strategy"),
        base.get("options", ()),
        given.get("options", ()),
    )
    labels = {label: entry.name for label, entry in choice.chosen.items()}
    config = OpenSetConfig(**{**base, **given, "options": choice.options})
    strategies = choice.make()
    setup.check_given(given, config, labels.values(), _wants(strategies))
    setup.check(config)
    return Plan(
        {"methods": dict(labels), **dataclasses.asdict(config)},
        preset or pathlib.Path(config.dataset).stem,
        Settings(labels, config, strategies, preset),
    )


def _prepare(plan: Plan[Settings], stop: StopRequest) -> Ready[Parts]:
    labels, config, strategies, preset = plan.settings
    data = setup.prepare(config)
    classifiers = Classifiers(config, data.num_classes, data.train.inputs, stop)
    wants = _wants(strategies)
    if "validation" in wants:
        # A set of one kind, in whichever pool, teaches nothing.
        for ratio, repeat in itertools.product(
            config.noise_ratio, range(config.repeats)
        ):
            setup.draw_validation(data, setup.make_pool(data, ratio, repeat))
    # The last pool must not fail after hours of the first one's trainings.
    for ratio in config.noise_ratio:
        pool = setup.make_pool(data, ratio, config.repeats - 1)
        check_embeddings(config, pool.inputs, wants)
        inputs = jnp.asarray(pool.inputs)
        for strategy in strategies.values():
            classifiers.of(inputs, kind_of(strategy.wants))
    return Ready(
        data.title,
        [
            cell_of(label, ratio, repeat)
            for ratio in config.noise_ratio
            for label in (POOL, *labels)
            for repeat in range(config.repeats)
        ],
        {
            **arrays_of(data.train, data.test),
            **{f"ood images {n}": x for n, x in enumerate(data.ood_images)},
        },
        (f"preset: {preset or 'none'}", data.title),
        Parts(data, strategies, classifiers),
        facts={
            "mqnet": next((x for x, name in labels.items() if name == "mqnet"), None),
            "ood_label": data.num_classes,
        },
    )


def _run(ready: Ready[Parts], journal: Journal, stop: StopRequest) -> None:
    data, strategies, classifiers = ready.parts
    each = trainings(data)
    pools = list(itertools.product(data.config.noise_ratio, range(data.config.repeats)))
    done = 0
    for label, (ratio, repeat) in itertools.product(strategies, pools):
        cell = journal.cell(cell_of(label, ratio, repeat))
        done += each if cell.finished else max(cell.checkpoints.steps(), default=0)
    total = len(strategies) * len(pools) * each
    with progress_bar(total, "all methods", unit="training", done=done) as bar:
        for ratio, repeat in pools:
            cells = [cell_of(label, ratio, repeat) for label in (POOL, *strategies)]
            if not all(map(journal.finished, cells)):
                pool = setup.make_pool(data, ratio, repeat)
                true = Known(keys_of(pool), pool.ids, {"true": pool.labels})
                keep_known(journal.cell(cells[0]), [true])
                _run_pool(data, pool, strategies, classifiers, journal, bar, stop)


def _wants(strategies: Mapping[str, QueryStrategy]) -> frozenset[str]:
    """Of all strategies together."""
    return frozenset[str]().union(*(s.wants for s in strategies.values()))


def _run_pool(
    data: setup.Data,
    pool: setup.Pool,
    strategies: Mapping[str, QueryStrategy],
    classifiers: Classifiers,
    journal: Journal,
    bar: Any,
    stop: StopRequest,
) -> None:
    """Runs all strategies on one pool."""
    wants = _wants(strategies)
    embeddings: Mapping[str, jax.Array] = {}
    if needs_embeddings(wants):
        embeddings = _embeddings(data, pool, wants, journal, stop)
    kinds = {kind_of(strategy.wants) for strategy in strategies.values()}
    inputs = jnp.asarray(pool.inputs)
    of_pool = {kind: classifiers.of(inputs, kind, pool.initial) for kind in kinds}
    for label, strategy in strategies.items():
        run = OpenSetRun(
            strategy,
            of_pool[kind_of(strategy.wants)],
            data.budget,
            pool.key,
            num_examples=len(pool.inputs),
            num_classes=data.num_classes,
            embeddings=embeddings,
            validation=(
                setup.draw_validation(data, pool)
                if "validation" in strategy.wants
                else None
            ),
            test_inputs=pool.test_inputs,
            test_labels=pool.test_labels,
        )
        cell = journal.cell(cell_of(label, pool.noise_ratio, pool.repeat))
        run_strategy(label, run, data, pool, cell, bar, stop)
    if data.budget.cost_in != data.budget.cost_ood:
        # Rounds then answer for different numbers of examples, and what is compiled
        # for one number, such as the fit of MQNet, hardly ever serves again: kept, it
        # would fill the host's memory. The classifiers are compiled once more per pool.
        jax.clear_caches()


def _embeddings(
    data: setup.Data,
    pool: setup.Pool,
    wants: frozenset[str],
    journal: Journal,
    stop: StopRequest,
) -> Mapping[str, jax.Array]:
    """Of a pool: trained once, and read from the journal ever after."""
    cell = journal.cell(f"embeddings/{pool.name}")
    if not cell.finished:
        cell.rewind(0)
        key, progress = pool.embedding_key, cell.folder / "training"
        content = train_embeddings(data.config, key, pool.inputs, wants, progress, stop)
        cell.attach("embeddings", "embeddings.npz", content)
        cell.finish()
    ((_, content),) = cell.attached("embeddings")
    return read_embeddings(content)


STUDY = Study("active_learning", report.MEASURES, _plan, _prepare, _run, report.report)
