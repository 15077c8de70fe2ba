"""The verbs of the command, and where each is declared and done."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple


class Verb(NamedTuple):
    """A verb.

    Attributes:
      name: as it is typed.
      config: its configuration's class, in `robustjax.tools.options`.
      computes: whether it asks JAX for devices.
    """

    name: str
    config: str
    computes: bool = True

    @property
    def module(self) -> str:
        """The name of its two modules: what it takes, and what it does."""
        return self.name.replace("-", "_")

    @property
    def text(self) -> str:
        """What it says of itself; needs no JAX."""
        return self._options.__doc__ or ""

    @property
    def config_class(self) -> type[Any]:
        """The dataclass whose fields are its options; needs no JAX."""
        found: type[Any] = getattr(self._options, self.config)
        return found

    def load(self) -> Callable[..., None]:
        """What it does, from its configuration and a `StopRequest`."""
        module = importlib.import_module(f"robustjax.tools.verbs.{self.module}")
        done: Callable[..., None] = module.main
        return done

    @property
    def _options(self) -> Any:
        return importlib.import_module(f"robustjax.tools.options.{self.module}")


VERBS = {
    verb.name: verb
    for verb in (
        Verb("find-issues", "FindIssuesConfig"),
        Verb("correct", "CorrectConfig"),
        Verb("label", "LabelConfig"),
        Verb("keep", "KeepConfig"),
        Verb("find-bias", "FindBiasConfig"),
        Verb("learn-features", "LearnFeaturesConfig"),
        Verb("select-instructions", "SelectInstructionsConfig"),
        Verb("score-instructions", "ScoreInstructionsConfig"),
        Verb("unpack-language-model", "UnpackLanguageModelConfig", computes=False),
    )
}
"""By name, in the order of `--help`."""
