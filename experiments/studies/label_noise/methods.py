"""The methods by name: from flags to recipes."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import optax

from robustjax import checks, data, methods, transforms
from robustjax.training import Augment, Preprocess, Recipe


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a recipe is made from, besides its hyper-parameters.

    Attributes:
      model: the network.
      optimizer: of all phases.
      epochs: of all phases together.
      weak: the weak augmentation, if any.
      strong: the strong augmentation, for methods with two views.
      preprocess: the last step before the network.
      noise_rate: measured share of wrong labels, for methods that must know it.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    epochs: int
    weak: Augment | None
    strong: Augment | None
    preprocess: Preprocess
    noise_rate: float


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of the launcher.

    Attributes:
      build: from a setting and hyper-parameters to a recipe.
      signature: the function whose keyword arguments are the hyper-parameters.
      description: one line for people.
      takes_noise_rate: the hyper-parameter that is the noise rate, unless given.
    """

    build: Callable[..., Recipe]
    signature: Callable[..., Any]
    description: str
    takes_noise_rate: str | None = None

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Names of the hyper-parameters, with their defaults."""
        return {
            name: parameter.default
            for name, parameter in inspect.signature(self.signature).parameters.items()
            if name not in _SETTING_ARGUMENTS
        }


# Arguments of recipes that the launcher itself provides.
_SETTING_ARGUMENTS = frozenset(
    {"model", "optimizer", "epochs", "augment", "preprocess", "weak", "strong", "key"}
)


def _loss(factory: Callable[..., transforms.LossTransform], description: str) -> Method:
    """A method that is a loss transform in plain supervised training."""

    def build(setting: Setting, **hyperparameters: Any) -> Recipe:
        return methods.robust_loss(
            setting.model,
            setting.optimizer,
            factory(**hyperparameters),
            epochs=setting.epochs,
            augment=setting.weak,
            preprocess=setting.preprocess,
        )

    return Method(build, factory, description)


def _recipe(
    function: Callable[..., Recipe],
    description: str,
    takes_noise_rate: str | None = None,
) -> Method:
    """A method with a recipe of its own."""
    arguments = inspect.signature(function).parameters

    def build(setting: Setting, **hyperparameters: Any) -> Recipe:
        given: dict[str, Any] = {"augment": setting.weak}
        given |= {"weak": setting.weak, "strong": setting.strong}
        return function(
            setting.model,
            setting.optimizer,
            epochs=setting.epochs,
            preprocess=setting.preprocess,
            **{name: value for name, value in given.items() if name in arguments},
            **hyperparameters,
        )

    return Method(build, function, description, takes_noise_rate)


def _forward(correction: str) -> Callable[..., Recipe]:
    return functools.partial(methods.transition_training, correction=correction)


def _clean_probability(start_epoch: int = 10, average_epochs: int = 1) -> Any:
    """Cross-entropy weighted by the mixture's probability that a label is right."""
    weights = transforms.clean_probability(start_epoch, average_epochs=average_epochs)
    return transforms.chain(weights, transforms.ce())


_DESCRIPTIONS = {
    "ce": "cross-entropy",
    "mae": "mean absolute error",
    "gce": "generalised cross-entropy",
    "truncated_gce": "generalised cross-entropy, improbable labels left out",
    "symmetric_ce": "cross-entropy and reverse cross-entropy",
    "nce": "normalised cross-entropy",
    "nfl": "normalised focal loss",
    "ngce": "normalised generalised cross-entropy",
    "active_passive": "an active and a passive loss (APL)",
    "bootstrap": "labels mixed with predictions",
    "label_smoothing": "labels mixed with the uniform distribution",
    "elr": "early-learning regularisation",
    "sop": "sparse over-parameterisation",
    "small_loss": "only the examples of small loss",
}

METHODS: dict[str, Method] = {
    **{
        name: _loss(factory, _DESCRIPTIONS[name])
        for name, factory in methods.ROBUST_LOSSES.items()
        if name != "small_loss"
    },
    "small_loss": dataclasses.replace(
        _loss(methods.ROBUST_LOSSES["small_loss"], _DESCRIPTIONS["small_loss"]),
        takes_noise_rate="forget_rate",
    ),
    "clean_probability": _loss(
        _clean_probability, "weights by a mixture fitted to the losses"
    ),
    "forward": _recipe(_forward("forward"), "forward correction, estimated matrix"),
    "backward": _recipe(_forward("backward"), "backward correction, estimated matrix"),
    "noise_adaptation": _recipe(
        methods.noise_adaptation, "a trainable noise layer behind the network"
    ),
    "heteroscedastic": _recipe(
        methods.heteroscedastic, "logits with a learned Gaussian noise"
    ),
    "elr_plus": _recipe(methods.elr_plus, "ELR with two networks, averages and mixup"),
    "sop_plus": _recipe(methods.sop_plus, "SOP with consistency and balance"),
    "co_teaching": _recipe(
        methods.co_teaching, "two networks that pick for each other", "forget_rate"
    ),
    "jocor": _recipe(methods.jocor, "two networks that agree", "forget_rate"),
    "self_learning": _recipe(
        methods.self_learning, "labels corrected by class prototypes"
    ),
    "divide_mix": _recipe(
        methods.divide_mix, "two networks, clean and unclean split, MixMatch"
    ),
}


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Spells out "all" and checks the names.

    Raises:
      ValueError: none, an unknown or a repeated name.
    """
    chosen = tuple(METHODS) if tuple(names) == ("all",) else tuple(names)
    if not chosen:
        raise ValueError("method: got none, expected at least one")
    for name in chosen:
        checks.one_of("method", name, METHODS)
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"method: got {','.join(chosen)}, expected each name once")
    return chosen


def hyperparameters_of(
    method: str, entries: Sequence[str], *, alone: bool
) -> dict[str, Any]:
    """The entries that are for a method, later ones over earlier ones.

    Args:
      method: its name.
      entries: "name=value" or "method.name=value".
      alone: whether it is the only method, so that entries need no prefix.

    Raises:
      ValueError: an entry of another form, an unknown name with the known ones, or a
        prefix that names no method.
    """
    known = METHODS[method].hyperparameters
    found = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        prefix, dot, rest = name.partition(".")
        if not equals or not value:
            raise ValueError(f"hyperparameters: got {entry!r}, expected name=value")
        if dot:
            checks.one_of("hyperparameters", prefix, METHODS)
            if prefix != method:
                continue
            name = rest
        elif not alone:
            raise ValueError(
                f"hyperparameters: got {entry!r} for several methods, expected "
                f"method.{entry}"
            )
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ValueError(
                f"hyperparameters: {method} has no {name!r}; it has {listed}"
            )
        found[name] = _parse(value)
    return found


def _parse(value: str) -> Any:
    """A number or a truth value where it is one, else the text."""
    try:
        return ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value


def make_recipe(name: str, setting: Setting, hyperparameters: dict[str, Any]) -> Recipe:
    """The recipe of a method.

    Raises:
      ValueError: hyper-parameters out of range, or a method that needs epochs to warm
        up or a network with features and does not get them.
    """
    method = METHODS[name]
    values = dict(hyperparameters)
    if method.takes_noise_rate:
        values.setdefault(method.takes_noise_rate, setting.noise_rate)
    return method.build(setting, **values)


def strong_augmentation(name: str, mean: Sequence[float]) -> Augment | None:
    """The strong view that goes with a weak augmentation; none without images.

    Args:
      name: of the weak augmentation; mirror images only where it has them.
      mean: of the colour channels, the colour of what is cut out.
    """
    if not mean:
        return None
    return data.strong_augmentation(flip="flip" in name, fill=mean)
