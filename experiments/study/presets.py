"""Named settings of a study: what each sets, what it is for, what comes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from robustjax import checks

NOT_RUN = "not run here: it is for an accelerator"
"""Said of published settings that no machine at hand could train."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named setting.

    Attributes:
      fields: of the configuration that differ from its defaults.
      about: one line on what it is for.
      expect: the result that was measured, or why there is none.
      flags: beside `--preset`, what the result was measured with.
    """

    fields: Mapping[str, Any]
    about: str
    expect: str
    flags: str = ""

    def command(self, launcher: str, name: str) -> str:
        """What to type for the expected result.

        Args:
          launcher: the module, such as "experiments.pruning".
          name: of the preset.
        """
        return f"python -m {launcher} --preset={name} {self.flags}".rstrip()


def preset_of(
    presets: Mapping[str, Preset], name: str | None, dataset: str | None
) -> tuple[str | None, Mapping[str, Any]]:
    """The preset to take, and its fields.

    Args:
      presets: by name.
      name: as given, or None for the one that is named like the data set, if there is
        one.
      dataset: its name or path.

    Raises:
      ValueError: an unknown preset, with the list of known ones.
    """
    if name is not None:
        checks.one_of("preset", name, presets)
        return name, presets[name].fields
    if dataset is not None and dataset in presets:
        return dataset, presets[dataset].fields
    return None, {}
