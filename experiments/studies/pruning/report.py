"""Tables, plots and words on a pruning study, from its table alone."""

from __future__ import annotations

import numpy as np

from experiments.studies.pruning.retrain import BINS
from experiments.studies.pruning.subset_methods import FULL
from experiments.study.numbers import (
    Measure,
    deviation,
    mean,
)
from experiments.study.plot import Line, Panel, draw
from experiments.study.settings import Setting
from experiments.study.table import Table
from robustjax.tools.tables import in_file
from robustjax.training import write_csv

# "last" and "best" are test accuracies; the best of the epochs that were measured
# looks at the test set, an upper bound and not a result.
MEASURES = (
    Measure("last", "test accuracy, last (%)"),
    Measure("best", "test accuracy, best on test (%)"),
    Measure("noisy_share", "wrong labels kept (%Noisy)", lowest_is_best=True),
    Measure("correct_share", "of them re-labelled (%Correct)"),
    Measure("relabel_accuracy", "re-labelled, of all with a class (%)"),
    Measure("foreign_share", "foreign images kept (%)", lowest_is_best=True),
    Measure("objective", "Eq. 5.8", is_share=False),
    Measure("neighborhood", "neighbourhood confidence", is_share=False),
)


def report(table: Table) -> str:
    """Draws `accuracy.png` and `bins.png`, writes `bins.csv`; the text."""
    _draw_accuracy(table)
    bins = _bins(table)
    _write_bins(table, bins)
    _draw_bins(table, bins)
    shown = (
        *("last", "noisy_share", "correct_share", "relabel_accuracy"),
        *("foreign_share", "objective"),
    )
    measured = {key for setting in table.settings for key in setting.values}
    parts = [table.text(key, "method", "fraction") for key in shown if key in measured]
    return "\n\n".join([*parts, meaning(table)])


def _fractions(table: Table) -> list[float]:
    """Those of the methods that prune."""
    found = (s.columns for s in table.settings)
    return sorted({c["fraction"] for c in found if c["method"] != FULL})


def _last(setting: Setting) -> tuple[float, float]:
    values = setting.values["last"]
    return float(mean(values)), float(deviation(values))


def meaning(table: Table) -> str:
    """What the tables say, a sentence per fraction."""
    sentences = []
    for fraction in _fractions(table):
        last = {
            s.columns["method"]: _last(s)
            for s in table.where(fraction=fraction)
            if s.columns["method"] != FULL
        }
        best = max(last, key=lambda name: last[name][0])
        text = f"{fraction:g}: {best} is best with {100 * last[best][0]:.1f} %"
        if "uniform" in last and best != "uniform":
            base = last["uniform"]
            text += f", against {100 * base[0]:.1f} % of uniform"
            if last[best][0] - base[0] <= last[best][1] + base[1]:
                text += ", within the deviations of both"
        sentences.append(text)
    return "\n".join(sentences)


def _draw_accuracy(table: Table) -> None:
    """Test accuracy by fraction."""
    lines = []
    for method in table.column("method"):
        x, values = table.line("last", "fraction", method=method)
        style = {"lw": 2} if method.startswith("prune4rel") else {}
        if method == FULL:
            x = x[:0]
            style = {}
        lines.append(Line(method, x, 100 * values, style))
    panel = Panel(lines, "fraction kept", "test accuracy, last epoch (%)", bars=True)
    draw(table.folder / "accuracy.png", [panel], table.title)


Bins = dict[tuple[str, float], tuple[np.ndarray, np.ndarray]]


def _bins(table: Table) -> Bins:
    """(method, fraction) -> (R, B) levels, and accuracies of equal bins."""
    found: dict[tuple[str, float], list[tuple[int, list[float], list[float]]]] = {}
    for record in table.records(BINS):
        key = record["method"], record["fraction"]
        row = record["repeat"], record["levels"], record["accuracies"]
        found.setdefault(key, []).append(row)
    return {
        key: (
            np.array([r[1] for r in sorted(rows)]),
            np.array([r[2] for r in sorted(rows)]),
        )
        for key, rows in found.items()
    }


def _write_bins(table: Table, bins: Bins) -> None:
    rows = [
        {
            "method": method,
            "fraction": f"{fraction:g}",
            "bin": number,
            "neighborhood_mean": in_file(levels[:, number].mean()),
            "accuracy_mean": in_file(100 * mean(accuracies[:, number])),
            "accuracy_std": in_file(100 * deviation(accuracies[:, number])),
        }
        for (method, fraction), (levels, accuracies) in bins.items()
        for number in range(levels.shape[1])
    ]
    write_csv(table.folder / "bins.csv", rows)


def _draw_bins(table: Table, bins: Bins) -> None:
    """Re-labelling accuracy by neighbourhood confidence: a panel per fraction.

    All training examples that have a class are in equal bins.
    """
    panels = []
    for fraction in _fractions(table) or [1.0]:
        lines = [
            Line(method, levels.mean(axis=0), 100 * accuracies.mean(axis=0)[None])
            for (method, other), (levels, accuracies) in bins.items()
            if other == fraction
        ]
        panels.append(
            Panel(
                lines,
                "neighbourhood confidence",
                "re-labelled as the true class (%)",
                f"{fraction:g} kept",
                scale="symlog",
            )
        )
    draw(table.folder / "bins.png", panels, table.title, across=3)
