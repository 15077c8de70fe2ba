"""What MQNet has learnt of purity and informativeness, round by round."""

from __future__ import annotations

import io
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from robustjax.files import write_atomically
from robustjax.methods.active_learning import (
    RANKED_BY,
    MQNetNotes,
    MQNetQuery,
    Proposal,
    QueryStrategy,
    iso_score_slope,
    score_surface,
)

_GRID = 60
_POINTS = 1000


def write_surface(
    folder: pathlib.Path,
    number: int,
    strategy: QueryStrategy,
    proposal: Proposal,
    memory: Any,
    answered: np.ndarray,
) -> None:
    """Keeps the surface by which a round was ranked, where MQNet ranked it.

    Args:
      folder: of the run; gets `surfaces/round_<number>.npz`, counted from 1.
      number: of the round, from 0.
      strategy: that asked.
      proposal: of the round.
      memory: of the strategy, as it was when it asked.
      answered: (Q,) rows that were paid for, in the order they were asked; where costs
        differ, fewer than were proposed.
    """
    notes = proposal.query.notes
    if not isinstance(notes, MQNetNotes) or not isinstance(strategy, MQNetQuery):
        return
    if RANKED_BY[int(notes.ranked_by)] != "mqnet" or not len(answered):
        return
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
    (folder / "surfaces").mkdir(exist_ok=True)
    write_atomically(
        folder / "surfaces" / f"round_{number + 1:02d}.npz", content.getvalue()
    )


def plot_surfaces(
    folder: pathlib.Path, runs: dict[float, pathlib.Path], rounds: int, title: str
) -> bool:
    """Writes `surface.png`: a row per noise ratio, a panel per round.

    After Figure 4.5 of the thesis: scores as colours, those asked for as dots, and
    the line of equal scores through the last of them by its slope.

    Args:
      folder: of the study.
      runs: noise ratio -> folder of a run of MQNet.
      rounds: of the study.
      title: of the picture.

    Returns:
      Whether there was anything to show.
    """
    from matplotlib.figure import Figure

    found = {
        (ratio, number): path
        for ratio, run in runs.items()
        for number in range(1, rounds + 1)
        if (path := run / "surfaces" / f"round_{number:02d}.npz").exists()
    }
    if not found:
        return False
    columns = sorted({number for _, number in found})
    rows = [ratio for ratio in runs if any(key[0] == ratio for key in found)]
    figure = Figure(
        figsize=(2.6 * len(columns), 2.6 * len(rows) + 0.4), layout="constrained"
    )
    panels = figure.subplots(len(rows), len(columns), squeeze=False)
    for ratio, line in zip(rows, panels):
        for number, axes in zip(columns, line):
            if (ratio, number) not in found:
                axes.axis("off")
                continue
            with np.load(found[ratio, number]) as file:
                _draw(axes, file, f"noise {ratio:g}, round {number}")
        line[0].set_ylabel("purity")
    for axes in panels[-1]:
        axes.set_xlabel("informativeness")
    figure.suptitle(title, fontsize=9)
    figure.savefig(folder / "surface.png", dpi=120)
    return True


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
