r"""List the labels of your own data set that are likely wrong, worst first.

    python -m experiments.label_issues --dataset=features.npz --out=issues.csv
    python -m experiments.label_issues --dataset=features.npz \
        --pred_probs=predicted.npy --out=issues.csv

The first trains by cross-validation, so that every label is judged by a network that
never saw it. The second takes such probabilities from your own model: an .npy file
(N, C) in the data set's order, or an .npz file with `pred_probs` and, to join by id,
`ids`. The table has a row per example: its id, the given label, the label suggested,
the score (low means suspicious) and whether it counts as an issue.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from experiments.common.array_files import lacks, read_arrays
from experiments.common.inputs import load_labeled
from experiments.study.flag_groups import (
    MlpFlags,
    OwnLabelFlags,
    SeedFlags,
    TrainingFlags,
)
from experiments.study.flags import define_flags, option, read_config
from experiments.study.launch import launch
from experiments.study.output import say
from robustjax import checks, data, methods, scores
from robustjax.files import atomic_file
from robustjax.methods.label_correction import cross_validated_probabilities
from robustjax.output_paths import check_output_file
from robustjax.training import StopRequest, advance, progress_bar, write_csv


@dataclasses.dataclass(frozen=True)
class IssuesConfig(SeedFlags, TrainingFlags, MlpFlags, OwnLabelFlags):
    """The flags."""

    hidden: tuple[int, ...] = (256, 256, 256)
    epochs: int = 20
    learning_rate: float = 0.01
    pred_probs: str | None = option(
        None, ".npy or .npz file of out-of-sample probabilities; trains if not given."
    )
    out: str | None = option(None, "The CSV file to write.")
    method: str = option(
        "self_confidence", f"The score: {', '.join(scores.QUALITY_METHODS)}."
    )
    adjust_pred_probs: bool = option(False, "Make the scores of classes comparable.")
    filter_by: str = option(
        "prune_by_noise_rate", f"What is an issue: {', '.join(scores.FILTERS)}."
    )
    frac_noise: float = option(1.0, "Share of the expected issues to flag.")
    min_examples_per_class: int = option(1, "Leave every class this many.")
    folds: int = option(5, "Networks to train, each without a part of the data.")
    save_pred_probs: str | None = option(
        None, "An .npz file to keep the probabilities in, for --pred_probs."
    )


define_flags(IssuesConfig)


def _check(config: IssuesConfig) -> None:
    """Raises `ValueError` for a bad flag, before anything is loaded or trained."""
    for name in ("dataset", "out"):
        if getattr(config, name) is None:
            raise ValueError(f"{name}: got nothing, expected --{name}=…")
    checks.one_of("method", config.method, scores.QUALITY_METHODS)
    checks.one_of("filter_by", config.filter_by, scores.FILTERS)
    inputs = {name: getattr(config, name) for name in ("dataset", "labels")}
    assert config.out is not None
    check_output_file(
        "out", config.out, inputs={**inputs, "pred_probs": config.pred_probs}
    )
    if config.save_pred_probs is not None:
        check_output_file(
            "save_pred_probs",
            config.save_pred_probs,
            inputs={**inputs, "out": config.out},
        )
    if config.save_pred_probs is not None and config.pred_probs is not None:
        raise ValueError("save_pred_probs: there is nothing to save with --pred_probs")
    # What the flags do to two examples they do to many: the rest of the checks.
    _judge(config, np.arange(2), np.eye(2))


def _judge(
    config: IssuesConfig, labels: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) scores and (N,) whether each label is an issue."""
    quality = scores.label_quality_scores(
        labels,
        probabilities,
        method=config.method,  # type: ignore[arg-type]
        adjust_pred_probs=config.adjust_pred_probs,
    )
    issues = scores.find_label_issues(
        labels,
        probabilities,
        filter_by=config.filter_by,  # type: ignore[arg-type]
        frac_noise=config.frac_noise,
        min_examples_per_class=config.min_examples_per_class,
    )
    return quality, issues


def read_probabilities(path: str, dataset: data.Dataset) -> np.ndarray:
    """Reads probabilities of all examples, in the data set's order.

    Args:
      path: an .npy file (N, C), or an .npz file with `pred_probs` and maybe `ids`.
      dataset: whose examples and classes are meant.

    Raises:
      ValueError: a file that cannot be read or does not fit the data set.
    """
    arrays = read_arrays(path, "pred_probs")
    if "pred_probs" not in arrays:
        raise ValueError(lacks(path, "pred_probs", arrays))
    found = arrays["pred_probs"]
    expected = (len(dataset), dataset.num_classes)
    if found.shape != expected:
        raise ValueError(
            f"pred_probs: got shape {found.shape}, expected {expected}: a row for "
            f"every example and a column for every class of {dataset.name}"
        )
    if "ids" in arrays:
        found = data.join(dataset, arrays["ids"], found, name="pred_probs")
    return scores.check_probabilities(found)


def _train(
    config: IssuesConfig, dataset: data.Dataset, stop: StopRequest
) -> np.ndarray:
    """Cross-validated probabilities."""
    if config.standardize:
        (dataset,) = data.standardize(dataset)
    bar: Any = None

    def on_epoch(kind: str, epoch: int, metrics: dict[str, np.ndarray]) -> None:
        nonlocal bar
        del epoch, metrics
        if bar is None:  # Not before: bad arguments end in one line.
            bar = progress_bar(config.epochs, kind, unit="epoch")
        advance(bar)

    # The smallest training set there is: the largest fold is held out.
    smallest = len(dataset) - -(-len(dataset) // max(config.folds, 1))
    try:
        return cross_validated_probabilities(
            dataset,
            key=jax.random.key(config.seed),
            folds=config.folds,
            settings=methods.ClassifierSettings(
                hidden=config.hidden,
                epochs=config.epochs,
                batch_size=max(1, min(config.batch_size, smallest)),
                learning_rate=config.learning_rate,
                dtype=config.dtype,
            ),
            on_epoch=on_epoch,
            stop=stop,
        )
    finally:
        if bar is not None:
            bar.close()


def main(stop: StopRequest) -> None:
    """Judges every label and writes the table."""
    config = read_config(IssuesConfig)
    _check(config)
    assert config.out is not None
    dataset = load_labeled(config)
    if config.pred_probs is not None:
        probabilities = read_probabilities(config.pred_probs, dataset)
    else:
        probabilities = _train(config, dataset, stop)
    if config.save_pred_probs is not None:
        # An open file: given a name, NumPy may add to it.
        with atomic_file(config.save_pred_probs) as file:
            np.savez(file, pred_probs=probabilities, ids=dataset.ids)
    quality, issues = _judge(config, dataset.labels, probabilities)
    suggested = probabilities.argmax(axis=1)
    names = dataset.class_names
    write_csv(
        config.out,
        (
            {
                "id": dataset.ids[row],
                "given_label": names[dataset.labels[row]],
                "suggested_label": names[suggested[row]],
                "score": f"{quality[row]:.9g}",
                "is_issue": bool(issues[row]),
            }
            for row in np.argsort(quality, kind="stable")
        ),
    )
    share = f"{issues.sum():,} ({issues.mean():.1%})"
    say(
        f"{share} of {len(dataset):,} labels are likely wrong; {config.out} lists all, "
        "the least trusted first"
    )


if __name__ == "__main__":
    launch(main, IssuesConfig)
