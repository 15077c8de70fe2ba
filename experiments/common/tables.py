"""Plain text tables, and the one deviation that tables, files and bands show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def deviation(values: np.ndarray) -> np.ndarray:
    """The sample standard deviation (n - 1 in the denominator) over repeats.

    Args:
      values: (R, ...); NaN where a repeat was not measured, which leaves it out.

    Returns:
      (...) float64; NaN, and not 0, where fewer than two repeats were measured: one
      repeat says nothing of how far others lie. Plots then have no band, files an
      empty cell.
    """
    values = np.asarray(values, np.float64)
    there = np.isfinite(values)
    count = there.sum(axis=0)
    mean = np.where(there, values, 0).sum(axis=0) / np.maximum(count, 1)
    square = np.where(there, (values - mean) ** 2, 0).sum(axis=0)
    return np.where(count > 1, np.sqrt(square / np.maximum(count - 1, 1)), np.nan)


def deviation_text(value: float | np.ndarray, form: str) -> str:
    """A deviation in a file, in a format such as ".4f"; empty where there is none."""
    return format(float(value), form) if np.isfinite(value) else ""


def percent(values: np.ndarray) -> str:
    """Mean and `deviation` over repeats (R,) of shares, in percent."""
    if values.size == 1:
        return f"{100 * values[0]:.1f}"
    return f"{100 * values.mean():.1f} ±{100 * deviation(values):.1f}"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligns columns: the first to the left, the others to the right."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = []
    for number, row in enumerate(table):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)
