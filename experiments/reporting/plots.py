"""Plots of any run from its table: along a setting's numbers, and epoch by epoch."""

from __future__ import annotations

import dataclasses
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.study.numbers import Measure, mean
from experiments.study.plot import Line, Panel, draw
from experiments.study.records import EPOCH
from experiments.study.table import Table

# Replaced by the colour of text, which a reader's theme decides.
_INK = "#010203"
_STYLE = (
    "<style>svg{color:#1d2229}@media(prefers-color-scheme:dark){svg{color:#e4e7eb}}"
    "</style>"
)
_INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color")
_BARE = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor")
_RC: Any = {
    "savefig.format": "svg",
    "font.size": 13.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "robustjax",
    "text.parse_math": False,
    "legend.frameon": False,
    **dict.fromkeys((*_INKED, "ytick.color"), _INK),
    **dict.fromkeys(_BARE, "none"),
}


@dataclasses.dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
      title: what it shows.
      alt: the same for those who do not see it, with the numbers at the right end.
      svg: a whole SVG file.
      wide: whether panels are side by side.
    """

    title: str
    alt: str
    svg: str
    wide: bool


def plots(table: Table) -> list[Plot]:
    """All plots of a run; none of a run without anything along a line."""
    return [
        _plot(title, panels)
        for title, panels in (*_along_settings(table), *_along_epochs(table))
        if panels
    ]


def svg_of(panels: Sequence[Panel]) -> str:
    """Panels as an SVG file without a date, whose ink is the reader's."""
    import matplotlib

    content = io.BytesIO()
    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        # The reader's fonts may well have what matplotlib's own lack.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        draw(content, panels, "", across=2)
    text = content.getvalue().decode()
    for unwanted in (r"<metadata>.*?</metadata>", r"<!--.*?-->", r"<\?xml.*?\?>"):
        text = re.sub(unwanted, "", text, flags=re.DOTALL)
    text = re.sub(r"<!DOCTYPE.*?>", "", text, flags=re.DOTALL)
    # What XML cannot hold at all, names can.
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", text)
    text = text.replace(_INK, "currentColor")
    return re.sub(r"(<svg[^>]*>)", rf"\1{_STYLE}", text, count=1).strip() + "\n"


def _plot(title: str, panels: Sequence[Panel]) -> Plot:
    ends = [
        f"{panel.title + ': ' if panel.title else ''}{line.label} {end:.4g}"
        for panel in panels
        for line in panel.lines
        if np.isfinite(end := float(mean(line.values)[-1]))
    ]
    alt = f"{title}. At the right end: {'; '.join(ends)}."
    return Plot(title, alt, svg_of(panels), wide=len(panels) > 1)


def _along_settings(table: Table) -> Iterator[tuple[str, list[Panel]]]:
    """Every measure against the column of numbers with most values."""
    names, numbers, words = _columns([s.columns for s in table.settings])
    if not numbers:
        return
    axis = max(numbers, key=lambda name: len(table.column(name)))
    rest = [n for n in names if n != axis]
    groups = _distinct([s.columns for s in table.settings], rest)
    # What some methods alone have is said with their names.
    own = [n for n in numbers if n != axis and any(n not in g for g in groups)]
    words = [*words, *own]
    facets = [n for n in numbers if n not in (axis, *own)]
    if facets and len({_label(where, words) for where in groups}) == 1:
        # One method alone: lines in a panel tell its settings from each other.
        words = [*words, facets.pop(0)]
    for key in dict.fromkeys(key for s in table.settings for key in s.values):
        measure = table.measure(key)
        if not measure.in_summary:
            continue
        panels: dict[str, list[Line]] = {}
        for where in groups:
            if line := _line(table, key, axis, where, _label(where, words)):
                panels.setdefault(_title(where, facets), []).append(line)
        title = f"{measure.title}, by {_words(axis)}"
        yield title, _panels(panels, _words(axis), _with_unit(measure))


def _line(
    table: Table, key: str, axis: str, where: Mapping[str, Any], label: str
) -> Line | None:
    """A measure along a column, in order; None where it was not measured."""
    scale = table.measure(key).scale
    one = table.where(**where)[0]
    if axis not in one.columns:
        # What the axis does not apply to is the same all along it.
        values = one.values.get(key, np.zeros(0))[:, None]
        return Line(label, [], scale * values) if np.isfinite(values).any() else None
    x, values = table.line(key, axis, **where)
    there = np.flatnonzero(np.isfinite(values).any(axis=0))
    order = there[np.argsort(x[there], kind="stable")]
    return Line(label, x[order], scale * values[:, order]) if order.size else None


def _along_epochs(table: Table) -> Iterator[tuple[str, list[Panel]]]:
    """Everything that was watched, by epoch."""
    records = [r for r in table.records(EPOCH) if r.get("of_repeats")]
    known = dict.fromkeys(["method", *(n for s in table.settings for n in s.columns)])
    fields = [{n: r[n] for n in known if n in r} for r in records]
    names, numbers, words = _columns(fields)
    for key in dict.fromkeys(key for r in records for key in r["of_repeats"]):
        # What only the journal knows of is shown as it was measured.
        measure = table.measures.get(key, Measure(key, _words(key), is_share=False))
        panels: dict[str, list[Line]] = {}
        for where in _distinct(fields, names):
            curve = table.curve(key, **where)
            if curve is not None and np.isfinite(curve.values).any():
                label = _label(where, words)
                line = Line(label, curve.epochs, measure.scale * curve.values)
                panels.setdefault(_title(where, numbers), []).append(line)
        title = f"{measure.title}, by epoch"
        yield title, _panels(panels, "epoch", _with_unit(measure))


def _with_unit(measure: Measure) -> str:
    return measure.title + (
        " (%)" if measure.is_share and "%" not in measure.title else ""
    )


def _panels(
    panels: Mapping[str, Sequence[Line]], xlabel: str, ylabel: str
) -> list[Panel]:
    return [
        Panel(lines, xlabel, ylabel, title, ticks=_ticks(lines))
        for title, lines in panels.items()
    ]


def _ticks(lines: Sequence[Line]) -> list[float] | None:
    """Where something was measured, if these are few and apart."""
    places = sorted({float(x) for line in lines for x in line.x})
    if not 2 <= len(places) <= 8:
        return None
    gaps = np.diff(places)
    return places if gaps.min() >= 0.08 * gaps.sum() else None


def _columns(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[list[str], list[str], list[str]]:
    """All columns; those of several numbers; those of text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    values = {n: {row[n] for row in rows if n in row} for n in names}
    numbers = [
        name
        for name in names
        if all(type(x) in (int, float) for x in values[name]) and len(values[name]) > 1
    ]
    words = [
        n for n in names if n not in numbers and (n == "method" or len(values[n]) > 1)
    ]
    return names, numbers, words


def _distinct(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[dict[str, Any]]:
    """The different values of some columns, in order of appearance."""
    found = ({name: row[name] for name in names if name in row} for row in rows)
    return list({tuple(one.items()): one for one in found}.values())


def _label(where: Mapping[str, Any], words: Sequence[str]) -> str:
    named = [
        where[n] if isinstance(where[n], str) else f"{_words(n)} {where[n]:g}"
        for n in words
        if n in where
    ]
    return ", ".join(named) or "all"


def _title(where: Mapping[str, Any], facets: Sequence[str]) -> str:
    return ", ".join(f"{_words(n)} {where[n]:g}" for n in facets if n in where)


def _words(name: str) -> str:
    return name.replace("_", " ")
