"""Tables, plots and summaries of a feature-debiasing study."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.common.repeat_values import Setting, write_repeats
from experiments.common.repeats import Curves
from experiments.common.tables import (
    deviation,
    deviation_text,
    percent,
    text_table,
)
from experiments.studies.features.classification import DETECTION_SCORES
from robustjax.training import write_csv

Results = Mapping[tuple[str, int], Curves]
"""(method, number of examples) -> what it achieved."""

TITLES = {
    "test_accuracy": "test accuracy (%)",
    "adversarial_accuracy": "accuracy under attack (%)",
    "test_iou": "mean IoU (%)",
    "max_box_accuracy": "GT-known Loc (%), best threshold",
    "fixed_box_accuracy": "GT-known Loc (%), threshold 0.2",
    "heldout_ood_norm": "norm of activations, held-out OOD images",
    "test_norm": "norm of activations, test images",
    "class_cosine": "cosine of activations between classes",
}
_SHARES = (
    "test_accuracy",
    "adversarial_accuracy",
    "test_iou",
    "max_box_accuracy",
    "fixed_box_accuracy",
)


def last_values(curves: Curves) -> dict[str, np.ndarray]:
    """Every measure (R,) after the last epoch."""
    return {name: values[:, -1] for name, values in curves.values.items()}


def _is_detection(name: str) -> bool:
    return name.partition("_")[0] in DETECTION_SCORES


def _entries(name: str, values: np.ndarray) -> dict[str, str]:
    """Mean and sample deviation, shares in percent."""
    values = 100 * values if name in _SHARES else values
    spread = deviation_text(deviation(values), ".6g")
    return {f"{name}_mean": f"{values.mean():.6g}", f"{name}_std": spread}


def write_summary(folder: pathlib.Path, results: Results) -> None:
    """Writes `summary.csv`, a row per method and number of examples; and others.

    All measures but those of detection, after the last epoch. `repeats.csv` has them
    all, by repeat. Only `speed.csv` holds times, so that a run that was killed and
    resumed gives the same bytes.
    """
    rows, speeds, settings = [], [], []
    for (method, count), curves in results.items():
        row: dict[str, object] = {"method": method, "num_examples": count}
        found = last_values(curves)
        in_percent = {
            name: 100 * values if name in _SHARES or _is_detection(name) else values
            for name, values in found.items()
        }
        settings.append(Setting(dict(row), in_percent))
        for name, values in found.items():
            if not _is_detection(name):
                row |= _entries(name, values)
        row["repeats"] = len(next(iter(found.values())))
        row["epochs"] = int(curves.epochs[-1])
        rows.append(row)
        speeds.append(
            {
                "method": method,
                "num_examples": count,
                "minutes": f"{curves.minutes:.2f}",
                "images_per_second": f"{curves.examples_per_second:.0f}",
            }
        )
    write_csv(folder / "summary.csv", rows)
    write_repeats(folder, settings)
    write_csv(folder / "speed.csv", speeds)


def write_detection(folder: pathlib.Path, results: Results) -> bool:
    """Writes `detection.csv`, a row per score; tells whether there is anything."""
    rows = []
    for (method, count), curves in results.items():
        found = last_values(curves)
        for score in DETECTION_SCORES:
            mine = {
                name.removeprefix(f"{score}_"): values
                for name, values in found.items()
                if name.startswith(f"{score}_")
            }
            row: dict[str, object] = {"method": method, "num_examples": count}
            row["score"] = score
            for name, values in mine.items():
                row |= _entries(name, 100 * values)
            if mine:
                rows.append(row)
    if rows:
        write_csv(folder / "detection.csv", rows)
    return bool(rows)


def _cell(name: str, values: np.ndarray) -> str:
    if name in _SHARES:
        return percent(values)
    if values.size == 1:
        return f"{values[0]:.3g}"
    return f"{values.mean():.3g} ±{deviation(values):.2g}"


def _columns(results: Results) -> tuple[list[str], list[int]]:
    """Methods and numbers of examples, in order."""
    methods = list(dict.fromkeys(method for method, _ in results))
    return methods, sorted({count for _, count in results})


def tables(results: Results, headline: Sequence[str]) -> str:
    """A table per measure: methods as rows, numbers of examples as columns."""
    methods, counts = _columns(results)
    parts = []
    for name in headline:
        rows = [
            [method]
            + [_cell(name, last_values(results[method, n])[name]) for n in counts]
            for method in methods
        ]
        header = [f"{TITLES[name]}, N =", *(f"{count:,}" for count in counts)]
        parts.append(text_table(header, rows))
    return "\n\n".join(parts)


def detection_table(results: Results) -> str:
    """AUROC / AUPR-out / both FPR95 of every method and score, for the largest N."""
    methods, counts = _columns(results)
    names = ("auroc", "aupr_out", "fpr95_in_pos", "fpr95_ood_pos")
    rows = []
    for method in methods:
        found = last_values(results[method, counts[-1]])
        for score in DETECTION_SCORES:
            cells = [percent(found[f"{score}_{name}"]) for name in names]
            rows.append([f"{method}, {score}", *cells])
    return text_table([f"OOD detection (%), N = {counts[-1]:,}", *names], rows)


def meaning(results: Results, main: str) -> str:
    """What the main table says of TAUFE and OAT, in a sentence each."""
    methods, counts = _columns(results)
    if "standard" not in methods:
        return ""
    lines = []
    for method in methods:
        if method == "standard":
            continue
        differences = []
        for count in counts:
            base, values = (
                100 * last_values(results[name, count])[main]
                for name in ("standard", method)
            )
            # The repeats of both begin with the same network and the same examples.
            difference = values - base
            error = ""
            if len(difference) > 1:
                error = f" ±{deviation(difference) / len(difference) ** 0.5:.1f}"
            differences.append(f"{difference.mean():+.1f}{error}")
        lines.append(
            f"{method} against standard, {TITLES[main]}: {', '.join(differences)} "
            f"(N = {', '.join(f'{n:,}' for n in counts)}; paired by repeat"
            + (", ± standard error)" if "±" in differences[0] else ")")
        )
    return "\n".join(lines)


def plot_curves(folder: pathlib.Path, results: Results, main: str, title: str) -> None:
    """Writes `curves.png`: the main measure by N, and by epoch for every N."""
    from matplotlib.figure import Figure

    methods, counts = _columns(results)
    panels_wide = 1 + len(counts)
    figure = Figure(figsize=(3.4 * panels_wide, 3.4), layout="constrained")
    panels = figure.subplots(1, panels_wide, squeeze=False)[0]
    scale = 100 if main in _SHARES else 1
    for number, method in enumerate(methods):
        color = f"C{number}"
        last = [scale * last_values(results[method, n])[main] for n in counts]
        means = [values.mean() for values in last]
        deviations = [float(deviation(values)) for values in last]
        panels[0].errorbar(
            counts, means, deviations, color=color, marker="o", capsize=3, label=method
        )
        for axes, count in zip(panels[1:], counts):
            curves = results[method, count]
            values = scale * curves.values[main]
            mean, spread = values.mean(axis=0), deviation(values)
            axes.plot(curves.epochs, mean, color=color, marker=".", label=method)
            band = (mean - spread, mean + spread)
            axes.fill_between(curves.epochs, *band, color=color, alpha=0.15)
    panels[0].set(xlabel="N", ylabel=TITLES[main], title="last epoch")
    if len(counts) > 1:
        panels[0].set_xscale("log")
    panels[0].set_xticks(counts, [f"{count:,}" for count in counts])
    panels[0].minorticks_off()
    panels[0].legend(fontsize=8)
    for axes, count in zip(panels[1:], counts):
        axes.set(xlabel="epoch", title=f"N = {count:,}")
    for axes in panels:
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=9)
    figure.savefig(folder / "curves.png", dpi=120)
