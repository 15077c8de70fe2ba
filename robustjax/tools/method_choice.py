"""The methods that were asked for, with their options, ready to be made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from robustjax.methods import Entry
from robustjax.tools.method_options import (
    Values,
    as_labeled_texts,
    as_methods,
    choose_methods,
    errors_name_options,
    preset_options,
    read_options,
    with_noise_rate,
)


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

    def make(self, noise_rate: float = 0.5) -> dict[str, Any]:
        """Label -> what its factory makes, which takes a `name` and options alone.

        Args:
          noise_rate: the share of wrong labels, for methods that must know it; by
            default one that passes their checks.

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
    methods: Sequence[str],
    known: Iterable[Entry],
    preset: Sequence[str],
    given: Sequence[str],
) -> Choice:
    """The methods that were asked for, with the options that are theirs.

    Args:
      methods: entries of `--methods`.
      known: the methods that can run.
      preset: the preset's options; those of methods that do not run are left out.
      given: those of flags, over them.

    Raises:
      ValueError: an unknown method or option, or a value out of range.
    """
    chosen = choose_methods(methods, known)
    values = read_options((*preset_options(chosen, preset), *given), chosen)
    choice = Choice(chosen, values)
    choice.make()
    return choice
