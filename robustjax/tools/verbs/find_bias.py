"""Lists examples that conflict with a bias: the verb `find-bias`."""

from __future__ import annotations

import pathlib

import jax
import numpy as np
import optax

from robustjax import checks, data, scores
from robustjax.methods import bias
from robustjax.output_paths import check_output_file, check_output_folder
from robustjax.tools.augmentations import WEAK_AUGMENTATIONS, weak_augmentation
from robustjax.tools.bias_suspects import (
    draw_scores,
    example_rows,
    judge,
    score_table,
    summary_rows,
)
from robustjax.tools.biased_outputs import read_outputs, save_outputs
from robustjax.tools.command.fields import need_options, refuse_options
from robustjax.tools.command.output import say
from robustjax.tools.inputs import load_labeled
from robustjax.tools.networks import (
    DTYPES,
    NETWORKS,
    network_of_flags,
)
from robustjax.tools.options.find_bias import FindBiasConfig
from robustjax.tools.options.groups import NetworkFlags, SeedFlags, TrainingFlags
from robustjax.training import (
    LateBar,
    StopRequest,
    choose_execution,
    write_csv,
)

_EXAMPLES, _SUMMARY = "examples.csv", "summary.csv"
_PICTURE, _OUTPUTS = "scores.png", "outputs.npz"


def _check(config: FindBiasConfig) -> pathlib.Path:
    """The folder; raises `ValueError` for a bad option before anything is loaded."""
    need_options(config, "out")
    assert config.out is not None
    if config.dataset is None and config.probabilities is None:
        raise ValueError(
            "dataset: got nothing, expected --dataset=…, or --probabilities=… of "
            "a file that has labels"
        )
    if config.dataset is None and config.labels is not None:
        raise ValueError(
            "labels: got a file without --dataset; put them into that of "
            "--probabilities"
        )
    checks.one_of("network", config.network, NETWORKS)
    checks.one_of("dtype", config.dtype, DTYPES)
    checks.one_of("augment", config.augment, WEAK_AUGMENTATIONS)
    checks.in_range("learning_rate", config.learning_rate, 0, low_open=True)
    if config.probabilities is not None:
        why = "with --probabilities, of networks that were trained already"
        refuse_options(config, (SeedFlags, TrainingFlags, NetworkFlags), why)
        if config.standardize:
            raise ValueError(f"standardize: got True {why}")
    check_output_folder("out", config.out)
    folder = pathlib.Path(config.out)
    inputs = {
        name: getattr(config, name)
        for name in ("dataset", "labels", "probabilities", "bias")
    }
    if folder.is_dir():
        written = [_EXAMPLES, _SUMMARY, _PICTURE]
        written += [_OUTPUTS] if config.probabilities is None else []
        for name in written:
            check_output_file("out", folder / name, inputs=inputs)
    return folder


def _train(
    config: FindBiasConfig, dataset: data.Dataset, stop: StopRequest
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
    with LateBar("biased network", unit="epoch") as bar:
        return bias.biased_outputs(
            dataset,
            key=jax.random.key(config.seed),
            epochs=config.epochs,
            batch_size=min(config.batch_size, len(dataset)),
            model=model,
            optimizer=optax.adam(config.learning_rate),
            augment=weak_augmentation(config.augment),
            execution=execution,
            report=lambda epoch, metrics: bar.advance(config.epochs),
            stop=stop,
        )


def main(config: FindBiasConfig, stop: StopRequest) -> None:
    """Judges every example and writes the results."""
    folder = _check(config)
    dataset = None
    if config.dataset is not None:
        dataset = load_labeled(config, say)
    outputs = None
    if config.probabilities is not None:
        outputs, dataset = read_outputs(config.probabilities, dataset)
    assert dataset is not None
    conflicting = None
    if config.bias is not None:
        conflicting = ~data.read_bias(config.bias, dataset, name="bias").is_aligned
        with checks.errors_name(truth="bias"):
            scores.split_quality(conflicting, conflicting)
    trained = outputs is None
    if outputs is None:
        outputs = _train(config, dataset, stop)
    with checks.errors_name(debiased_probabilities="debiased_pred_probs"):
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
