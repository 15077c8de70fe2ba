"""Pictures of what only one method can show, from the table of a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.study.table import Table
from robustjax.tools.histograms import save

PICTURE = "picture"
"""The event of arrays that a picture is made of; its record says of which "kind"."""

_ROWS = ("aligned", "conflicting", "swapped")
_FEATURES = {"intrinsic": "intrinsic features", "bias": "bias features"}
_DECODED_WITH = {
    "own": "own",
    "other class": "another class's",
    "other bias": "another bias's",
}
_COLORS = {"target_of": "by label", "bias_of": "by bias"}


def draw_pictures(table: Table) -> None:
    """Draws `<method>_<kind>.png` of every kind that a method has."""
    draw = {
        "swapped": _swapped_images,
        "features": _embedding,
        "reconstruction": _reconstructions,
    }
    for record, arrays in table.attached(PICTURE):
        method, kind = record["method"], record["kind"]
        figure = draw[kind](arrays)
        path = table.folder / f"{method}_{kind}.png"
        save(figure, path, f"{method}: {table.title}")


def _swapped_images(arrays: dict[str, np.ndarray]) -> Any:
    """Columns of a structure's image, a style's, and what is made of both."""
    from matplotlib.figure import Figure

    count = len(arrays["aligned"])
    figure = Figure(figsize=(count + 1, 3.8), layout="constrained")
    panels = figure.subplots(len(_ROWS), count, squeeze=False)
    for row, name in zip(panels, _ROWS):
        for axes, image in zip(row, arrays[name]):
            axes.imshow(image)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    return figure


def _reconstructions(arrays: dict[str, np.ndarray]) -> Any:
    """What is made of a row's class features and of a column's bias features."""
    from matplotlib.figure import Figure

    rows, columns, made = (arrays[name] for name in ("rows", "columns", "made"))
    _, height, width, channels = rows.shape
    gap = max(1, height // 14)
    sheet = np.ones(
        (
            *((len(rows) + 1) * (height + gap) + gap,),
            *((len(columns) + 1) * (width + gap) + gap, channels),
        )
    )

    def place(image: np.ndarray, down: int, right: int) -> None:
        # The images that features are of stand apart from what is made.
        top = down * (height + gap) + (gap if down else 0)
        left = right * (width + gap) + (gap if right else 0)
        sheet[top : top + height, left : left + width] = image

    for right, image in enumerate(columns):
        place(image, 0, right + 1)
    for down, (image, own) in enumerate(zip(rows, made)):
        place(image, down + 1, 0)
        for right, each in enumerate(own):
            place(each, down + 1, right + 1)
    figure = Figure(figsize=(8, 8 * sheet.shape[0] / sheet.shape[1]))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    shown = sheet if channels == 3 else sheet.mean(axis=-1)
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title("bias features of", fontsize="medium")
    axes.set_ylabel("class features of")
    errors = "\n".join(
        f"mean absolute error with {words} features: "
        f"{float(arrays[f'error of {name}']):.3f}"
        for name, words in _DECODED_WITH.items()
    )
    axes.set_xlabel(errors)
    return figure


def _embedding(arrays: dict[str, np.ndarray]) -> Any:
    """Both features in two dimensions by t-SNE, coloured by label and by bias."""
    from matplotlib.figure import Figure
    from sklearn.manifold import TSNE

    figure = Figure(figsize=(9, 8), layout="constrained")
    panels = figure.subplots(2, 2)
    for row, (name, title) in zip(panels, _FEATURES.items()):
        features = arrays[name]
        perplexity = min(30.0, (len(features) - 1) / 3)
        placed = TSNE(perplexity=perplexity, random_state=0).fit_transform(features)
        for axes, (key, words) in zip(row, _COLORS.items()):
            axes.scatter(*placed.T, c=arrays[key], cmap="tab10", s=6)
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"{title}, {words}", fontsize="medium")
    return figure
