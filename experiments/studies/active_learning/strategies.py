"""Query strategies from the registry's entries and the options of flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.study.options import errors_name_options, read_options
from robustjax.methods import Entry
from robustjax.methods.active_learning import QueryStrategy


def make_strategies(
    chosen: Mapping[str, Entry], options: Sequence[str]
) -> dict[str, QueryStrategy]:
    """Label -> strategy with its options.

    Args:
      chosen: label -> entry, see `choose_methods`.
      options: see `read_options`.

    Raises:
      ValueError: see `read_options`; an option outside its range.
    """
    made = {}
    for label, values in read_options(options, chosen).items():
        with errors_name_options(label, chosen[label], values):
            made[label] = chosen[label].make(name=label, **values)
    return made
