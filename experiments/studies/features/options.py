"""Options of a feature study: of its methods, and of the training they are part of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optax

from experiments.studies.features.config import FeatureDebiasingConfig
from robustjax.methods import Entry, entry
from robustjax.models import MLP
from robustjax.tools import method_options as options
from robustjax.tools.method_options import (
    Values,
    as_labeled_texts,
    errors_name_options,
    preset_options,
    published_options,
    read_options,
)

TRAINED_BY = {
    "adversarial": "adversarial",
    "mix_match": "mix_match",
    "pretrained": "simclr",
}
"""Kind of training -> the registry's name of what it is."""

# Where neither preset nor flag says another one: as published with TAUFE.
_DEFAULTS = {"oat": "cifar", "taufe": "cifar", "mix_match": "taufe"}


def _entry(name: str) -> Entry:
    return entry(name, "features")


def published(name: str, setting: str) -> tuple[str, ...]:
    """A published setting as options, for a preset."""
    return published_options(_entry(name), setting)


def _defaults(name: str) -> tuple[str, ...]:
    return published(name, _DEFAULTS[name]) if name in _DEFAULTS else ()


def join_options(
    methods: Sequence[str], training: str, preset: Sequence[str], given: Sequence[str]
) -> tuple[str, ...]:
    """The options of all that runs, each once.

    Args:
      methods: names.
      training: the kind of training.
      preset: the preset's options; those of others are left out.
      given: those of flags, over them.

    Raises:
      ValueError: an option of what does not run, or that is none.
    """
    names = [*methods, *(TRAINED_BY[k] for k in [training] if k in TRAINED_BY)]
    parts = {name: _entry(name) for name in names}
    defaults = [text for name in names for text in _defaults(name)]
    texts = (*defaults, *preset_options(parts, preset), *given)
    return as_labeled_texts(read_options(texts, parts))


def options_of(config: FeatureDebiasingConfig, name: str) -> Values:
    """The options of a method or a training that differ from its own defaults."""
    return options.options_of(config.options, name, _entry(name), _defaults(name))


def make_part(config: FeatureDebiasingConfig, name: str, **provided: Any) -> Any:
    """What the factory of a method or a training makes with its options.

    Args:
      config: the flags.
      name: of the entry.
      **provided: the factory's other arguments; over the options, too.

    Raises:
      ValueError: an option outside its range.
    """
    values = options_of(config, name)
    with errors_name_options(name, _entry(name), values):
        return _entry(name).make(**{**values, **provided})


def make_attack(config: FeatureDebiasingConfig, steps: int | None = None) -> Any:
    """The `Attack` of the options, or None where `adversarial.steps=0` asks for none.

    Args:
      config: the flags.
      steps: instead of those of the options.

    Raises:
      ValueError: an option outside its range.
    """
    if steps is not None:
        return make_part(config, "adversarial", steps=steps)
    if options_of(config, "adversarial").get("steps") == 0:
        return None
    return make_part(config, "adversarial")


def check_parts(config: FeatureDebiasingConfig) -> None:
    """Makes all that can have options, with a network that stands for the real one.

    Raises:
      ValueError: an option outside its range.
    """
    for name in ("oat", "taufe"):
        make_part(config, name)
    network, optimizer = MLP(2, (1,)), optax.identity()
    if config.training == "adversarial":
        make_attack(config)
    elif config.training == "mix_match":
        make_part(
            config,
            "mix_match",
            model=network,
            optimizer=optimizer,
            epochs=1,
            labeled=np.ones(1, bool),
        )
    elif config.training == "pretrained":
        make_part(config, "simclr", encoder=network, optimizer=optimizer)
