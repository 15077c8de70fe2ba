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
_COLORS = {"target_of": "by label", "bias_of": "by bias"}


def draw_pictures(table: Table) -> None:
    """Draws `<method>_swapped.png` and `<method>_features.png`, where there are any."""
    draw = {"swapped": _swapped_images, "features": _embedding}
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
