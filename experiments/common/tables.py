"""Plain text tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def percent(values: np.ndarray) -> str:
    """Mean and sample standard deviation over repeats of shares, in percent."""
    if values.size == 1:
        return f"{100 * values[0]:.1f}"
    return f"{100 * values.mean():.1f} ±{100 * values.std(ddof=1):.1f}"


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
