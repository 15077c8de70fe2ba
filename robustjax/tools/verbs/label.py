"""Labels a pool with a person as the oracle: the verb `label`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

import jax
import numpy as np

from robustjax import answers, checks
from robustjax.files import write_atomically
from robustjax.methods._exchange_folder import LOG, check_folder
from robustjax.methods.active_learning import (
    OOD_NAME,
    SKIPPED,
    OpenSetExchange,
    QueryStrategy,
    check_batch,
    check_class_names,
    exchange_purpose,
)
from robustjax.output_paths import check_output_folder
from robustjax.tools.command.fields import need_options, refuse_fields
from robustjax.tools.command.output import say
from robustjax.tools.open_set_networks import (
    Classifiers,
    check_embeddings,
    check_open_set,
    kind_of,
    needs_embeddings,
    read_embeddings,
    train_embeddings,
)
from robustjax.tools.optimizer import unused_flags
from robustjax.tools.options.label import LabelConfig
from robustjax.tools.options.open_set import OpenSetFlags
from robustjax.tools.own_pool import (
    embeddings_name,
    known_labels,
    load_pool,
    strategy_of,
)
from robustjax.tools.pages import check_page, now, write_questions
from robustjax.tools.purity_check import purity_warning
from robustjax.training import StopRequest

_NEEDED = ("dataset", "folder", "classes")

# Rounds derive their keys from the same seed, and none has this number.
_EMBEDDINGS = 2**31 - 1


def _embeddings(
    config: LabelConfig,
    inputs: np.ndarray,
    strategy: QueryStrategy,
    stop: StopRequest,
) -> Mapping[str, jax.Array]:
    """Of the pool: trained once, and read from a file ever after."""
    folder = pathlib.Path(f"{config.folder}_embeddings")
    folder.mkdir(parents=True, exist_ok=True)
    name = embeddings_name(config, inputs, strategy)
    path = folder / f"{name}.npz"
    if not path.exists():
        key = jax.random.fold_in(jax.random.key(config.seed), _EMBEDDINGS)
        write_atomically(
            path,
            train_embeddings(config, key, inputs, strategy.wants, folder / name, stop),
        )
    return read_embeddings(path.read_bytes())


def main(config: LabelConfig, stop: StopRequest) -> None:
    """Takes in what was answered, and asks on."""
    need_options(config, *_NEEDED)
    if len(config.classes) < 2:
        raise ValueError(f"classes: got {config.classes[0]}, expected at least two")
    with checks.errors_name(class_names="classes"):
        check_class_names(config.classes)
    check_open_set(config)
    refuse_fields(config, unused_flags(config))
    strategy = strategy_of(config)
    assert config.folder is not None
    # Before anything is loaded.
    check_output_folder("folder", config.folder)
    check_page(config)
    inputs, ids = load_pool(config)
    known = known_labels(config, inputs, ids)
    check_batch(config.batch, known)
    k = len(config.classes)
    classifier = Classifiers(config, k, inputs, stop).of(
        inputs, kind_of(strategy.wants)
    )
    settings = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(OpenSetFlags)
    }
    # Before embeddings are trained, which can take hours.
    with checks.errors_name(methods="method"):
        check_embeddings(config, inputs, strategy.wants)
    check_output_folder("folder", f"{config.folder}_embeddings")
    with checks.errors_name(known_labels="known", strategy="options"):
        purpose = exchange_purpose(
            inputs,
            config.classes,
            strategy,
            ids=ids,
            known_labels=known,
            settings=settings,
            seed=config.seed,
        )
        check_folder(pathlib.Path(config.folder), purpose)
    embeddings: Mapping[str, jax.Array] = {}
    if needs_embeddings(strategy.wants):
        embeddings = _embeddings(config, inputs, strategy, stop)
    with checks.errors_name(known_labels="known", strategy="options"):
        exchange = OpenSetExchange(
            config.folder,
            inputs,
            config.classes,
            strategy,
            classifier,
            batch=config.batch,
            ids=ids,
            known_labels=known,
            embeddings=embeddings,
            settings=settings,
            seed=config.seed,
            report=say,
        )
    pending = exchange.advance(amend=config.amend, now=now())
    found = exchange.labels
    say(
        f"{len(found):,} examples: {int(np.sum((found >= 0) & (found < k))):,} with a "
        f"class, {int(np.sum(found == k)):,} {OOD_NAME}, "
        f"{int(np.sum(found == SKIPPED)):,} not decided"
    )
    warning = purity_warning(
        answers.read_history(exchange.folder / LOG), found, exchange.dataset, strategy
    )
    if warning is not None:
        say(f"warning: {warning}", error=True)
    write_questions(config, exchange, exchange.dataset, pending, found)
    if pending is None:
        say(
            "every example was answered; the labels are in "
            f"{exchange.folder / 'labels.csv'}"
        )
