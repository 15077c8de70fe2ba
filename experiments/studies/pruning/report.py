"""Tables, plots and summary of a pruning study."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from experiments.common.repeat_values import Setting, write_repeats
from experiments.common.tables import deviation, deviation_text, text_table
from experiments.studies.pruning.retrain import Training
from experiments.studies.pruning.subset_methods import FULL
from robustjax.training import Record, write_csv

# (method, fraction) -> measure -> (R,) values, and (R, B) of bins.
Cells = Mapping[tuple[str, float], Mapping[str, np.ndarray]]

# Measures in percent, and others.
SHARES = ("last", "best", "noisy_share", "correct_share", "relabel_accuracy")
LEVELS = ("objective", "neighborhood")
BINNED = ("bin_neighborhood", "bin_accuracy")


def collect(results: Mapping[Training, Record]) -> Cells:
    """Joins the repeats; what is undefined is NaN."""
    cells: dict[tuple[str, float], list[Record]] = {}
    for training in sorted(results, key=lambda training: training.repeat):
        key = training.method, training.fraction
        cells.setdefault(key, []).append(results[training])
    return {
        key: {
            name: np.array([record[name] for record in records], float)
            for name in (*SHARES, *LEVELS, *BINNED, "examples", "seconds")
        }
        for key, records in cells.items()
    }


def mean_and_deviation(values: np.ndarray) -> tuple[float, float]:
    """Over the repeats where it is defined; NaN as the deviation of a single one."""
    there = values[np.isfinite(values)]
    if there.size == 0:
        return float("nan"), float("nan")
    return float(there.mean()), float(deviation(there))


def write_summary(folder: pathlib.Path, cells: Cells) -> None:
    """Writes `summary.csv` (a row per method and fraction), `repeats.csv`, `bins.csv`.

    "last" and "best" are test accuracies; the best of the epochs that were measured
    looks at the test set, an upper bound and not a result. Shares are in percent.
    The files hold no times, so that a run that was killed and resumed gives the same
    bytes.
    """
    rows, bins, settings = [], [], []
    for (method, fraction), cell in cells.items():
        row: dict[str, object] = {"method": method, "fraction": f"{fraction:g}"}
        each = {
            name: cell[name] * (100 if name in SHARES else 1)
            for name in (*SHARES, *LEVELS)
        }
        settings.append(Setting(dict(row), each))
        row["examples"] = int(cell["examples"][0])
        for name in (*SHARES, *LEVELS):
            scale = 100 if name in SHARES else 1
            for kind, value in zip(("mean", "std"), mean_and_deviation(cell[name])):
                text = f"{scale * value:.4f}" if np.isfinite(value) else ""
                row[f"{name}_{kind}"] = text
        row["repeats"] = len(cell["last"])
        rows.append(row)
        levels, accuracies = (cell[name] for name in BINNED)
        for number in range(levels.shape[1]):
            accuracy, spread = mean_and_deviation(accuracies[:, number])
            bins.append(
                {
                    "method": method,
                    "fraction": f"{fraction:g}",
                    "bin": number,
                    "neighborhood_mean": f"{levels[:, number].mean():.6g}",
                    "accuracy_mean": f"{100 * accuracy:.4f}",
                    "accuracy_std": deviation_text(100 * spread, ".4f"),
                }
            )
    write_csv(folder / "summary.csv", rows)
    write_repeats(folder, settings)
    write_csv(folder / "bins.csv", bins)


def _methods(cells: Cells) -> list[str]:
    return list(dict.fromkeys(method for method, _ in cells))


def _fractions(cells: Cells) -> list[float]:
    """Those of the methods that prune."""
    return sorted({fraction for method, fraction in cells if method != FULL})


def _table(
    title: str, cells: Cells, text: Callable[[Mapping[str, np.ndarray]], str]
) -> str:
    """Methods against fractions, everything kept in a last column."""
    columns = _fractions(cells)
    if (FULL, 1.0) in cells and 1.0 not in columns:
        columns.append(1.0)
    rows = [
        [
            method,
            *(text(cells[method, f]) if (method, f) in cells else "" for f in columns),
        ]
        for method in _methods(cells)
    ]
    return text_table([title, *(f"{f:g}" for f in columns)], rows)


def _in_percent(name: str) -> Callable[[Mapping[str, np.ndarray]], str]:
    def text(cell: Mapping[str, np.ndarray]) -> str:
        mean, spread = mean_and_deviation(cell[name])
        if not np.isfinite(mean):
            return "-"
        if not np.isfinite(spread):
            return f"{100 * mean:.1f}"
        return f"{100 * mean:.1f} ±{100 * spread:.1f}"

    return text


def _level(name: str) -> Callable[[Mapping[str, np.ndarray]], str]:
    return lambda cell: f"{mean_and_deviation(cell[name])[0]:.1f}"


def tables(cells: Cells) -> str:
    """The table of the thesis' Table 5.2, and what explains it."""
    shown = (
        ("test accuracy, last (%)", _in_percent("last")),
        ("wrong labels kept (%Noisy)", _in_percent("noisy_share")),
        ("of them re-labelled (%Correct)", _in_percent("correct_share")),
        ("re-labelled, of all (%)", _in_percent("relabel_accuracy")),
        ("Eq. 5.8", _level("objective")),
    )
    return "\n\n".join(_table(title, cells, text) for title, text in shown)


def meaning(cells: Cells) -> str:
    """What the tables say, a sentence per fraction."""
    sentences = []
    for fraction in _fractions(cells):
        last = {
            method: mean_and_deviation(cells[method, fraction]["last"])
            for method, other in cells
            if other == fraction and method != FULL
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


def plot_accuracy(folder: pathlib.Path, cells: Cells, title: str) -> None:
    """Writes `accuracy.png`: test accuracy by fraction, bars of a sample deviation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    colors = _colors(cells)
    for method in _methods(cells):
        if method == FULL:
            full = 100 * mean_and_deviation(cells[FULL, 1.0]["last"])[0]
            axes.axhline(full, color="black", linestyle=":", label="everything kept")
            continue
        fractions = [f for f in _fractions(cells) if (method, f) in cells]
        found = [mean_and_deviation(cells[method, f]["last"]) for f in fractions]
        mean, spread = 100 * np.array(found).T
        axes.errorbar(
            fractions,
            mean,
            spread,
            label=method,
            color=colors[method],
            marker="o",
            markersize=3,
            capsize=2,
            linewidth=2 if method.startswith("prune4rel") else 1,
        )
    axes.set(xlabel="fraction kept", ylabel="test accuracy, last epoch (%)")
    axes.set_title(title, fontsize=8)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=2)
    figure.savefig(folder / "accuracy.png", dpi=120)


def plot_bins(folder: pathlib.Path, cells: Cells, title: str) -> None:
    """Writes `bins.png`: re-labelling accuracy by neighbourhood confidence.

    A panel per fraction; all training examples are in equal bins.
    """
    from matplotlib.figure import Figure

    fractions = _fractions(cells) or [1.0]
    columns = min(3, len(fractions))
    rows = -(-len(fractions) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    colors = _colors(cells)
    for axes, fraction in zip(panels, fractions):
        for (method, other), cell in cells.items():
            if other != fraction:
                continue
            levels, accuracies = (cell[name].mean(axis=0) for name in BINNED)
            axes.plot(
                levels,
                100 * accuracies,
                label=method,
                color=colors[method],
                marker="o",
                markersize=2,
                linewidth=1,
            )
        axes.set_xscale("symlog", linthresh=1.0)
        axes.set_xlim(left=0)
        axes.set_title(f"{fraction:g} kept", fontsize=9)
        axes.grid(alpha=0.3)
    for axes in panels[len(fractions) :]:
        axes.set_visible(False)
    panels[0].set(
        xlabel="neighbourhood confidence", ylabel="re-labelled as the true class (%)"
    )
    lines = {
        str(line.get_label()): line for axes in panels for line in axes.get_lines()
    }
    figure.legend(lines.values(), lines.keys(), fontsize=7, loc="outside right center")
    figure.suptitle(title, fontsize=8)
    figure.savefig(folder / "bins.png", dpi=120)


def _colors(cells: Cells) -> dict[str, tuple[float, ...]]:
    """One colour per method; the usual ten are too few."""
    import matplotlib

    palette = matplotlib.colormaps["tab20"]
    return {
        method: palette((2 * number + number // 10) % 20)
        for number, method in enumerate(_methods(cells))
    }
