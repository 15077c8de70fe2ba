"""Tables, plots and the summary of an open-set study."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.common.repeat_values import Setting, write_repeats
from experiments.common.tables import deviation, percent, text_table
from robustjax.training import Record, write_csv

Results = Mapping[tuple[float, str], Mapping[str, np.ndarray]]
"""(noise ratio, method) -> measure -> (R, rounds), NaN where not measured."""

MEASURES = (
    "labels",
    "labeled_in",
    "spent",
    "accuracy",
    "strict_accuracy",
    "purity",
    "auroc",
)
_SHARES = ("accuracy", "strict_accuracy", "purity", "auroc")


def read_results(
    records: Sequence[Record],
    noise_ratios: Sequence[float],
    methods: Sequence[str],
    repeats: int,
    trainings: int,
) -> dict[tuple[float, str], dict[str, np.ndarray]]:
    """The results of a finished study from its log."""
    results = {
        (ratio, method): {
            name: np.full((repeats, trainings), np.nan) for name in MEASURES
        }
        for ratio in noise_ratios
        for method in methods
    }
    for record in records:
        found = results[record["noise_ratio"], record["method"]]
        for name in MEASURES:
            # NaN is null in the log, and the last training has no queries.
            value = record.get(name)
            if value is not None:
                found[name][record["repeat"], record["round"] - 1] = value
    return results


def _mean(values: np.ndarray) -> np.ndarray:
    """Over repeats, those that were not measured left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # Nothing was measured.
        return np.nanmean(values, axis=0)


def write_summary(folder: pathlib.Path, results: Results) -> None:
    """Writes `summary.csv`, a row per noise ratio, method and round; `repeats.csv`.

    Means and sample standard deviations over repeats, shares in percent. Labels and
    costs are those before the round's queries, purity is the share of IN among its
    queries. They hold no times, so that a run that was killed and resumed gives the
    same bytes.
    """
    rows, settings = [], []
    for (ratio, method), found in results.items():
        repeats, rounds = found["accuracy"].shape
        for number in range(rounds):
            row: dict[str, object] = {
                "noise_ratio": f"{ratio:g}",
                "method": method,
                "round": number + 1,
            }
            each = {
                name: found[name][:, number] * (100 if name in _SHARES else 1)
                for name in MEASURES
            }
            settings.append(Setting(dict(row), each))
            for name in MEASURES:
                values = each[name][:, None]
                mean, spread = _mean(values)[0], deviation(values)[0]
                for suffix, value in (("mean", mean), ("std", spread)):
                    shown = f"{value:.4f}" if np.isfinite(value) else ""
                    row[f"{name}_{suffix}"] = shown
            row["repeats"] = repeats
            rows.append(row)
    write_csv(folder / "summary.csv", rows)
    write_repeats(folder, settings)


def _shown(total: int, most: int = 8) -> list[int]:
    """At most `most` column numbers out of `total`, first and last included."""
    if total <= most:
        return list(range(total))
    return sorted({round(i * (total - 1) / (most - 1)) for i in range(most)})


def _cell(values: np.ndarray) -> str:
    values = values[np.isfinite(values)]
    return percent(values) if values.size else "-"


def tables(results: Results) -> str:
    """Accuracy and purity by round, a table per noise ratio."""
    parts = []
    for name, words in (
        ("accuracy", "accuracy %"),
        ("purity", "IN % of queries"),
        ("auroc", "AUROC % of purity"),
    ):
        for ratio in dict.fromkeys(ratio for ratio, _ in results):
            mine = {s: found[name] for (r, s), found in results.items() if r == ratio}
            mine = {s: v for s, v in mine.items() if np.isfinite(v).any()}
            if not mine:
                continue
            rounds = next(iter(mine.values())).shape[1]
            measured = [
                c for c in range(rounds)
                if any(np.isfinite(v[:, c]).any() for v in mine.values())
            ]  # fmt: skip
            columns = [measured[i] for i in _shown(len(measured))]
            header = [
                f"noise {ratio:g}, {words}, round",
                *(str(c + 1) for c in columns),
                "mean",
            ]
            rows = [
                [
                    method,
                    *(_cell(values[:, c]) for c in columns),
                    f"{100 * np.nanmean(values):.1f}",
                ]
                for method, values in mine.items()
            ]
            parts.append(text_table(header, rows))
    return "\n\n".join(parts)


def plot(
    folder: pathlib.Path, results: Results, name: str, words: str, title: str
) -> None:
    """Draws a measure into `<name>.png`: a panel per noise ratio.

    Accuracy is drawn against what all labels before the training have cost, purity
    against the round. Bands are sample deviations over repeats.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    ratios = list(dict.fromkeys(ratio for ratio, _ in results))
    methods = list(dict.fromkeys(method for _, method in results))
    figure = Figure(figsize=(5 * len(ratios) + 1.5, 4.2), layout="constrained")
    panels = figure.subplots(1, len(ratios), squeeze=False)[0]
    colors = colormaps["tab20"]
    for ratio, axes in zip(ratios, panels):
        for number, method in enumerate(methods):
            found = results[ratio, method]
            mean, spread = 100 * _mean(found[name]), 100 * deviation(found[name])
            x = np.arange(1, len(mean) + 1)
            if name == "accuracy":
                x = _mean(found["spent"])
            color = colors((2 * number) % 20 + number // 10)
            wide = 2.5 if method.startswith("mqnet") else 1.2
            axes.plot(x, mean, marker="o", ms=3, lw=wide, color=color, label=method)
            band = mean - spread, mean + spread
            axes.fill_between(x, *band, color=color, alpha=0.1, lw=0)
        axes.set(
            title=f"noise ratio {ratio:g}",
            xlabel="cost of all labels" if name == "accuracy" else "round",
        )
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(words)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.savefig(folder / f"{name}.png", dpi=120)


def meaning(results: Results, base: str = "random") -> str:
    """How every method's last accuracy compares with one's, paired by repeat."""
    lines = []
    for ratio in dict.fromkeys(ratio for ratio, _ in results):
        if (ratio, base) not in results:
            continue
        reference = 100 * results[ratio, base]["accuracy"]
        parts = []
        for (r, method), found in results.items():
            if r != ratio or method == base:
                continue
            # The repeats of both begin with the same pool, labels and network.
            difference = (100 * found["accuracy"] - reference)[:, -1]
            error = ""
            if len(difference) > 1:
                error = f" ±{deviation(difference) / len(difference) ** 0.5:.1f}"
            parts.append(f"{method} {difference.mean():+.1f}{error}")
        if parts:
            lines.append(
                f"noise {ratio:g}, last accuracy against {base} (points"
                + (", ± standard error" if "±" in parts[0] else "")
                + f"): {', '.join(parts)}"
            )
    return "\n".join(lines)
