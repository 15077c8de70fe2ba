"""Numbers in files, and tables of text for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def in_file(value: float | np.ndarray) -> str:
    """A number in a file: six digits that count, and four after the point at least.

    Empty where it is undefined.
    """
    number = float(value)
    if not math.isfinite(number):
        return ""
    size = abs(number)
    if 0 < size < 1e-4:
        return f"{number:.5e}"
    digits = 5 - math.floor(math.log10(size)) if size else 4
    return f"{number:.{max(4, digits)}f}"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligns columns: the first to the left, the others to the right."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = []
    for number, row in enumerate(table):
        cells = [row[0].ljust(widths[0])]
        rest = zip(row[1:], widths[1:], strict=True)
        cells += [cell.rjust(width) for cell, width in rest]
        lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)
