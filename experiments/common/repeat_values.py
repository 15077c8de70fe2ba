"""What every repeat of a study gave, so that paired errors can be recomputed."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from robustjax.training import write_csv

FILE = "repeats.csv"


class Setting(NamedTuple):
    """The repeats of one method in one setting.

    Attributes:
      columns: what tells the row from others, such as {"method": "ce", "labels": 50}.
      values: measure -> (R,) in the units of the summary; NaN where it is undefined.
    """

    columns: Mapping[str, object]
    values: Mapping[str, np.ndarray]


def write_repeats(folder: pathlib.Path, settings: Iterable[Setting]) -> None:
    """Writes `repeats.csv`: a row per method, setting, repeat and measure.

    Repeats are counted from 0 and mean the same draw in every method of a study, so
    differences may be taken repeat by repeat. What is undefined has no row. The file
    holds no times: a run that was killed and resumed gives the same bytes.

    Args:
      folder: of the run.
      settings: in the order of the summary.

    Raises:
      ValueError: measures that are not one value per repeat, or a setting that comes
        twice.
    """
    rows, seen = [], set()
    for columns, values in settings:
        key = tuple(columns.items())
        if key in seen:
            raise ValueError(f"settings: {dict(columns)} comes twice")
        seen.add(key)
        for measure, found in values.items():
            found = np.asarray(found)
            if found.ndim != 1:
                raise ValueError(
                    f"values: {measure!r} has shape {found.shape}, expected (repeats,)"
                )
            rows += [
                {**columns, "repeat": repeat, "measure": measure, "value": f"{v:.8g}"}
                for repeat, v in enumerate(found.tolist())
                if math.isfinite(v)
            ]
    write_csv(folder / FILE, rows)
