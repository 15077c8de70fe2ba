"""Tables, plots and words on an open-set study, from its table alone."""

from __future__ import annotations

import numpy as np

from experiments.studies.active_learning.headroom import headroom
from experiments.studies.active_learning.screen import PREFIX
from experiments.studies.active_learning.surfaces import plot_surfaces
from experiments.study.numbers import Measure, in_words, mean
from experiments.study.plot import Line, Panel, draw
from experiments.study.table import Table

MEASURES = (
    Measure("labels", "labels", is_share=False),
    Measure("labeled_in", "labelled IN", is_share=False),
    Measure("spent", "cost of all labels", is_share=False, lowest_is_best=True),
    Measure("accuracy", "accuracy %"),
    Measure("strict_accuracy", "strict accuracy %"),
    Measure("query_precision", "IN % of queries"),
    Measure("auroc", "AUROC % of purity"),
    Measure(f"{PREFIX}*", "masked loss of the next query", is_share=False),
)


def report(table: Table) -> str:
    """Draws `accuracy.png`, `query_precision.png` and MQNet's `surface.png`; the text.

    Accuracy is drawn against what all labels before the training have cost, the other
    against the round.
    """
    for key, words in (
        ("accuracy", "IN test accuracy (%)"),
        ("query_precision", "IN examples in the query (%)"),
    ):
        panels = [_panel(table, ratio, key, words) for ratio in _ratios(table)]
        draw(table.folder / f"{key}.png", panels, table.title)
    if table.facts["mqnet"]:
        plot_surfaces(table, table.facts["mqnet"])
    parts = [
        table.text(
            key,
            "method",
            "round",
            title=f"noise {ratio:g}, {table.measures[key].title}, round",
            most=8,
            noise_ratio=ratio,
        )
        for key in ("accuracy", "query_precision", "auroc")
        for ratio in _ratios(table)
        if any(np.isfinite(s.values[key]).any() for s in table.where(noise_ratio=ratio))
    ]
    parts += [headroom(table), meaning(table)]
    return "\n\n".join(part for part in parts if part)


def _ratios(table: Table) -> list[float]:
    return table.column("noise_ratio")


def _panel(table: Table, ratio: float, key: str, words: str) -> Panel:
    lines = []
    for method in table.column("method"):
        where = {"noise_ratio": ratio, "method": method}
        x, values = table.line(key, "round", **where)
        if key == "accuracy":
            x = mean(table.line("spent", "round", **where)[1])
        style = {"lw": 2.5} if method.startswith("mqnet") else {}
        lines.append(Line(method, x, 100 * values, style))
    xlabel = "cost of all labels" if key == "accuracy" else "round"
    return Panel(lines, xlabel, words, f"noise ratio {ratio:g}")


def meaning(table: Table, base: str = "random") -> str:
    """How every strategy's last accuracy compares with one's, paired by repeat."""
    found: dict[float, list[str]] = {}
    last = max(table.column("round"), default=0)
    for setting, differences in table.against({"method": base}, "accuracy"):
        if setting.columns["round"] != last:
            continue
        # The repeats of both begin with the same pool, labels and network.
        text = f"{setting.columns['method']} {in_words(100 * differences)}"
        found.setdefault(setting.columns["noise_ratio"], []).append(text)
    return "\n".join(
        f"noise {ratio:g}, last accuracy against {base} (points"
        + (", ± standard error" if "±" in parts[0] else "")
        + f"): {', '.join(parts)}"
        for ratio, parts in found.items()
    )
