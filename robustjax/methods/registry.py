"""All published methods of the library, each once.

    for entry in methods.entries("label_noise"):
        print(entry.name, entry.role, entry.source, dict(entry.options))
    recipe = methods.entry("gce").make(model, optimizer, epochs=120, q=0.7)

Launchers, sweeps, documentation and conformance tests read it. A method is added where
its family lives: one file, and one entry in that folder's `_entries.py`.
"""

from __future__ import annotations

import types
from collections.abc import Mapping

from robustjax import checks
from robustjax.methods._entry import FAMILIES as FAMILIES
from robustjax.methods._entry import NEEDS as NEEDS
from robustjax.methods._entry import ROLES as ROLES
from robustjax.methods._entry import Entry as Entry
from robustjax.methods._entry import Option as Option
from robustjax.methods.active_learning import _entries as _active_learning
from robustjax.methods.bias import _entries as _bias
from robustjax.methods.features import _entries as _features
from robustjax.methods.instructions import _entries as _instructions
from robustjax.methods.label_correction import _entries as _label_correction
from robustjax.methods.label_noise import _entries as _label_noise
from robustjax.methods.pruning import _entries as _pruning


def _joined(*families: tuple[Entry, ...]) -> dict[tuple[str, str], Entry]:
    found: dict[tuple[str, str], Entry] = {}
    for each in (each for family in families for each in family):
        key = each.family, each.name
        if key in found:
            raise ValueError(f"name: {each.family} has {each.name} twice")
        found[key] = each
    return found


REGISTRY: Mapping[tuple[str, str], Entry] = types.MappingProxyType(
    _joined(
        _label_noise.ENTRIES,
        _label_correction.ENTRIES,
        _active_learning.ENTRIES,
        _features.ENTRIES,
        _pruning.ENTRIES,
        _bias.ENTRIES,
        _instructions.ENTRIES,
    )
)
"""(family, name) -> entry; names repeat across families."""


def entries(family: str | None = None, role: str | None = None) -> tuple[Entry, ...]:
    """The entries of a family and of a role, or all, in a fixed order.

    Raises:
      ValueError: an unknown family or role, with the list of known ones.

    Example:
      >>> from robustjax import methods
      >>> [entry.name for entry in methods.entries("features", "penalty")]
      ['standard', 'joint', 'oat', 'taufe']
    """
    if family is not None:
        checks.one_of("family", family, FAMILIES)
    if role is not None:
        checks.one_of("role", role, ROLES)
    return tuple(
        e
        for e in REGISTRY.values()
        if family in (None, e.family) and role in (None, e.role)
    )


def entry(name: str, family: str | None = None) -> Entry:
    """The entry of a method.

    Args:
      name: of the method.
      family: of the method; needed where several have one of that name.

    Raises:
      ValueError: an unknown family or name, with the nearest and the known ones, or a
        name of several families.

    Example:
      >>> from robustjax import methods
      >>> gce = methods.entry("gce")
      >>> gce.source, dict(gce.options)["q"].default
      ('Zhang, Sabuncu, NeurIPS 2018', 0.7)
      >>> methods.entry("gcee")
      Traceback (most recent call last):
          ...
      ValueError: name: unknown 'gcee' (did you mean 'gce'?); known: ce, ...
    """
    known = entries(family)
    checks.one_of("name", name, dict.fromkeys(each.name for each in known))
    found = [each for each in known if each.name == name]
    if len(found) > 1:
        families = ", ".join(each.family for each in found)
        raise ValueError(f"family: got None for {name!r}, expected one of {families}")
    return found[0]
