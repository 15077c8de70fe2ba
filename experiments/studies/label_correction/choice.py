"""Which methods of label correction run, with what options, and under what names."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.study.options import (
    Values,
    as_labeled_texts,
    as_methods,
    choose_methods,
    errors_name_options,
    preset_options,
    read_options,
    with_noise_rate,
)
from robustjax.methods import Entry, entries
from robustjax.methods.label_correction import CorrectionMethod


class Choice(NamedTuple):
    """Methods, and their options.

    Attributes:
      chosen: label -> entry.
      values: label -> the options that were set.
    """

    chosen: Mapping[str, Entry]
    values: Mapping[str, Values]

    @property
    def methods(self) -> tuple[str, ...]:
        """As in a configuration."""
        return as_methods(self.chosen)

    @property
    def options(self) -> tuple[str, ...]:
        """As in a configuration."""
        return as_labeled_texts(self.values)

    def errors(self, label: str) -> contextlib.AbstractContextManager[None]:
        """Errors name the options of a label."""
        return errors_name_options(label, self.chosen[label], self.values[label])

    def make(self, noise_rate: float) -> dict[str, CorrectionMethod]:
        """Label -> method.

        Args:
          noise_rate: the share of wrong labels, for methods that must know it.

        Raises:
          ValueError: an option outside its range.
        """
        made = {}
        for label, entry in self.chosen.items():
            own = with_noise_rate(entry, self.values[label], noise_rate)
            with self.errors(label):
                made[label] = entry.make(name=label, **own)
        return made


def choose(
    methods: Sequence[str], preset: Sequence[str], given: Sequence[str]
) -> Choice:
    """The methods that were asked for, with the options that are theirs.

    Args:
      methods: entries of `--methods`.
      preset: the preset's options.
      given: those of flags, over them.

    Raises:
      ValueError: an unknown method or option, or a value out of range.
    """
    chosen = choose_methods(methods, entries("label_correction"))
    values = read_options((*preset_options(chosen, preset), *given), chosen)
    choice = Choice(chosen, values)
    # For the checks; what is really wrong is not known yet.
    choice.make(0.5)
    return choice
