"""What can be read off a plot: whole rounds, lone points, titles."""

from __future__ import annotations

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.study.plot import Line, Panel, draw
from robustjax.tools.histograms import Histogram, draw_histograms

LONG = (
    "mnist[train[:2000]], uniform noise, 5% of the labels redrawn (never true), "
    "exactly so many; 5.00% of the labels are wrong, 3 repeats"
)
ONE_WORD = "a_method_whose_name_is_longer_than_the_panel_that_it_stands_above" * 2


@pytest.fixture
def figures(monkeypatch):
    """All figures that are saved."""
    found = []
    save = Figure.savefig

    def kept(self, *args, **options):
        found.append(self)
        return save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    return found


def _line(x, values, label="ce"):
    return Line(label, x, np.asarray([values], float))


@pytest.mark.parametrize("bars", [False, True])
@pytest.mark.parametrize("places", [[3], [1, 2], [0, 50, 100], np.arange(30)])
def test_rounds_and_epochs_have_whole_ticks(tmp_path, figures, bars, places):
    panel = Panel([_line(places, np.ones(len(places)))], "epoch", bars=bars)
    draw(tmp_path / "x.png", [panel], "title")
    low, high = figures[0].axes[0].get_xlim()
    ticks = figures[0].axes[0].get_xticks()
    shown = [tick for tick in ticks if low <= tick <= high]
    assert shown
    assert all(float(tick).is_integer() for tick in shown)


def test_shares_keep_their_ticks(tmp_path, figures):
    draw(tmp_path / "x.png", [Panel([_line([0.1, 0.4], [1, 2])], "kept")], "title")
    ticks = figures[0].axes[0].get_xticks()
    assert not all(float(tick).is_integer() for tick in ticks)


def test_a_lone_point_is_marked_and_a_long_line_is_not(tmp_path, figures):
    epochs = np.arange(40)
    once = np.where(epochs == 30, 1.0, np.nan)
    for x, values in (([4], [1.0]), (epochs, once), (epochs, epochs)):
        draw(tmp_path / "x.png", [Panel([_line(x, values)], "epoch")], "title")
    markers = [figure.axes[0].lines[0].get_marker() for figure in figures]
    assert markers == ["o", "o", "None"]


def _inside(figure):
    """Whether all titles lie inside the figure, and those of axes beside each other."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [axes.title.get_window_extent(renderer) for axes in figure.axes]
    boxes.append(figure._suptitle.get_window_extent(renderer))
    whole = figure.bbox
    assert all(box.x0 >= whole.x0 and box.x1 <= whole.x1 for box in boxes), boxes
    assert all(box.y0 >= whole.y0 and box.y1 <= whole.y1 for box in boxes), boxes
    for left, right in itertools.pairwise(boxes[:-1]):
        assert left.y0 != right.y0 or left.x1 < right.x0
    # Nor does the uppermost title of a panel run into the one above all.
    assert max(box.y1 for box in boxes[:-1]) <= boxes[-1].y0 + 1


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_titles_fit(tmp_path, figures, count):
    matplotlib.rcParams["font.family"] = "DejaVu Sans"
    lines = [_line([1, 2], [1, 2])]
    panels = [Panel(lines, "epoch", title=f"{ONE_WORD} {LONG}")] * count
    draw(tmp_path / "x.png", panels, f"{LONG}, $5 and_more, {LONG}")
    values = np.arange(20.0)
    histograms = [Histogram.of(LONG, "x", values, values > 9)] * count
    draw_histograms(tmp_path / "y.png", histograms, LONG)
    for figure in figures:
        _inside(figure)
    assert figures[0]._suptitle.get_text().replace("\n", " ").startswith(LONG)
    assert figures[0].axes[0].get_title().replace("\n", "").startswith(ONE_WORD)
