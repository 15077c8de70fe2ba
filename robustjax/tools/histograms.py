"""Figures of panels, and histograms of two kinds of examples."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

import numpy as np

from robustjax.files import atomic_file
from robustjax.tools.plot_titles import fit_titles

BINS = 40


@dataclasses.dataclass(frozen=True)
class Histogram:
    """How a number is spread among two kinds of examples.

    Attributes:
      title: above it.
      xlabel: of the number.
      edges: (BINS + 1,) of the bins.
      shares: per kind (BINS,), in percent of its examples.
      marked: the kind that is drawn in red.
      line: where a vertical line is drawn; by default nowhere.
    """

    title: str
    xlabel: str
    edges: np.ndarray
    shares: Mapping[str, np.ndarray]
    marked: str = "wrong label"
    line: float | None = None

    @classmethod
    def of(
        cls,
        title: str,
        xlabel: str,
        values: np.ndarray,
        marked: np.ndarray,
        kinds: tuple[str, str] = ("right label", "wrong label"),
        line: float | None = None,
    ) -> Histogram:
        """Counts the numbers (N,) of examples that are marked (N,), the second kind."""
        there = np.isfinite(values)
        values, marked = values[there], marked[there]
        edges = np.histogram_bin_edges(values if values.size else [0.0, 1.0], BINS)
        counts = {
            kinds[0]: np.histogram(values[~marked], edges)[0],
            kinds[1]: np.histogram(values[marked], edges)[0],
        }
        shares = {
            name: 100 * count / count.sum()
            for name, count in counts.items()
            if count.sum()
        }
        return cls(title, xlabel, edges, shares, kinds[1], line)


def label_histograms(
    kept: Iterable[tuple[str, Mapping[str, Any], Mapping[str, np.ndarray]]],
    names: Sequence[str] = (),
) -> list[Histogram]:
    """What methods think of right and of wrong labels, by method and number.

    Args:
      kept: of one repeat: the name of a method, keys, and the numbers (N,) that it
        keeps of examples. Before all methods, under the name "", the "given" and the
        "true" labels (N,).
      names: of the numbers; by default all.

    Returns:
      A histogram each; none where no label is wrong.
    """
    wrong = np.zeros(0, bool)
    found = []
    for label, _, arrays in kept:
        if not label:
            wrong = arrays["given"] != arrays["true"]
            if not wrong.any():
                return []
            continue
        for name, values in arrays.items():
            if name in names or (not names and name not in ("ids", "predicted")):
                words = name.replace("_", " ")
                found.append(Histogram.of(label, words, values, wrong))
    return found


def draw_histograms(
    path: pathlib.Path, histograms: Sequence[Histogram], title: str
) -> None:
    """Draws histograms of two kinds of examples, a panel each; none draw nothing."""
    if not histograms:
        return
    figure, flat = panels_of(len(histograms), min(4, len(histograms)), False)
    for axes, histogram in zip(flat, histograms):
        for label, shares in histogram.shares.items():
            color = "tab:red" if label == histogram.marked else "tab:blue"
            axes.hist(
                histogram.edges[:-1],
                histogram.edges,
                weights=shares,
                color=color,
                alpha=0.5,
                label=label,
            )
        if histogram.line is not None:
            axes.axvline(histogram.line, color="black", ls=":", label="threshold")
        axes.set(xlabel=histogram.xlabel, ylabel="% of these examples")
        axes.set_title(histogram.title, fontsize=9)
        axes.legend(fontsize=7)
    save(figure, path, title)


def panels_of(count: int, columns: int, share: bool) -> tuple[Any, Any]:
    """A figure with so many axes, flat.

    Args:
      count: of the axes.
      columns: in a row.
      share: whether they have one ordinate.
    """
    from matplotlib.figure import Figure

    rows = -(-count // columns)
    wide = 6.5 if count == 1 else 3.6 * columns
    figure = Figure(figsize=(wide + 1.5, 3.4 * rows + 0.6), layout="constrained")
    flat = figure.subplots(rows, columns, squeeze=False, sharey=share).ravel()
    for axes in flat[count:]:
        axes.set_visible(False)
    return figure, flat


def save(figure: Any, path: pathlib.Path | IO[bytes], title: str) -> None:
    """Writes a figure with a title that fits, whole or not at all."""
    figure.suptitle(title, fontsize=9)
    fit_titles(figure)
    if not isinstance(path, pathlib.Path):
        figure.savefig(path, dpi=110)
        return
    with atomic_file(path) as file:
        figure.savefig(file, dpi=110, format="png")
