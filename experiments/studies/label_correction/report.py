"""Tables, plot and summary of a label-correction study."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from experiments.common.repeat_values import Setting, write_repeats
from experiments.common.tables import (
    deviation,
    deviation_text,
    percent,
    text_table,
)
from robustjax.methods import Budget
from robustjax.training import write_csv


@dataclasses.dataclass(frozen=True)
class MethodResult:
    """What one method achieved.

    Attributes:
      accuracy: (R, rounds + 1) test accuracy in [0, 1].
      selection: (R, rounds) share of wrong labels among the queried.
      picks: (R, G) queried examples, in order.
    """

    accuracy: np.ndarray
    selection: np.ndarray
    picks: np.ndarray


Results = Mapping[str, MethodResult]


def _asked(budget: Budget) -> list[int]:
    return [budget.asked(number) for number in range(budget.rounds + 1)]


def write_summary(folder: pathlib.Path, results: Results, budget: Budget) -> None:
    """Writes `summary.csv`, a row per method and number of labels; and `repeats.csv`.

    Means and sample standard deviations over repeats, in percent. They hold no times,
    so that a run that was killed and resumed gives the same bytes.
    """
    rows, settings = [], []
    for method, result in results.items():
        repeats = result.accuracy.shape[0]
        for number, labels in enumerate(_asked(budget)):
            row: dict[str, object] = {"method": method, "labels": labels}
            measures = {"accuracy": result.accuracy[:, number]}
            if number > 0:
                measures["selection_accuracy"] = result.selection[:, number - 1]
            each = {name: 100 * values for name, values in measures.items()}
            settings.append(Setting(dict(row), each))
            for name, values in measures.items():
                row[f"{name}_mean"] = f"{100 * values.mean():.4f}"
                row[f"{name}_std"] = deviation_text(100 * deviation(values), ".4f")
            row["repeats"] = repeats
            rows.append(row)
    write_csv(folder / "summary.csv", rows)
    write_repeats(folder, settings)


def _shown(total: int, most: int = 9) -> list[int]:
    """At most `most` column numbers out of `total`, first and last included."""
    if total <= most:
        return list(range(total))
    return sorted({round(i * (total - 1) / (most - 1)) for i in range(most)})


def accuracy_table(results: Results, budget: Budget) -> str:
    """Test accuracy against queried labels, a row per method."""
    asked = _asked(budget)
    columns = _shown(len(asked))
    header = ["accuracy % at labels", *(f"{asked[c]:,}" for c in columns)]
    rows = [
        [method, *(percent(result.accuracy[:, c]) for c in columns)]
        for method, result in results.items()
    ]
    return text_table(header, rows)


def selection_table(results: Results, budget: Budget) -> str:
    """Wrong labels among the queried, per batch: the layout of Kim's Table 1."""
    asked = _asked(budget)[1:]
    columns = _shown(len(asked), 8)
    header = ["noisy % of batch at", *(f"{asked[c]:,}" for c in columns), "mean"]
    rows = [
        [
            method,
            *(f"{100 * result.selection[:, c].mean():.1f}" for c in columns),
            f"{100 * result.selection.mean():.1f}",
        ]
        for method, result in results.items()
    ]
    return text_table(header, rows)


def plot(folder: pathlib.Path, results: Results, budget: Budget, title: str) -> None:
    """Draws accuracy and selection accuracy against labels into `accuracy.png`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    asked = np.array(_asked(budget))
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5))
    colors = plt.get_cmap("tab20")
    for number, (method, result) in enumerate(results.items()):
        color = colors((2 * number) % 20 + number // 10)
        for axes, x, values in (
            (left, asked, result.accuracy),
            (right, asked[1:], result.selection),
        ):
            mean, spread = 100 * values.mean(0), 100 * deviation(values)
            wide = 2.5 if method == "alc" else 1.5
            axes.plot(x, mean, marker="o", ms=3, lw=wide, color=color, label=method)
            low, high = mean - spread, mean + spread
            axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0)
    left.set_ylabel("test accuracy (%)")
    right.set_ylabel("wrong labels among the queried (%)")
    for axes in (left, right):
        axes.set_xlabel("labels corrected")
        axes.grid(alpha=0.3)
    right.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=9)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(folder / "accuracy.png", dpi=110)
    plt.close(figure)


def meaning(results: Results, budget: Budget, noise_share: float) -> str:
    """Two sentences on what came out, from the numbers."""
    weighted = "alc" if "alc" in results else "robust"
    plain = next((m for m in ("random", "entropy") if m in results), None)
    if weighted not in results or plain is None:
        return ""
    first, last = results[weighted].accuracy, results[plain].accuracy
    selected, chance = results[weighted].selection, results[plain].selection
    return (
        f"With {noise_share:.0%} of the labels wrong and none corrected yet, weighting "
        f"examples by their loss gives {100 * first[:, 0].mean():.1f} % test accuracy "
        f"against {100 * last[:, 0].mean():.1f} % for plain training. Of the "
        f"{budget.total:,} labels that {weighted!r} then asked for, "
        f"{100 * selected.mean():.1f} % really were wrong ({plain}: "
        f"{100 * chance.mean():.1f} %), and its accuracy went to "
        f"{100 * first[:, -1].mean():.1f} % ({plain}: "
        f"{100 * last[:, -1].mean():.1f} %)."
    )
