"""What the diffusion study measures, and its table and plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.studies.label_correction.runner import Outcome
from experiments.studies.label_correction.setup import Data
from experiments.study.numbers import Measure, mean
from experiments.study.plot import Line, Panel, draw
from experiments.study.table import Table
from robustjax.tools.tables import text_table

QUARTERS = 4
_QUARTERED = tuple(
    Measure(
        f"{key}_quarter_{part + 1}",
        f"{key} %, quarter {part + 1}",
        lowest_is_best=key == "redundant",
    )
    for part in range(QUARTERS)
    for key in ("noisy", "redundant")
)
MEASURES = (
    Measure("accuracy", "accuracy %"),
    Measure("noisy", "noisy % of batch"),
    Measure("redundant", "redundant % of batch", lowest_is_best=True),
    *_QUARTERED,
)
_STYLES = {"none": "black", "literal": "tab:red", "delta": "tab:blue"}


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
    variant: Variant, outcome: Outcome, data: Data, neighbors: Any
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, np.ndarray]]]:
    """Per number of labels: columns, and every measure (R,)."""
    budget, neighbors = data.budget, np.asarray(neighbors)
    noisy = np.take_along_axis(data.task.is_noisy, outcome.picks, axis=1)
    for number in range(budget.rounds + 1):
        values = {"accuracy": outcome.accuracy[:, number]}
        if number < budget.rounds:
            first, count = budget.asked(number), budget.count(number)
            batch = slice(first, first + count)
            again = np.stack([redundant(p[batch], neighbors) for p in outcome.picks])
            values["noisy"] = noisy[:, batch].mean(axis=1)
            values["redundant"] = again.mean(axis=1)
            for part in range(QUARTERS):
                a, b = (count * q // QUARTERS for q in (part, part + 1))
                # The quarters of a batch of fewer than four are empty.
                for key, found in (("noisy", noisy[:, batch]), ("redundant", again)):
                    if b > a:
                        name = f"{key}_quarter_{part + 1}"
                        values[name] = found[:, a:b].mean(axis=1)
        yield {**variant._asdict(), "labels": budget.asked(number)}, values


def report(table: Table) -> str:
    """Draws `accuracy.png`, a panel per candidate set; the text."""
    panels = []
    for size in table.column("candidates"):
        lines = []
        for mode in table.column("mode"):
            for space in table.column("space"):
                where = {"candidates": size, "mode": mode, "space": space}
                x, values = table.line("accuracy", "labels", **where)
                if not len(x):
                    continue
                style = {
                    "color": _STYLES[mode],
                    "ls": "--" if space == "hidden" else "-",
                }
                lines.append(Line(f"{mode} {space}".strip(), x, 100 * values, style))
        title = f"|C| = {size}"
        panels.append(
            Panel(lines, "labels corrected", "test accuracy (%)", title, bars=True)
        )
    draw(table.folder / "accuracy.png", panels, table.title)
    parts = []
    for size in table.column("candidates"):
        for space in table.column("space"):
            where = {"candidates": size, "space": space}
            if table.where(**where):
                title = f"|C| = {size}, {space or 'no graph'}: accuracy %"
                parts.append(
                    table.text("accuracy", "mode", "labels", title=title, **where)
                )
    return "\n\n".join([*parts, first_batch_text(table), meaning(table)])


def meaning(table: Table) -> str:
    """Which way to spread is best in the end, of every candidate set, in a sentence."""
    sentences = []
    for size in table.column("candidates"):
        last: dict[str, float] = {}
        for setting in table.where(candidates=size):
            mode, space = (setting.columns[c] for c in ("mode", "space"))
            # The settings of a variant are in the order of their labels.
            last[f"{mode} {space}".strip()] = float(
                100 * mean(setting.values["accuracy"])
            )
        best = max(last, key=lambda name: last[name])
        said = f"|C| = {size}: {best} ends best with {last[best]:.1f} % test accuracy"
        if best != "none" and "none" in last:
            said += f", against {last['none']:.1f} % without diffusion"
        sentences.append(f"{said}.")
    return "\n".join(sentences)


def first_batch_text(table: Table) -> str:
    """Wrong labels and redundancy of the first batch, by its quarters."""
    header = ["first batch", "noisy %, 1st … 4th quarter", "redundant %, 1st … 4th"]
    rows = []
    for setting in table.where(labels=0):
        mode, space, candidates = (setting.columns[c] for c in Variant._fields)
        cells = [
            " ".join(
                f"{100 * mean(setting.values[name]):.0f}"
                for name in (f"{key}_quarter_{part + 1}" for part in range(QUARTERS))
                if name in setting.values
            )
            for key in ("noisy", "redundant")
        ]
        rows.append([f"|C| = {candidates}, {mode} {space}".strip(), *cells])
    return text_table(header, rows)
