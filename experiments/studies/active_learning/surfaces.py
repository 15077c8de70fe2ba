"""What MQNet has learnt of purity and informativeness, round by round."""

from __future__ import annotations

import io
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.study.table import Table
from robustjax.methods.active_learning import (
    RANKED_BY,
    MQNetNotes,
    MQNetQuery,
    Proposal,
    QueryStrategy,
    iso_score_slope,
    score_surface,
)
from robustjax.tools.histograms import save

SURFACE = "surface"
_GRID = 60
_POINTS = 1000


def surface_of(
    strategy: QueryStrategy, proposal: Proposal, memory: Any, answered: np.ndarray
) -> bytes | None:
    """The surface by which a round was ranked, as an `.npz` file.

    Args:
      strategy: that asked.
      proposal: of the round.
      memory: of the strategy, as it was when it asked.
      answered: (Q,) rows that were paid for, in the order they were asked; where costs
        differ, fewer than were proposed.

    Returns:
      The file's content; None where MQNet did not rank the round.
    """
    notes = proposal.query.notes
    if not isinstance(notes, MQNetNotes) or not isinstance(strategy, MQNetQuery):
        return None
    if RANKED_BY[int(notes.ranked_by)] != "mqnet" or not len(answered):
        return None
    converted = np.asarray(notes.converted)
    purity, informativeness = (
        np.linspace(converted[:, axis].min(), converted[:, axis].max(), _GRID)
        for axis in (0, 1)
    )
    is_asked = np.isin(np.asarray(notes.rows), answered)
    lowest = converted[np.searchsorted(np.asarray(notes.rows), answered[-1])]
    others = converted[~is_asked]
    content = io.BytesIO()
    np.savez(
        content,
        purity=purity,
        informativeness=informativeness,
        surface=np.asarray(
            score_surface(
                memory.params,
                jnp.asarray(purity),
                jnp.asarray(informativeness),
                model=strategy.model,
            )
        ),
        lowest=lowest,
        slope=np.asarray(
            iso_score_slope(memory.params, jnp.asarray(lowest), model=strategy.model)
        ),
        asked=converted[is_asked],
        others=others[:: max(1, len(others) // _POINTS)],
    )
    return content.getvalue()


def plot_surfaces(table: Table, label: str) -> None:
    """Writes `surface.png`: a row per noise ratio, a panel per round.

    After Figure 4.5 of the thesis: scores as colours, those asked for as dots, and
    the line of equal scores through the last of them by its slope. Of the first
    repeat; nothing where nothing was ranked by a score that was learned.

    Args:
      table: of the run.
      label: of the strategy, an MQNet.
    """
    from matplotlib.figure import Figure

    found = {
        (record["noise_ratio"], record["round"]): arrays
        for record, arrays in table.attached(SURFACE)
        if record["method"] == label
    }
    if not found:
        return
    columns = sorted({number for _, number in found})
    rows = list(dict.fromkeys(ratio for ratio, _ in found))
    figure = Figure(
        figsize=(2.6 * len(columns), 2.6 * len(rows) + 0.4), layout="constrained"
    )
    panels = figure.subplots(len(rows), len(columns), squeeze=False)
    for ratio, line in zip(rows, panels):
        for number, axes in zip(columns, line):
            if (ratio, number) not in found:
                axes.axis("off")
                continue
            _draw(axes, found[ratio, number], f"noise {ratio:g}, round {number}")
        line[0].set_ylabel("purity")
    for axes in panels[-1]:
        axes.set_xlabel("informativeness")
    title = f"{label}, {table.title}, first repeat"
    save(figure, table.folder / "surface.png", title)


def _draw(axes: Any, file: Any, title: str) -> None:
    axes.pcolormesh(
        file["informativeness"], file["purity"], file["surface"], shading="gouraud"
    )
    for name, color in (("others", "white"), ("asked", "red")):
        points = file[name]
        axes.scatter(points[:, 1], points[:, 0], s=2, color=color, linewidths=0)
    slope = float(file["slope"])
    bounds = axes.get_xlim(), axes.get_ylim()
    if np.isfinite(slope):
        purity, informativeness = file["lowest"]
        axes.axline((informativeness, purity), slope=slope, color="black", lw=1)
        axes.set(xlim=bounds[0], ylim=bounds[1])
    axes.set_title(f"{title}, slope {slope:.2f}", fontsize=8)
