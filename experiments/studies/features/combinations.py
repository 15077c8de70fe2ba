"""Which kinds of training there are, and which flags and methods go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.common import optimizer_flags
from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.study.flags import Use, check_of_use
from robustjax import checks
from robustjax.methods import entries
from robustjax.tools.method_options import choose_methods

TASKS = ("classification", "boxes", "localization")
TRAININGS = ("plain", "adversarial", "mix_match", "pretrained")
FINE_TUNE = ("head", "all")
PRETRAINING_OPTIMIZERS = ("adam", "lars")

WITH_OOD = ("oat", "taufe")
"""The methods that ask something of OOD images beside the target's."""

_METHODS = ("standard", "oat", "taufe")

# Field -> value -> what nothing else looks at.
_OF_ONE_KIND: dict[str, dict[str, tuple[str, ...]]] = {
    "training": {
        "adversarial": ("test_attack_steps", "attack_test_count"),
        "mix_match": ("kernel_decay",),
        "pretrained": (
            "fine_tune",
            "pretraining_epochs",
            "pretraining_batch_size",
            "pretraining_optimizer",
            "pretraining_learning_rate",
            "pretraining_warmup_epochs",
            "pretraining_weight_decay",
            "pretraining_flip",
            "color_strength",
        ),
    },
    "task": {
        "classification": ("picture_examples",),
        "boxes": ("box_loss", "box_flatten", "box_scale"),
        "localization": ("activation_map",),
    },
    "dataset": {
        "composed": (
            "digits",
            "backgrounds",
            "train_count",
            "test_count",
            "class_correlation",
            "position_correlation",
            "digit_scale",
            "contrast",
        ),
    },
}


def check_given(
    given: Mapping[str, Any], config: FeatureDebiasingConfig, methods: Sequence[str]
) -> None:
    """Raises `ValueError` for a flag that would change nothing; presets may have it.

    Args:
      given: the fields that were given as flags.
      config: every field.
      methods: that are trained.
    """
    uses = []
    for field, kinds in _OF_ONE_KIND.items():
        got = getattr(config, field)
        for kind, names in kinds.items():
            why = f"with {field}={got}, expected {field}={kind}"
            uses += [Use(name, got == kind, why) for name in names]
    unlearning = any(method in WITH_OOD for method in methods)
    alone = f"with methods={','.join(methods)}, expected {' or '.join(WITH_OOD)} too"
    frozen = config.training == "pretrained" and config.fine_tune == "head"
    uses += [
        Use("ood_augment", unlearning, alone),
        Use("ood_statistics", unlearning, alone),
        Use(
            "ood_statistics",
            not frozen,
            "with fine_tune=head, which moves no statistics",
        ),
        Use(
            "standard_batch",
            not set(methods) <= set(WITH_OOD),
            f"with methods={','.join(methods)}, expected standard or joint too",
        ),
    ]
    check_of_use(given, uses)
    optimizer_flags.check_given(given, config)


def methods_of(config: FeatureDebiasingConfig) -> tuple[str, ...]:
    """The methods that a task and a kind of training allow."""
    if config.task == "boxes":
        return ("standard", "taufe")
    if config.training == "pretrained":
        # A penalty on features does nothing to those that are frozen.
        head_alone = config.fine_tune == "head"
        return ("standard", "joint", "oat") + (() if head_alone else ("taufe",))
    return _METHODS


def check_methods(
    names: Sequence[str], config: FeatureDebiasingConfig
) -> tuple[str, ...]:
    """The methods to train; of none or "all", all that task and training allow.

    Raises:
      ValueError: an unknown task or training; an unknown or a repeated method, or one
        that the task or the training does not allow.
    """
    checks.one_of("task", config.task, TASKS)
    checks.one_of("training", config.training, TRAININGS)
    allowed = methods_of(config)
    if not names or tuple(names) == ("all",):
        return allowed
    known = [
        entry
        for entry in entries("features", "penalty")
        if config.training == "pretrained" or "pretraining" not in entry.needs
    ]
    choose_methods(names, known, relabel=False)
    if config.task == "boxes" and "oat" in names:
        raise ValueError(
            "methods: got oat with task=boxes, expected standard or taufe: OAT acts on "
            "the softmax, which a regression of boxes does not have"
        )
    if "taufe" in names and "taufe" not in allowed:
        raise ValueError(
            "methods: got taufe with fine_tune=head, expected fine_tune=all, or joint: "
            "its penalty cannot change features that are frozen"
        )
    return tuple(names)


def check(config: FeatureDebiasingConfig) -> None:
    """Raises `ValueError` for a kind of training whose flags do not go together."""
    training = config.training
    checks.one_of("training", training, TRAININGS)
    if training == "plain":
        return
    if config.task != "classification":
        raise ValueError(
            f"training: got {training} with task={config.task}, expected "
            "task=classification, or training=plain"
        )
    if training == "adversarial":
        checks.at_least("test_attack_steps", config.test_attack_steps, 1)
        checks.at_least("attack_test_count", config.attack_test_count, 1)
    elif training == "mix_match":
        _check_mix_match(config)
    else:
        _check_pretrained(config)


def _check_mix_match(config: FeatureDebiasingConfig) -> None:
    if config.standard_batch != "half":
        raise ValueError(
            f"standard_batch: got {config.standard_batch} with training=mix_match, "
            "expected half: a batch is half labelled, half unlabelled examples"
        )
    if 0 in config.num_examples:
        raise ValueError(
            "num_examples: got 0 (all) with training=mix_match, expected a number that "
            "leaves unlabelled examples"
        )
    if not config.ood_statistics:
        raise ValueError(
            "ood_statistics: got False with training=mix_match, expected True: there "
            "OOD images always move the running statistics"
        )
    checks.in_range("kernel_decay", config.kernel_decay, 0, high_open=True)
    if config.kernel_decay and (config.optimizer != "adam" or config.weight_decay):
        raise ValueError(
            f"kernel_decay: got {config.kernel_decay} with optimizer="
            f"{config.optimizer} and weight_decay={config.weight_decay:g}, expected "
            "optimizer=adam and weight_decay=0"
        )


def _check_pretrained(config: FeatureDebiasingConfig) -> None:
    checks.one_of("fine_tune", config.fine_tune, FINE_TUNE)
    optimizer = config.pretraining_optimizer
    checks.one_of("pretraining_optimizer", optimizer, PRETRAINING_OPTIMIZERS)
    epochs, warmup = config.pretraining_epochs, config.pretraining_warmup_epochs
    checks.at_least("pretraining_epochs", epochs, 1)
    checks.at_least("pretraining_batch_size", config.pretraining_batch_size, 2)
    checks.at_least("pretraining_warmup_epochs", warmup, 0)
    if warmup >= epochs:
        raise ValueError(
            f"pretraining_warmup_epochs: got {warmup}, expected fewer than the "
            f"{epochs} of pretraining_epochs"
        )
    rate = config.pretraining_learning_rate
    checks.in_range("pretraining_learning_rate", rate, 0, low_open=True)
    checks.in_range("pretraining_weight_decay", config.pretraining_weight_decay, 0)
    checks.in_range("color_strength", config.color_strength, 0, 2.5)
    if config.train_image_size not in (0, config.image_size):
        raise ValueError(
            f"train_image_size: got {config.train_image_size} with "
            "training=pretrained, expected none: the views have the size of the images"
        )
