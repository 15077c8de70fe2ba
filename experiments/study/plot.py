"""Plots of a run: panels of lines with bands; nothing of any study."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from experiments.study.numbers import deviation, mean
from experiments.study.table import Table
from robustjax.tools.histograms import panels_of, save


@dataclasses.dataclass(frozen=True)
class Line:
    """One method in a panel.

    Attributes:
      label: for the legend.
      x: (X,) where it was measured; no entry draws a horizontal line.
      values: (R, X) of all repeats, in the units of the axis.
      style: further arguments of matplotlib's `plot`.
    """

    label: str
    x: Sequence[float] | np.ndarray
    values: np.ndarray
    style: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
      lines: what is drawn.
      xlabel: of the abscissa.
      ylabel: of the ordinate.
      title: above it.
      bars: draw deviations as bars, not as bands: for few, uneven points.
      scale: "linear", "log" or "symlog", of the abscissa.
      ticks: where the abscissa has ticks; by default matplotlib chooses, whole numbers
        where all that was measured is at such.
    """

    lines: Sequence[Line]
    xlabel: str
    ylabel: str = ""
    title: str = ""
    bars: bool = False
    scale: str = "linear"
    ticks: Sequence[float] | None = None


def draw(
    path: pathlib.Path | IO[bytes],
    panels: Sequence[Panel],
    title: str,
    *,
    across: int = 4,
) -> None:
    """Draws panels of lines with bands (or bars) of one sample deviation.

    Args:
      path: the PNG file, or an open one of matplotlib's `savefig.format`.
      panels: at least one; they share their ordinate where all have the same label.
      title: above everything.
      across: panels in a row.
    """
    labels = list(dict.fromkeys(line.label for p in panels for line in p.lines))
    colors = _colors(labels)
    columns = min(across, len(panels))
    figure, flat = panels_of(len(panels), columns, _same_ordinate(panels))
    for axes, panel in zip(flat, panels):
        for line in panel.lines:
            _draw_line(axes, panel, line, {"color": colors[line.label], **line.style})
        axes.set(xlabel=panel.xlabel, ylabel=panel.ylabel)
        axes.set_title(panel.title, fontsize="medium")
        axes.grid(alpha=0.3)
        if panel.scale == "symlog":
            axes.set_xscale("symlog", linthresh=1.0)
        elif panel.scale != "linear":
            axes.set_xscale(panel.scale)
        if panel.ticks is not None:
            axes.set_xticks(panel.ticks, [f"{x:,g}" for x in panel.ticks])
            axes.minorticks_off()
        elif panel.scale == "linear" and _counts(panel):
            axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    handles: dict[str, Any] = {}
    for axes in flat:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    if len(labels) > 1:
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="outside right center",
            fontsize="small",
        )
    save(figure, path, title)


def draw_kinds(
    table: Table,
    name: str,
    kinds: Sequence[tuple[str, str, str]],
    ylabel: str,
    scale: float = 1.0,
) -> None:
    """Draws what becomes of kinds of examples: a panel per method, over epochs.

    Args:
      table: of a study; without any of these curves, nothing is drawn.
      name: of the PNG file.
      kinds: key of a curve, its label and its colour.
      ylabel: of all panels.
      scale: what values are multiplied by.
    """
    panels = []
    for method in table.column("method"):
        lines = []
        for key, label, color in kinds:
            curve = table.curve(key, method=method)
            if curve is not None:
                style = {"color": color}
                lines.append(Line(label, curve.epochs, scale * curve.values, style))
        if lines:
            panels.append(Panel(lines, "epoch", ylabel, method))
    if panels:
        draw(table.folder / name, panels, table.title)


def _draw_line(axes: Any, panel: Panel, line: Line, style: dict[str, Any]) -> None:
    center, spread = mean(line.values), deviation(line.values)
    if not len(line.x):
        axes.axhline(float(center[0]), label=line.label, **{"ls": ":", **style})
        return
    if panel.bars:
        style = {"marker": "o", "ms": 3, "capsize": 2, "lw": 1.2, **style}
        axes.errorbar(line.x, center, spread, label=line.label, **style)
        return
    style = {"lw": 1.5, **style}
    if len(line.x) <= 20 or np.isfinite(center).sum() == 1:
        style = {"marker": "o", "ms": 3, **style}
    (drawn,) = axes.plot(line.x, center, label=line.label, **style)
    band = (center - spread, center + spread)
    axes.fill_between(line.x, *band, color=drawn.get_color(), alpha=0.15, lw=0)


def _counts(panel: Panel) -> bool:
    """Whether an abscissa has whole numbers alone: epochs, rounds, labels."""
    places = [x for line in panel.lines for x in line.x]
    return bool(places) and all(float(x).is_integer() for x in places)


def _same_ordinate(panels: Sequence[Panel]) -> bool:
    return len({panel.ylabel for panel in panels if panel.ylabel}) == 1


def _colors(labels: Sequence[str]) -> dict[str, Any]:
    """One colour per label; the usual ten are too few."""
    from matplotlib import colormaps

    palette = colormaps["tab20"]
    return {
        label: palette((2 * number + number // 10) % 20)
        for number, label in enumerate(labels)
    }
