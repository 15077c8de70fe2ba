"""What the diffusion study measures, and its table and plot."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common.repeat_values import Setting, write_repeats
from experiments.common.tables import deviation, deviation_text, text_table
from experiments.studies.label_correction.report import MethodResult
from experiments.studies.label_correction.setup import Study
from robustjax.training import write_csv

QUARTERS = 4


class Variant(NamedTuple):
    """How a variant picks.

    Attributes:
      mode: "none", "literal" or "delta".
      space: of the graph; "" without diffusion.
      candidates: the size of the candidate set.
    """

    mode: str
    space: str
    candidates: str


def redundant(picks: np.ndarray, neighbors: np.ndarray) -> np.ndarray:
    """Whether a pick is a neighbour of one made before it in the same batch.

    Args:
      picks: (Q,) in the order they were picked.
      neighbors: (N, k) nearest neighbours.

    Returns:
      (Q,) bool.
    """
    position = np.full(len(neighbors), len(picks))
    position[picks] = np.arange(len(picks))
    return (position[neighbors[picks]] < np.arange(len(picks))[:, None]).any(axis=1)


def measure(
    variant: Variant, result: MethodResult, study: Study, neighbors: Any
) -> list[Setting]:
    """Per number of labels every measure (R,), in percent."""
    budget, neighbors = study.budget, np.asarray(neighbors)
    noisy = np.take_along_axis(study.task.is_noisy, result.picks, axis=1)
    settings = []
    for number in range(budget.rounds + 1):
        values = {"accuracy": 100 * result.accuracy[:, number]}
        if number < budget.rounds:
            first, count = budget.asked(number), budget.count(number)
            batch = slice(first, first + count)
            again = np.stack([redundant(p[batch], neighbors) for p in result.picks])
            values["noisy"] = 100 * noisy[:, batch].mean(axis=1)
            values["redundant"] = 100 * again.mean(axis=1)
            for part in range(QUARTERS):
                a, b = (count * q // QUARTERS for q in (part, part + 1))
                name = f"quarter_{part + 1}"
                values[f"noisy_{name}"] = 100 * noisy[:, batch][:, a:b].mean(axis=1)
                values[f"redundant_{name}"] = 100 * again[:, a:b].mean(axis=1)
        columns = {**variant._asdict(), "labels": budget.asked(number)}
        settings.append(Setting(columns, values))
    return settings


def summarize(settings: Sequence[Setting]) -> list[dict[str, object]]:
    """One row per setting: means over repeats, and their sample deviations."""
    rows = []
    for columns, values in settings:
        row = dict(columns)
        for name, each in values.items():
            if "_quarter_" in name:
                row[name] = f"{each.mean():.3f}"
                continue
            row[f"{name}_mean"] = f"{each.mean():.3f}"
            row[f"{name}_std"] = deviation_text(deviation(each), ".3f")
        rows.append(row)
    return rows


def _by_variant(
    rows: Sequence[Mapping[str, Any]],
) -> dict[tuple[str, str, str], list[Mapping[str, Any]]]:
    found: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        key = (row["candidates"], row["mode"], row["space"])
        found.setdefault(key, []).append(row)
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy against labels, and the first batch by its quarters."""
    variants = _by_variant(rows)
    labels = [row["labels"] for row in next(iter(variants.values()))]
    header = ["|C|, diffusion, graph", *(f"acc {n:,}" for n in labels)]
    header += ["noisy, 1st … 4th quarter", "redundant, 1st … 4th"]
    lines = []
    for (candidates, mode, space), own in variants.items():
        first = own[0]
        quarters = [
            " ".join(
                f"{float(first[f'{name}_quarter_{q + 1}']):.0f}"
                for q in range(QUARTERS)
            )
            for name in ("noisy", "redundant")
        ]
        accuracy = [f"{float(row['accuracy_mean']):.1f}" for row in own]
        lines.append([f"{candidates:>3} {mode} {space}", *accuracy, *quarters])
    return text_table(header, lines)


def write(folder: pathlib.Path, settings: Sequence[Setting], title: str) -> None:
    """Writes `study.csv`, `repeats.csv`, `study.png` (a panel per candidate set)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = summarize(settings)
    write_csv(folder / "study.csv", rows)
    write_repeats(folder, settings)
    variants = _by_variant(rows)
    sizes = list(dict.fromkeys(key[0] for key in variants))
    figure, panels = plt.subplots(
        1, len(sizes), figsize=(4.2 * len(sizes), 4), sharey=True, squeeze=False
    )
    styles = {"none": "black", "literal": "tab:red", "delta": "tab:blue"}
    for (size, mode, space), own in variants.items():
        axes = panels[0, sizes.index(size)]
        axes.errorbar(
            [row["labels"] for row in own],
            [float(row["accuracy_mean"]) for row in own],
            [float(row["accuracy_std"] or "nan") for row in own],
            color=styles[mode],
            linestyle="--" if space == "hidden" else "-",
            label=f"{mode} {space}",
            marker="o",
            ms=3,
            capsize=2,
        )
    for axes, size in zip(panels[0], sizes):
        axes.set_title(f"|C| = {size}", fontsize=10)
        axes.set_xlabel("labels corrected")
        axes.grid(alpha=0.3)
    panels[0, 0].set_ylabel("test accuracy (%)")
    panels[0, 0].legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(folder / "study.png", dpi=110)
    plt.close(figure)
