"""What the registry says of a method."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from robustjax import checks

FAMILIES = (
    "label_noise",
    "label_correction",
    "active_learning",
    "features",
    "pruning",
    "bias",
    "instructions",
)
"""The rooms of `robustjax.methods`."""

ROLES: Mapping[str, str] = types.MappingProxyType(
    {
        "recipe": "a `training.Recipe`: a whole training",
        "pretraining": "a `training.Algorithm` that looks at no labels",
        "correction": "a `CorrectionMethod`, for a `CorrectionRun`",
        "strategy": "a `QueryStrategy`, for an `OpenSetRun`",
        "penalty": "a loss transform on foreign images, or None: a part of a training",
        "attack": "an `Attack` on inputs: a part of a training",
        "selection": "a `Selection`, or one with reasons: the factory itself chooses",
    }
)
"""What a factory can give, by name: who can run a method depends on it."""

NEEDS: Mapping[str, str] = types.MappingProxyType(
    {
        "noise_rate": "the share of wrong labels, for its options without a default",
        "features": "a network with a method `features`, or features themselves",
        "two_views": "a weak and a strong augmentation",
        "labels": "the given labels",
        "probabilities": "predicted class probabilities",
        "training_record": "what is recorded of every example in training",
        "key": "a PRNG key",
        "ood_images": "images that belong to no class",
        "square_images": "images as high as they are wide, whose rotations fit",
        "unlabeled": "examples without a label beside those with one",
        "pretraining": "a network that was pre-trained without labels",
        "loss_prediction": "a classifier that predicts its own losses",
        "ood_output": "a classifier with an output for foreign examples",
        "projections": "contrastive embeddings of the pool",
        "rotations": "contrastive embeddings of the pool in four rotations",
        "bias": "the bias attribute of every example",
        "conflicting": "whether the bias of every example contradicts its label",
        "groups": "the group of every example: its label and its bias attribute",
        "class_maps": "a convolutional network whose head is on a global average",
        "ratings": "a rating of every record",
        "scores": "what a language model alone says of every record",
        "gradients": "gradients of records and of targets by a model's adapters",
        "teacher": "a `Ranker`, which ranks records within groups",
        "two_encoders": "a network with two encoders, models.TwoEncoderClassifier",
    }
)
"""What a method can need beside inputs, labels and a network, by name."""

_NONE: Mapping[str, Any] = types.MappingProxyType({})


class Option(NamedTuple):
    """A setting of a method.

    Attributes:
      hint: its type, as annotated.
      default: its value where none is given; `inspect.Parameter.empty` if there is
        none.
    """

    hint: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty


@dataclasses.dataclass(frozen=True)
class Entry:
    """A published method.

    Attributes:
      name: within its family.
      family: one of `FAMILIES`.
      role: what `make` gives, of `ROLES`.
      make: its factory.
      description: one line for people.
      source: who published it, where and when.
      published: settings that were published, by data set (or "all") and maybe noise.
      setting_arguments: arguments of `make` that whoever calls it provides, such as
        the network; all other ones are options.
      needs: of `NEEDS`, with the defaults of its options.
      unused: arguments of `make` that change nothing in this method.
    """

    name: str
    family: str
    role: str
    make: Callable[..., Any]
    description: str
    source: str
    published: Mapping[str, Mapping[str, Any]] = dataclasses.field(
        default_factory=lambda: _NONE, hash=False
    )
    setting_arguments: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    unused: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        checks.one_of("family", self.family, FAMILIES)
        checks.one_of("role", self.role, ROLES)
        for need in self.needs:
            checks.one_of("needs", need, NEEDS)

    @functools.cached_property
    def options(self) -> Mapping[str, Option]:
        """The method's own settings, in the order of the signature of `make`.

        What a `functools.partial` has settled belongs to the name of the method.
        """
        settled = getattr(self.make, "keywords", _NONE)
        left_out = {*settled, *self.setting_arguments, *self.unused}
        parameters = inspect.signature(self.make, eval_str=True).parameters
        return types.MappingProxyType(
            {
                name: Option(parameter.annotation, parameter.default)
                for name, parameter in parameters.items()
                if name not in left_out
            }
        )

    @property
    def required(self) -> tuple[str, ...]:
        """The options without a default."""
        return tuple(name for name, option in self.options.items() if option.required)


def made_by_name(known: Iterable[Entry], name: str, options: Mapping[str, Any]) -> Any:
    """What the entry of a name makes with these options, and the defaults of others.

    Args:
      known: entries whose factories take, beside their options, a `name` alone.
      name: of one of them.
      options: of that entry; and `name`, what reports call it.

    Raises:
      ValueError: an unknown name or option, with the list of known ones, an option
        without a default that is missing, or one outside its range.
    """
    by_name = {entry.name: entry for entry in known}
    checks.one_of("method", name, by_name)
    entry = by_name[name]
    for option in options:
        checks.one_of(f"option of {name}", option, ("name", *entry.options))
    for option in entry.required:
        if option not in options:
            raise ValueError(f"{option}: got nothing, expected a value for {name}")
    return entry.make(**options)
