"""Tables, plots and summary of a noisy-label study."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np

from experiments.common.repeat_values import Setting, write_repeats
from experiments.common.repeats import Curves
from experiments.common.tables import (
    deviation,
    deviation_text,
    percent,
    text_table,
)
from robustjax.training import write_csv

Results = Mapping[str, Curves]


def measures(curves: Curves) -> dict[str, np.ndarray]:
    """The accuracies (R,) that are reported for a method.

    "last" is the test accuracy after the last epoch, "last_10" the mean over the last
    ten epochs (left out of shorter trainings, of which it would be the mean of all,
    and where not each of the ten was measured), "best_on_test" the highest of all (it
    looks at the test set: an upper bound that is published often, not a result),
    "at_best_validation" that of the epoch with the highest accuracy on the held-out
    noisy labels.
    """
    test = curves.values["test_accuracy"]
    found = {"last": test[:, -1]}
    if len(curves.epochs) >= 10 and curves.epochs[-1] - curves.epochs[-10] == 9:
        found["last_10"] = test[:, -10:].mean(axis=1)
    found["best_on_test"] = test.max(axis=1)
    if "validation_accuracy" in curves.values:
        best = curves.values["validation_accuracy"].argmax(axis=1)
        found["at_best_validation"] = test[np.arange(len(test)), best]
    for name in ("noisy_correct", "noisy_memorized"):
        if name in curves.values:
            found[name] = curves.values[name][:, -1]
    return found


def write_summary(folder: pathlib.Path, results: Results) -> None:
    """Writes `summary.csv` (a row per method, percent), `repeats.csv`, `speed.csv`.

    Only the last holds times, so that a run that was killed and resumed gives the same
    bytes.
    """
    rows, speeds = [], []
    for method, curves in results.items():
        row: dict[str, object] = {"method": method}
        for name, values in measures(curves).items():
            row[f"{name}_mean"] = f"{100 * values.mean():.4f}"
            row[f"{name}_std"] = deviation_text(100 * deviation(values), ".4f")
        test = curves.values["test_accuracy"]
        row["repeats"], row["epochs"] = len(test), int(curves.epochs[-1])
        rows.append(row)
        speeds.append(
            {
                "method": method,
                "minutes": f"{curves.minutes:.2f}",
                "examples_per_second": f"{curves.examples_per_second:.0f}",
            }
        )
    write_csv(folder / "summary.csv", rows)
    write_repeats(
        folder,
        [
            Setting({"method": method}, {k: 100 * v for k, v in measures(c).items()})
            for method, c in results.items()
        ],
    )
    write_csv(folder / "speed.csv", speeds)


def accuracy_table(results: Results) -> str:
    """Method against the measures, mean ± deviation in percent, and the time."""
    names = list(
        dict.fromkeys(name for curves in results.values() for name in measures(curves))
    )
    rows = []
    for method, curves in results.items():
        found = measures(curves)
        cells = [percent(found[name]) if name in found else "" for name in names]
        speed = f"{curves.examples_per_second:,.0f}"
        rows.append([method, *cells, f"{curves.minutes:.1f}", speed])
    header = ["method", *(name.replace("_", " ") for name in names)]
    return text_table([*header, "minutes", "examples/s"], rows)


def meaning(results: Results) -> str:
    """What the table says, in a sentence or two."""
    if "ce" not in results or len(results) < 2:
        return ""
    last = {name: measures(curves)["last"] for name, curves in results.items()}
    base = last["ce"]
    best = max(last, key=lambda name: last[name].mean())
    better = [
        name
        for name, values in last.items()
        if name != "ce" and values.mean() - base.mean() > _spread(values, base)
    ]
    text = (
        f"After the last epoch {best} is best with {100 * last[best].mean():.1f} % "
        f"test accuracy, against {100 * base.mean():.1f} % of plain cross-entropy."
    )
    if not any(np.isfinite(_spread(base, values)) for values in last.values()):
        text += " One repeat has no deviation to hold that against."
    elif better:
        text += (
            " Above cross-entropy by more than the deviations of both: "
            f"{', '.join(better)}."
        )
    else:
        text += " No method is above it by more than the deviations of both."
    return text


def _spread(first: np.ndarray, second: np.ndarray) -> float:
    return float(deviation(first) + deviation(second))


def plot_accuracy(folder: pathlib.Path, results: Results, title: str) -> None:
    """Writes `accuracy.png`: test accuracy by epoch, bands of one sample deviation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for method, curves in results.items():
        test = 100 * curves.values["test_accuracy"]
        epochs = curves.epochs
        mean, spread = test.mean(axis=0), deviation(test)
        (line,) = axes.plot(epochs, mean, label=method)
        band = (mean - spread, mean + spread)
        axes.fill_between(epochs, *band, color=line.get_color(), alpha=0.15)
    axes.set(xlabel="epoch", ylabel="test accuracy (%)")
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(folder / "accuracy.png", dpi=120)


def plot_memorisation(folder: pathlib.Path, results: Results, title: str) -> None:
    """Writes `memorisation.png`: what becomes of wrongly labelled examples.

    A panel per method, over epochs: the share of wrongly labelled training examples
    predicted as their true class and as their wrong label, and the share of rightly
    labelled ones predicted right.
    """
    from matplotlib.figure import Figure

    watched = {
        name: curves
        for name, curves in results.items()
        if "noisy_memorized" in curves.values
    }
    if not watched:
        return
    columns = min(4, len(watched))
    rows = -(-len(watched) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    kinds = (
        ("clean_correct", "right label: predicted right", "tab:blue"),
        ("noisy_correct", "wrong label: predicted right", "tab:green"),
        ("noisy_memorized", "wrong label: memorised", "tab:red"),
    )
    for axes, (name, curves) in zip(panels, watched.items()):
        for key, label, color in kinds:
            mean = 100 * curves.values[key].mean(axis=0)
            axes.plot(curves.epochs, mean, color=color, label=label)
        axes.set_title(name, fontsize=9)
        axes.grid(alpha=0.3)
    for axes in panels[len(watched) :]:
        axes.set_visible(False)
    panels[0].set(xlabel="epoch", ylabel="training examples (%)")
    panels[0].legend(fontsize=6)
    figure.suptitle(title, fontsize=9)
    figure.savefig(folder / "memorisation.png", dpi=120)
