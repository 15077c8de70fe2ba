"""Tables, plots and words on a label-correction study, from its table alone."""

from __future__ import annotations

import numpy as np

from experiments.study.numbers import Measure, in_cell, shown
from experiments.study.plot import Line, Panel, draw
from experiments.study.table import Table
from robustjax.tools.histograms import draw_histograms, label_histograms
from robustjax.tools.tables import text_table

MEASURES = (
    Measure("accuracy", "accuracy % at labels"),
    Measure("selection_accuracy", "noisy % of batch at"),
    Measure("asked", "labels asked at", is_share=False),
    Measure("spent", "spent at", is_share=False),
)


def axis_of(table: Table) -> str:
    """The column that accuracies are drawn against."""
    return "budget" if table.column("budget") else "labels"


def report(table: Table) -> str:
    """Draws `accuracy.png` and `examples.png`; the text."""
    panels = []
    axis = axis_of(table)
    below = "labels corrected" if axis == "labels" else "budget for labels"
    for key, words in (
        ("accuracy", "test accuracy (%)"),
        ("selection_accuracy", "wrong labels among the queried (%)"),
    ):
        lines = []
        for method in table.column("method"):
            x, values = table.line(key, axis, method=method)
            style = {"lw": 2.5} if method == "alc" else {}
            lines.append(Line(method, x, 100 * values, style))
        panels.append(Panel(lines, below, words))
    draw(table.folder / "accuracy.png", panels, table.title)
    weights = label_histograms(table.examples(repeat=0), ("weight",))
    draw_histograms(table.folder / "examples.png", weights, table.title)
    parts = (
        table.text("accuracy", "method", axis, title=f"accuracy % at {axis}"),
        selection_text(table),
        *costs_text(table),
        meaning(table),
    )
    return "\n\n".join(part for part in parts if part)


def selection_text(table: Table) -> str:
    """Wrong labels among the queried, per batch: the layout of Kim's Table 1.

    The mean is that over all queries: the last batch may be smaller.
    """
    of = table.measures["selection_accuracy"]
    header: list[str] = []
    rows = []
    axis = axis_of(table)
    for method in table.column("method"):
        labels, values = table.line(of.key, axis, method=method)
        columns = shown(range(len(labels)), 8)
        header = [of.title, *(f"{labels[c]:,}" for c in columns), "mean"]
        cells = [in_cell(values[:, c], of) for c in columns]
        reached = np.asarray(labels)
        if axis != "labels":
            budgets, asked = table.line("asked", axis, method=method)
            reached = asked[:, np.isin(budgets, labels)]
        rows.append([method, *cells, in_cell(_of_all_queries(reached, values), of)])
    return text_table(header, rows)


def costs_text(table: Table) -> list[str]:
    """How many labels were asked for, and what they cost; nothing without costs."""
    if axis_of(table) == "labels":
        return []
    return [table.text(key, "method", "budget") for key in ("asked", "spent")]


def _of_all_queries(reached: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(R,) means over queries of (R, rounds) means over batches.

    Of the batches that were measured; NaN where none was.

    Args:
      reached: (rounds,) or (R, rounds) queries after each batch.
      values: (R, rounds) means over a batch.
    """
    size = np.where(np.isfinite(values), np.diff(reached, prepend=0), 0)
    total = (size * np.nan_to_num(values)).sum(axis=1)
    return np.divide(
        total,
        size.sum(axis=1),
        out=np.full(len(values), np.nan),
        where=size.sum(axis=1) > 0,
    )


def meaning(table: Table) -> str:
    """Two sentences on what came out, from the numbers."""
    there = table.column("method")
    weighted = "alc" if "alc" in there else "robust"
    plain = next((m for m in ("random", "entropy") if m in there), None)
    if weighted not in there or plain is None or axis_of(table) != "labels":
        return ""

    def of(method: str, key: str) -> np.ndarray:
        return 100 * table.line(key, "labels", method=method)[1]

    labels, _ = table.line("accuracy", "labels", method=weighted)
    first, last = of(weighted, "accuracy"), of(plain, "accuracy")
    selected, chance = (
        100 * _of_all_queries(*table.line("selection_accuracy", "labels", method=m))
        for m in (weighted, plain)
    )
    return (
        f"With {table.record['facts']['noise_rate']:.0%} of the labels wrong and none "
        f"corrected yet, weighting examples by their loss gives "
        f"{first[:, 0].mean():.1f} % test accuracy against {last[:, 0].mean():.1f} % "
        f"for plain training. Of the {labels[-1]:,} labels that {weighted!r} then "
        f"asked for, {selected.mean():.1f} % really were wrong ({plain}: "
        f"{chance.mean():.1f} %), and its accuracy went to "
        f"{first[:, -1].mean():.1f} % ({plain}: {last[:, -1].mean():.1f} %)."
    )
