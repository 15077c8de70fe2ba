"""From the flags of an open-set study to its data, pools and keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.common import optimizer_flags
from experiments.studies.active_learning.class_splits import CLASS_SPLITS
from experiments.studies.active_learning.config import OpenSetConfig
from experiments.study.flags import Use, check_of_use, errors_name_flags
from robustjax import checks, corruption, data
from robustjax.methods.active_learning import OpenSetBudget, ValidationSet
from robustjax.tools.inputs import load_foreign, load_splits
from robustjax.tools.open_set_networks import check_open_set, needs_embeddings
from robustjax.tools.options.open_set import EmbeddingFlags

# Methods of two scores, of which a screen asks what the best function of them is.
_SCREENED = frozenset({"mqnet", "sum", "product"})
_CLASSES, _POOL, _INITIAL, _RUN, _TEST, _EMBEDDINGS, _VALIDATION = range(7)


class Data(NamedTuple):
    """What all runs share.

    Attributes:
      config: the flags.
      train: with true labels.
      test: of the same classes.
      ood_images: (M, H, W, C) of every OOD data set, shaped like those of `train`.
      budget: of every run.
      in_classes: of every repeat.
    """

    config: OpenSetConfig
    train: data.Dataset
    test: data.Dataset
    ood_images: tuple[np.ndarray, ...]
    budget: OpenSetBudget
    in_classes: tuple[tuple[int, ...], ...]

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.in_classes[0])

    @property
    def title(self) -> str:
        """For people and plots."""
        others = ", ".join(self.config.ood) or "its other classes"
        return (
            f"{self.train.name}, {self.num_classes} IN classes, OOD from {others}, "
            f"{self.config.repeats} repeat(s)"
        )


class Pool(NamedTuple):
    """What all strategies share in one repeat at one noise ratio: a pool.

    Attributes:
      noise_ratio: of the pool.
      repeat: from 0.
      inputs: (N, ...) of the pool.
      labels: (N,) true labels, k for OOD.
      ids: (N,) of the examples, integers or strings.
      initial: (I,) rows that are labelled before the first round.
      test_inputs: (M, ...) of IN classes.
      test_labels: (M,).
      key: of the runs.
      embedding_key: of the contrastive networks.
    """

    noise_ratio: float
    repeat: int
    inputs: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    initial: np.ndarray
    test_inputs: np.ndarray
    test_labels: np.ndarray
    key: jax.Array
    embedding_key: jax.Array

    @property
    def name(self) -> str:
        """Of its files."""
        return pool_name(self.noise_ratio, self.repeat)


def pool_name(noise_ratio: float, repeat: int) -> str:
    """The name of a repeat at a noise ratio, on disk."""
    return f"noise_{noise_ratio:g}_repeat_{repeat}"


def check_given(
    given: Mapping[str, Any],
    config: OpenSetConfig,
    methods: Collection[str],
    wants: Collection[str],
) -> None:
    """Raises `ValueError` for a flag that would change nothing; presets may have it.

    Args:
      given: the fields that were given as flags.
      config: every field.
      methods: names of the entries that are run.
      wants: of all their strategies together.
    """
    split = f"with class_split={config.class_split}"
    if config.in_classes:
        split = f"with in_classes={','.join(config.in_classes)}"
    drawn = config.class_split == "drawn" and not config.in_classes
    variant = config.classifier_variant
    contrastive = needs_embeddings(wants)
    optimizer_flags.check_given(given, config)
    check_of_use(
        given,
        [
            Use("class_split", not config.in_classes, split),
            Use("num_in_classes", drawn, split),
            Use("ood_split", bool(config.ood), "without ood"),
            Use("allow_overlap", bool(config.ood), "without ood"),
            Use(
                "taufe_weight",
                variant in ("taufe", "both"),
                f"with classifier_variant={variant}",
            ),
            Use(
                "screen",
                bool({*methods} & _SCREENED),
                f"without {', '.join(sorted(_SCREENED))} among the methods",
            ),
            *(
                Use(
                    field.name,
                    contrastive,
                    "with methods that train no contrastive network",
                )
                for field in dataclasses.fields(EmbeddingFlags)
            ),
        ],
    )


def check(config: OpenSetConfig) -> OpenSetBudget:
    """The budget; raises `ValueError` for a bad flag, before any data is loaded."""
    for name in ("repeats", "epochs", "steps_per_epoch", "batch_size"):
        checks.at_least(name, getattr(config, name), 1)
    for name in ("embedding_epochs", "embedding_batch_size", "num_in_classes"):
        checks.at_least(name, getattr(config, name), 1)
    for name in ("initial", "pool_in", "test_count", "image_size"):
        checks.at_least(name, getattr(config, name), 0)
    checks.one_of("initial_shares", config.initial_shares, ("uniform", "exact"))
    if not config.initial and config.per_round != max(1, int(config.per_round)):
        raise ValueError(
            f"initial: got 0, as many as per_round={config.per_round:g}, which is no "
            "number of examples; expected one"
        )
    check_open_set(config)
    checks.one_of("class_split", config.class_split, (*CLASS_SPLITS, "drawn", "all"))
    if not config.noise_ratio:
        raise ValueError("noise_ratio: got none, expected at least one share")
    for ratio in config.noise_ratio:
        checks.in_range("noise_ratio", ratio, 0, 1, high_open=True)
    # Files are named by so many digits.
    if len({f"{ratio:g}" for ratio in config.noise_ratio}) < len(config.noise_ratio):
        raise ValueError(
            f"noise_ratio: got {','.join(map(str, config.noise_ratio))}, expected each "
            "share once"
        )
    crossed = config.class_split == "all" and not config.in_classes
    if crossed != bool(config.ood):
        raise ValueError(
            f"ood: got {','.join(config.ood) or 'none'} with class_split="
            f"{config.class_split}, expected OOD data sets with class_split=all, and "
            "none where other classes are OOD"
        )
    if len(set(config.ood)) < len(config.ood):
        raise ValueError(
            f"ood: got {','.join(config.ood)}, expected each data set once"
        )
    return OpenSetBudget(
        config.per_round, config.rounds, config.cost_in, config.cost_ood
    )


def prepare(config: OpenSetConfig) -> Data:
    """Loads the data and settles which classes are IN.

    Raises:
      ValueError: a bad flag, before anything is trained.
    """
    budget = check(config)
    train, test = load_splits(
        config.dataset,
        config.train_split,
        config.test_split,
        data_dir=config.data_dir,
        image_size=config.image_size,
    )
    classes = tuple(
        _in_classes(config, train, repeat) for repeat in range(config.repeats)
    )
    if len(classes[0]) < 2:
        raise ValueError(
            f"in_classes: got {len(classes[0])} class(es), expected at least 2"
        )
    return Data(config, train, test, _load_ood(config, train), budget, classes)


def _key(config: OpenSetConfig, repeat: int, purpose: int) -> jax.Array:
    key = jax.random.fold_in(jax.random.key(config.seed), repeat)
    return jax.random.fold_in(key, purpose)


def _in_classes(
    config: OpenSetConfig, train: data.Dataset, repeat: int
) -> tuple[int, ...]:
    """The IN classes of a repeat."""
    names, count = train.class_names, train.num_classes
    if config.in_classes:
        chosen = []
        for name in config.in_classes:
            if name not in names and name.isdigit() and int(name) < count:
                chosen.append(int(name))
                continue
            checks.one_of("in_classes", name, names)
            chosen.append(names.index(name))
        if len(set(chosen)) < len(chosen):
            raise ValueError(
                f"in_classes: got {','.join(config.in_classes)}, expected each once"
            )
        return tuple(sorted(chosen))
    if config.class_split == "all":
        return tuple(range(count))
    if config.class_split == "drawn":
        if config.num_in_classes >= count:
            raise ValueError(
                f"num_in_classes: got {config.num_in_classes}, expected fewer than the "
                f"{count} classes of {train.name}, so that some are OOD"
            )
        key = _key(config, repeat, _CLASSES)
        return corruption.draw_classes(key, count, config.num_in_classes)
    needed, splits = CLASS_SPLITS[config.class_split]
    if count != needed:
        raise ValueError(
            f"class_split: got {config.class_split} for {train.name} with {count} "
            f"classes, expected a data set with {needed}"
        )
    # More repeats than published trials use them again, with other pools and keys.
    return splits[repeat % len(splits)]


def _load_ood(config: OpenSetConfig, train: data.Dataset) -> tuple[np.ndarray, ...]:
    found = []
    for name in config.ood:
        with errors_name_flags(
            **dict.fromkeys(("images", "dataset", "path", "split"), f"ood ({name})"),
            ood_names=f"ood ({name}, --allow_overlap)",
        ):
            other = load_foreign(
                name,
                config.ood_split,
                train,
                data_dir=config.data_dir,
                image_size=config.image_size,
                allow_overlap=config.allow_overlap,
            )
        found.append(other.inputs)
    return tuple(found)


def make_pool(study: Data, noise_ratio: float, repeat: int) -> Pool:
    """Draws a pool and its initial set; the same for all strategies.

    Raises:
      ValueError: sizes that the data does not have.
    """
    config, train = study.config, study.train
    classes, k = study.in_classes[repeat], study.num_classes
    pool_key = _key(config, repeat, _POOL)
    with errors_name_flags(num_in="pool_in", initial="initial (or per_round)"):
        if config.ood:
            sizes = [len(images) for images in study.ood_images]
            pool = corruption.cross_dataset(
                pool_key,
                train.labels,
                k,
                sizes,
                noise_ratio,
                num_in=config.pool_in or None,
            )
        else:
            pool = corruption.split_dataset(
                pool_key,
                train.labels,
                classes,
                noise_ratio,
                num_in=config.pool_in or None,
            )
        initial = corruption.draw_initial(
            _key(config, repeat, _INITIAL),
            pool.labels,
            k,
            config.initial or int(config.per_round),
            exact_shares=config.initial_shares == "exact",
        )
    study.budget.check(len(pool.rows), len(initial))
    inputs, ids = _gather(study, pool.rows)
    test_labels = corruption.open_set_labels(study.test.labels, classes)
    test_rows = np.flatnonzero(test_labels < k)
    if config.test_count:
        if config.test_count > len(test_rows):
            raise ValueError(
                f"test_count: got {config.test_count}, expected at most the "
                f"{len(test_rows)} IN examples of {study.test.name}"
            )
        order = jax.random.permutation(_key(config, repeat, _TEST), len(test_rows))
        test_rows = test_rows[np.sort(np.asarray(order)[: config.test_count])]
    return Pool(
        noise_ratio=noise_ratio,
        repeat=repeat,
        inputs=inputs,
        labels=pool.labels,
        ids=ids,
        initial=initial,
        test_inputs=study.test.inputs[test_rows],
        test_labels=test_labels[test_rows],
        key=_key(config, repeat, _RUN),
        embedding_key=_key(config, repeat, _EMBEDDINGS),
    )


def draw_validation(study: Data, pool: Pool) -> ValidationSet:
    """Draws as many examples as a round asks for, of those that nothing is known of.

    The same for all strategies that want it, uniform, with their true labels; where
    costs differ, as many as a round of the cheaper kind has.

    Raises:
      ValueError: a pool that is too small for it and the queries, or a set of one kind.
    """
    size, count, k = len(pool.labels), study.budget.most, study.num_classes
    free = np.delete(np.arange(size), pool.initial)
    if count > len(free):
        raise ValueError(
            f"per_round: got {study.config.per_round:g} and a random validation set of "
            f"{count}, expected at most the {len(free)} examples that are not labelled "
            "before the first round"
        )
    study.budget.check(size - count, len(pool.initial))
    key = _key(study.config, pool.repeat, _VALIDATION)
    rows = free[corruption.draw_initial(key, pool.labels[free], k, count)]
    found = int(np.sum(pool.labels[rows] < k))
    if found in (0, count):
        raise ValueError(
            f"validation: got {found} IN and {count - found} OOD examples at noise "
            f"ratio {pool.noise_ratio:g} in repeat {pool.repeat}, expected some of "
            "either kind (of a larger per_round or another seed)"
        )
    return ValidationSet(rows, pool.labels[rows])


def _gather(study: Data, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and ids of rows that count through all data sets."""
    train = study.train
    if not study.ood_images:
        return train.inputs[rows], train.ids[rows]
    inputs = np.empty((len(rows), *train.inputs.shape[1:]), train.inputs.dtype)
    ids = np.empty(len(rows), object)
    first = 0
    sources = [(train.name, train.inputs, train.ids)]
    sources += [
        (name, images, np.arange(len(images)))
        for name, images in zip(study.config.ood, study.ood_images)
    ]
    for name, images, own in sources:
        mine = (rows >= first) & (rows < first + len(images))
        inputs[mine] = images[rows[mine] - first]
        ids[mine] = [f"{name}:{i}" for i in own[rows[mine] - first].tolist()]
        first += len(images)
    return inputs, ids.astype(str)
