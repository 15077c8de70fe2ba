"""What a study's launcher says of itself: its study, its flags and its presets."""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from absl import flags

from experiments.study.flags import Given, read_given
from experiments.study.presets import Preset
from experiments.study.run import Request, Study
from robustjax import checks
from robustjax.tools.command.fields import flags_of

_FOLDER = pathlib.Path(__file__).parents[1]


class Launcher(NamedTuple):
    """A launcher of a study.

    Attributes:
      name: of its module.
      study: that it runs.
      config: the dataclass of its flags.
      presets: by name.
      methods: default of its flag `--methods`, where that is none of the fields.
    """

    name: str
    study: Study[Any, Any]
    config: type[Any]
    presets: Mapping[str, Preset]
    methods: tuple[str, ...] | None

    @property
    def has_options(self) -> bool:
        """Whether options of methods can be given."""
        return any(flag.name == "options" for flag in flags_of(self.config))

    def takes_list(self, name: str) -> bool:
        """Whether a flag takes several values."""
        lists = {flag.name for flag in flags_of(self.config) if flag.is_list}
        return name in lists or (name == "methods" and self.methods is not None)

    def given(self) -> tuple[Given, tuple[str, ...]]:
        """What this process's command line says: flags, and `--methods` beside them.

        Raises:
          ValueError: a value that its flag cannot have.
        """
        methods = flags.FLAGS["methods"].value if self.methods is not None else ()
        return read_given(self.config), tuple(methods or ())

    def request(self, given: Given, methods: tuple[str, ...], name: str) -> Request:
        """What the launcher makes of flags."""
        return Request(methods, given.preset, given.fields, given.run_dir, name)


def known_launchers() -> list[str]:
    """Names of the modules under `experiments` that run a study."""
    return sorted(
        path.stem for path in _FOLDER.glob("*.py") if "run_study(" in path.read_text()
    )


def import_launcher(name: str) -> Launcher:
    """Reads a launcher; this defines its flags in this process.

    Args:
      name: of a module under `experiments`, or of any module, with its dots, that runs
        a study as these do.

    Raises:
      ValueError: an unknown one, with the list of known ones.
    """
    if "." not in name:
        checks.one_of("study", name, known_launchers())
        name = f"experiments.{name}"
    try:
        names = vars(importlib.import_module(name))
    except ModuleNotFoundError as error:
        raise ValueError(f"study: cannot import {name!r}: {error}") from None
    # A launcher names no more than it needs: one study and one set of flags.
    configs = [value for value in names.values() if _has_flags(value)]
    studies = [value for value in names.values() if isinstance(value, Study)]
    if len(configs) != 1 or len(studies) != 1:
        raise ValueError(
            f"study: {name!r} names {len(studies)} studies and {len(configs)} sets of "
            "flags, expected one of each"
        )
    (config,), (study,) = configs, studies
    own = {flag.name for flag in flags_of(config)}
    beside = "methods" in flags.FLAGS and "methods" not in own
    methods = tuple(flags.FLAGS["methods"].default or ()) if beside else None
    return Launcher(name, study, config, names.get("PRESETS", {}), methods)


def _has_flags(value: Any) -> bool:
    fields = isinstance(value, type) and dataclasses.is_dataclass(value)
    return fields and hasattr(value, "group")
