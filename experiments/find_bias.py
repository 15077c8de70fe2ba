r"""List the examples of your own data set that conflict with its bias, if it has one.

    python -m experiments.find_bias --dataset=images.npz --folder=bias
    python -m experiments.find_bias --pred_probs=outputs.npz --folder=bias

A network that prefers what is easy learns what most examples of a class have in common
(the colour of the digit, the background of the bird) and fails on those that lack it,
without anyone having labelled that. The first command trains such a network by
generalised cross-entropy, and one against it as LfF does; the second takes what
networks of your own say: an .npz file with `pred_probs` (N, C), and as far as you have
them `labels`, `ids`, `features` (N, d) of the last layer and `debiased_pred_probs`.

The folder gets `examples.csv`, the most suspicious first: id, given and predicted
label, three scores (BiaSwap's, LfF's, the gradient norm; high is suspicious), whether
the score named by --by is above its threshold, and the rank by it. `summary.csv` says
how many are suspected by each score, in all (no label) and by given label; `scores.png`
shows the scores; `outputs.npz` is what the second command takes. Under label noise
wrong labels are suspected alike: look at the examples.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
import optax

from experiments.common.augmentations import WEAK_AUGMENTATIONS, weak_augmentation
from experiments.common.bias_suspects import (
    draw_scores,
    example_rows,
    judge,
    score_table,
    summary_rows,
)
from experiments.common.biased_outputs import read_outputs, save_outputs
from experiments.common.inputs import load_labeled
from experiments.common.networks import DTYPES, NETWORKS, network_of_flags
from experiments.study.flag_groups import (
    NetworkFlags,
    OwnLabelFlags,
    SeedFlags,
    TrainingFlags,
)
from experiments.study.flags import define_flags, errors_name_flags, option, read_config
from experiments.study.launch import launch
from experiments.study.output import say
from robustjax import checks, data, scores
from robustjax.methods import bias
from robustjax.output_paths import check_output_file, check_output_folder
from robustjax.training import (
    StopRequest,
    advance,
    choose_execution,
    progress_bar,
    write_csv,
)

_EXAMPLES, _SUMMARY = "examples.csv", "summary.csv"
_PICTURE, _OUTPUTS = "scores.png", "outputs.npz"


@dataclasses.dataclass(frozen=True)
class BiasConfig(SeedFlags, TrainingFlags, NetworkFlags, OwnLabelFlags):
    """The flags."""

    hidden: tuple[int, ...] = (100, 100, 100)
    epochs: int = option(
        5, "Few: a network that is trained on knows conflicting examples, too.", low=1
    )
    learning_rate: float = option(1e-3, "Of Adam.")
    pred_probs: str | None = option(
        None, ".npz file of what networks say, see above; trains if not given."
    )
    folder: str | None = option(None, "Where the results go.")
    by: str = option("swap", f"Split and rank by: {', '.join(scores.CONFLICT_SCORES)}.")
    rule: str = option("otsu", f"Of the threshold: {', '.join(scores.CONFLICT_RULES)}.")
    scope: str = option("all", "One threshold for all, or one of every class.")
    bias: str | None = option(
        None,
        "CSV with columns id and bias, a class each, if known: who does conflict. "
        "Says how well the scores find them.",
    )


define_flags(BiasConfig)


def _check(config: BiasConfig) -> pathlib.Path:
    """The folder; raises `ValueError` for a bad flag before anything is loaded."""
    if config.folder is None:
        raise ValueError("folder: got nothing, expected --folder=…")
    if config.dataset is None and config.pred_probs is None:
        raise ValueError(
            "dataset: got nothing, expected --dataset=…, or --pred_probs=… of a file "
            "that has labels"
        )
    if config.dataset is None and config.labels is not None:
        raise ValueError(
            "labels: got a file without --dataset; put them into that of --pred_probs"
        )
    checks.one_of("by", config.by, scores.CONFLICT_SCORES)
    checks.one_of("rule", config.rule, scores.CONFLICT_RULES)
    checks.one_of("scope", config.scope, scores.CONFLICT_SCOPES)
    checks.one_of("network", config.network, NETWORKS)
    checks.one_of("dtype", config.dtype, DTYPES)
    checks.one_of("augment", config.augment, WEAK_AUGMENTATIONS)
    checks.in_range("learning_rate", config.learning_rate, 0, low_open=True)
    check_output_folder("folder", config.folder)
    folder = pathlib.Path(config.folder)
    inputs = {
        name: getattr(config, name)
        for name in ("dataset", "labels", "pred_probs", "bias")
    }
    if folder.is_dir():
        written = [_EXAMPLES, _SUMMARY, _PICTURE]
        written += [_OUTPUTS] if config.pred_probs is None else []
        for name in written:
            check_output_file("folder", folder / name, inputs=inputs)
    return folder


def _train(
    config: BiasConfig, dataset: data.Dataset, stop: StopRequest
) -> bias.BiasedOutputs:
    """Both networks' outputs."""
    if config.standardize:
        (dataset,) = data.standardize(dataset)
    rank = dataset.inputs.ndim
    if config.augment != "none" and rank != 4:
        raise ValueError(f"augment: {config.augment!r} needs images, got vectors")
    execution = choose_execution(convolutional=config.network != "mlp")
    model = network_of_flags(
        config,
        dataset.num_classes,
        inputs_rank=rank,
        convolution=execution.convolution,
    )
    bar: Any = None

    def report(epoch: int, metrics: dict[str, np.ndarray]) -> None:
        nonlocal bar
        del epoch, metrics
        if bar is None:  # Not before: bad arguments end in one line.
            bar = progress_bar(config.epochs, "biased network", unit="epoch")
        advance(bar)

    try:
        return bias.biased_outputs(
            dataset,
            key=jax.random.key(config.seed),
            epochs=config.epochs,
            batch_size=min(config.batch_size, len(dataset)),
            model=model,
            optimizer=optax.adam(config.learning_rate),
            augment=weak_augmentation(config.augment),
            execution=execution,
            report=report,
            stop=stop,
        )
    finally:
        if bar is not None:
            bar.close()


def main(stop: StopRequest) -> None:
    """Judges every example and writes the results."""
    config = read_config(BiasConfig)
    folder = _check(config)
    dataset = None
    if config.dataset is not None:
        dataset = load_labeled(config)
    outputs = None
    if config.pred_probs is not None:
        outputs, dataset = read_outputs(config.pred_probs, dataset)
    assert dataset is not None
    conflicting = None
    if config.bias is not None:
        conflicting = ~data.read_bias(config.bias, dataset, name="bias").is_aligned
        with errors_name_flags(truth="bias"):
            scores.split_quality(conflicting, conflicting)
    trained = outputs is None
    if outputs is None:
        outputs = _train(config, dataset, stop)
    with errors_name_flags(
        probabilities="pred_probs", debiased_probabilities="debiased_pred_probs"
    ):
        found = scores.bias_conflict_scores(
            dataset.labels,
            **outputs._asdict(),
            by=config.by,
            rule=config.rule,
            scope=config.scope,
        )
    judged = judge(found, dataset.labels, config.rule, config.scope)
    predicted = outputs.probabilities.argmax(axis=1)
    folder.mkdir(parents=True, exist_ok=True)
    if trained:
        save_outputs(folder / _OUTPUTS, outputs, dataset)
    write_csv(folder / _EXAMPLES, example_rows(found, dataset, predicted))
    write_csv(folder / _SUMMARY, summary_rows(judged, dataset, conflicting))
    draw_scores(folder / _PICTURE, judged, found, conflicting, dataset.name)
    right = np.mean(predicted == dataset.labels)
    say(f"the biased network predicts {right:.1%} of the given labels")
    say(score_table(judged, config.by, conflicting))
    share = f"{found.conflicting.sum():,} ({found.conflicting.mean():.1%})"
    say(
        f"{share} of {len(dataset):,} examples are suspected by {config.by}; "
        f"{folder / _EXAMPLES} lists all, the most suspicious first"
    )


if __name__ == "__main__":
    launch(main, BiasConfig)
