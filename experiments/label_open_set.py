r"""Label your own unlabelled pool, foreign examples included, with you as the oracle.

    python -m experiments.label_open_set --dataset=pool.npz --classes=owl,crow \
        --folder=labelling

writes `labelling/to_label.csv`: the examples to look at first. Fill its column
`new_label` with one of your classes, or with `ood` for what belongs to none (leave
blank what you cannot decide: it is not asked about again), save it as
`labelling/labeled.csv`, and run the same command again: it takes your answers in,
trains, and asks the next questions. `labelling/labels.csv` always holds the labels so
far. Stop whenever you like.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

import jax
import numpy as np

from experiments.studies.active_learning import setup
from experiments.studies.active_learning.config import OpenSetConfig
from experiments.studies.active_learning.networks import (
    Classifiers,
    check_embeddings,
    kind_of,
    needs_embeddings,
    read_embeddings,
    train_embeddings,
)
from experiments.studies.active_learning.own_pool import (
    LabelOpenSetConfig,
    embeddings_name,
    known_labels,
    load_pool,
    strategy_of,
)
from experiments.studies.active_learning.presets import PRESETS
from experiments.study.flags import define_flags, errors_name_flags, read_config
from experiments.study.launch import launch
from experiments.study.output import say
from robustjax import checks
from robustjax.files import write_atomically
from robustjax.methods._exchange_folder import check_folder
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
from robustjax.training import StopRequest

define_flags(LabelOpenSetConfig)
_NEEDED = ("dataset", "folder", "classes")

# Rounds derive their keys from the same seed, and none has this number.
_EMBEDDINGS = 2**31 - 1


def _embeddings(
    config: LabelOpenSetConfig,
    training: OpenSetConfig,
    inputs: np.ndarray,
    strategy: QueryStrategy,
    stop: StopRequest,
) -> Mapping[str, jax.Array]:
    """Of the pool: trained once, and read from a file ever after."""
    folder = pathlib.Path(f"{config.folder}_embeddings")
    folder.mkdir(parents=True, exist_ok=True)
    name = embeddings_name(training, inputs, strategy)
    path = folder / f"{name}.npz"
    if not path.exists():
        key = jax.random.fold_in(jax.random.key(config.seed), _EMBEDDINGS)
        write_atomically(
            path,
            train_embeddings(
                training, key, inputs, strategy.wants, folder / name, stop
            ),
        )
    return read_embeddings(path.read_bytes())


def main(stop: StopRequest) -> None:
    """Takes in what was answered, and asks on."""
    config = read_config(LabelOpenSetConfig)
    for name in _NEEDED:
        if not getattr(config, name):
            raise ValueError(f"{name}: got nothing, expected --{name}=…")
    if len(config.classes) < 2:
        raise ValueError(f"classes: got {config.classes[0]}, expected at least two")
    with errors_name_flags(class_names="classes"):
        check_class_names(config.classes)
    checks.one_of("preset", config.preset, PRESETS)
    shared = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(OpenSetConfig)
        if hasattr(config, field.name) and field.name != "dataset"
    }
    training = OpenSetConfig(**{**PRESETS[config.preset].fields, **shared})
    setup.check(training)
    strategy = strategy_of(config)
    assert config.folder is not None
    # Before anything is loaded.
    check_output_folder("folder", config.folder)
    inputs, ids = load_pool(config)
    known = known_labels(config, inputs, ids)
    check_batch(config.batch, known)
    k = len(config.classes)
    classifier = Classifiers(training, k, inputs, stop).of(
        inputs, kind_of(strategy.wants)
    )
    settings = {
        name: value
        for name, value in dataclasses.asdict(training).items()
        if name not in ("data_dir", "options")
    }
    # Before embeddings are trained, which can take hours.
    with errors_name_flags(methods="method"):
        check_embeddings(training, inputs, strategy.wants)
    check_output_folder("folder", f"{config.folder}_embeddings")
    with errors_name_flags(known_labels="known", strategy="options"):
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
        embeddings = _embeddings(config, training, inputs, strategy, stop)
    with errors_name_flags(known_labels="known", strategy="options"):
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
        )
    pending = exchange.advance()
    found = exchange.labels
    say(
        f"{len(found):,} examples: {int(np.sum((found >= 0) & (found < k))):,} with a "
        f"class, {int(np.sum(found == k)):,} {OOD_NAME}, "
        f"{int(np.sum(found == SKIPPED)):,} left blank"
    )
    if pending is None:
        say(
            "every example has been asked about; the labels are in "
            f"{exchange.folder / 'labels.csv'}"
        )
        return
    say(
        f"round {pending.round_number}: fill the column new_label of {pending.asked} "
        f"({pending.questions} questions) with {', '.join(config.classes)} or "
        f"{OOD_NAME}, save it as {pending.answers}, and run the same command again"
    )


if __name__ == "__main__":
    launch(main, LabelOpenSetConfig)
