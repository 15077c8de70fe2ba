"""Titles of figures, broken into lines that fit.

matplotlib's own `wrap` breaks a title when it is drawn, after the layout has made room
for one line.
"""

from __future__ import annotations

from typing import Any

# Of a panel's share of the figure: the rest is what stands beside its axes.
_OF_PANEL, _OF_FIGURE = 0.85, 0.97
_POINTS_PER_INCH = 72


def fit_titles(figure: Any) -> None:
    """Breaks the titles of a figure and of its axes into lines no wider than they."""
    whole = figure.get_figwidth() * _POINTS_PER_INCH
    if figure.get_suptitle():
        figure.suptitle(
            wrapped(figure.get_suptitle(), _OF_FIGURE * whole, figure._suptitle),
            fontsize=figure._suptitle.get_fontsize(),
        )
    for axes in figure.axes:
        place = axes.get_subplotspec()
        if axes.get_title() and place is not None:
            share = _OF_PANEL * whole / place.get_gridspec().ncols
            axes.title.set_text(wrapped(axes.get_title(), share, axes.title))


def wrapped(text: str, width: float, like: Any) -> str:
    """A text in lines of at most so many points.

    Breaks between words, and inside one that is too long by itself.

    Args:
      text: maybe of several lines already.
      width: in points.
      like: matplotlib's text, whose font is meant.
    """
    return "\n".join(
        line for part in text.split("\n") for line in _lines(part, width, like)
    )


def _lines(text: str, width: float, like: Any) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if _width(longer, like) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for sign in word:
            if lines[-1] and _width(lines[-1] + sign, like) > width:
                lines.append("")
            lines[-1] += sign
    return lines


def _width(text: str, like: Any) -> float:
    """In points."""
    from matplotlib.textpath import text_to_path

    font = like.get_fontproperties()
    found, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(found)
