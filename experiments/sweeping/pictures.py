"""Curves or heat maps of a measure over one or two swept columns."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.study.numbers import Measure
from experiments.study.plot import (
    Line,
    Panel,
    draw,
)
from experiments.sweeping.results import (
    Result,
    Results,
    are_uneven,
    number,
    same,
    shown_in_cell,
)
from robustjax.tools.histograms import save

_MOST_PANELS = 24


def draw_sweep(
    path: pathlib.Path,
    results: Results,
    found: Sequence[Result],
    over: Sequence[str],
    mark: Mapping[str, str],
    title: str,
) -> None:
    """Draws curves over one column, or heat maps over two; a panel per other values.

    Args:
      path: the PNG file.
      results: of the sweep.
      found: of `chosen`; those without a value in `over` are shown as references.
      over: one or two columns.
      mark: values that are marked where the axes have them, such as a paper's.
      title: above everything.

    Raises:
      ValueError: too many panels to be read.
    """
    # Points that were followed to ends of their own are one line all the same, and so
    # are those that differ in a flag of which the study has a column.
    flags = [
        f"flag {name}"
        for name in over
        if all(
            same(r.columns.get(f"flag {name}", ""), r.columns.get(name, ""))
            for r in found
        )
    ]
    apart = (*over, *flags, *results.followed(found))
    rest = [
        name
        for name in dict.fromkeys(n for r in found for n in r.columns)
        if name not in apart
        and len({r.columns.get(name, "") for r in found if r.columns.get(name)}) > 1
    ]
    places = {(_label(r, rest), *(r.columns.get(n, "") for n in over)) for r in found}
    if len(places) < len(found):
        # Points that gave an option beside such that left it at its default.
        rest += [
            name
            for name in dict.fromkeys(n for r in found for n in r.columns)
            if name not in (*apart, *rest)
            and len({r.columns.get(name, "") for r in found}) > 1
        ]
    if are_uneven(found):
        counts = [len(result.values) for result in found]
        title += f"\nmeans over {min(counts)} to {max(counts)} repeats"
    if len(over) == 1:
        _draw_curves(path, results, found, over[0], rest, mark, title)
    else:
        _draw_maps(path, results, found, over, rest, mark, title)


def _applies(result: Result, over: Sequence[str]) -> bool:
    return all(result.columns.get(name) for name in over)


def _label(result: Result, names: Sequence[str]) -> str:
    return ", ".join(
        result.columns[name] if name == "method" else f"{name}={result.columns[name]}"
        for name in names
        if result.columns.get(name)
    )


def _groups(found: Sequence[Result], names: Sequence[str]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in found:
        groups.setdefault(_label(result, names), []).append(result)
    return groups


def _draw_curves(
    path: pathlib.Path,
    results: Results,
    found: Sequence[Result],
    over: str,
    rest: Sequence[str],
    mark: Mapping[str, str],
    title: str,
) -> None:
    """Lines by whatever differs first to last but one; words are at even distances."""
    measure = results.measure(found[0].measure)
    there = _ordered({r.columns[over] for r in found if r.columns.get(over)})
    numbers = [number(x) for x in there]
    x_of = {
        text: float(index) if None in numbers else float(text)
        for index, text in enumerate(there)
    }
    lines = []
    for label, group in _groups(found, rest).items():
        own = sorted(
            (r for r in group if r.columns.get(over)),
            key=lambda r: x_of[r.columns[over]],
        )
        shown = own or group[:1]
        places = list(dict.fromkeys(p for r in shown for p in r.values))
        values = np.array([[r.values.get(p, np.nan) for r in shown] for p in places])
        xs = [x_of[r.columns[over]] for r in own]
        lines.append(Line(label or measure.title, xs, values))
    marked = next((x for x in there if over in mark and same(x, mark[over])), None)
    words = over if marked is None else f"{over} (marked: {marked})"
    if None in numbers:
        words += ": " + ", ".join(f"{n} {text}" for n, text in enumerate(there))
    panel = Panel(
        lines, words, _unit(measure), bars=True, ticks=[x_of[text] for text in there],
    )  # fmt: skip
    draw(path, [panel], title)


def _draw_maps(
    path: pathlib.Path,
    results: Results,
    found: Sequence[Result],
    over: Sequence[str],
    rest: Sequence[str],
    mark: Mapping[str, str],
    title: str,
) -> None:
    from matplotlib.figure import Figure

    measure = results.measure(found[0].measure)
    maps = _groups([r for r in found if _applies(r, over)], rest)
    if len(maps) > _MOST_PANELS:
        raise ValueError(
            f"over: {len(maps)} heat maps are too many to be read; expected "
            "--where=name=value for fewer"
        )
    columns = min(3, len(maps))
    rows = -(-len(maps) // columns)
    figure = Figure((4.2 * columns + 0.8, 3.6 * rows + 0.7), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(maps) :]:
        axes.set_visible(False)
    xs, ys = (_ordered({r.columns[n] for g in maps.values() for r in g}) for n in over)
    for axes, (label, group) in zip(panels, maps.items()):
        values = np.full((len(ys), len(xs)), np.nan)
        for result in group:
            x, y = (result.columns[name] for name in over)
            values[ys.index(y), xs.index(x)] = result.array.mean()
        image = axes.imshow(values, origin="lower", aspect="auto", cmap="viridis")
        for result in group:
            x, y = (result.columns[name] for name in over)
            _write(axes, xs.index(x), ys.index(y), result, values, measure)
            if mark and result.has({n: v for n, v in mark.items() if n in over}):
                _outline(axes, xs.index(x), ys.index(y))
        axes.set_xticks(range(len(xs)), xs)
        axes.set_yticks(range(len(ys)), ys)
        axes.set(xlabel=over[0], ylabel=over[1])
        beside = [
            f"{_label(r, [*rest, *over])}: {shown_in_cell(r.array, measure)}"
            for r in found
            if not _applies(r, over)
        ]
        beside = beside if len(beside) == 1 else [
            text for text in beside if _agrees(text, label)
        ]  # fmt: skip
        axes.set_title("\n".join([label, *beside]).strip(), fontsize=8)
        figure.colorbar(image, ax=axes, label=_unit(measure))
    if any(name in mark for name in over):
        title += "\noutlined: " + "; ".join(f"{n}={v}" for n, v in mark.items())
    save(figure, path, title)


def _agrees(reference: str, label: str) -> bool:
    """Whether a reference has the conditions of a panel, other than the method."""
    wanted = {part for part in label.split(", ") if "=" in part}
    return wanted <= set(reference.partition(": ")[0].split(", "))


def _write(
    axes: Any, x: int, y: int, result: Result, values: np.ndarray, measure: Measure
) -> None:
    low, high = np.nanmin(values), np.nanmax(values)
    dark = result.array.mean() < (low + high) / 2
    axes.text(
        x, y, shown_in_cell(result.array, measure),
        ha="center", va="center", fontsize=7, color="white" if dark else "black",
    )  # fmt: skip


def _outline(axes: Any, x: int, y: int) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, fill=False, ec="red", lw=2.5)
    )


def _unit(measure: Measure) -> str:
    named = "(%)" in measure.title
    return f"{measure.title} (%)" if measure.is_share and not named else measure.title


def _ordered(texts: set[str]) -> list[str]:
    """Numbers by size, then words."""

    def key(text: str) -> tuple[bool, float, str]:
        value = number(text)
        return value is None, value or 0.0, text

    return sorted(texts, key=key)
