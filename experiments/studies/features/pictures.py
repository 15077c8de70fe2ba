"""A picture of activations: t-SNE of test and OOD images, a panel per method."""

from __future__ import annotations

import numpy as np

from experiments.study.table import Table
from robustjax.tools.histograms import save

ACTIVATIONS = "activations.npz"
"""What a cell attaches: "features" (M, d), "labels" (M,; -1: OOD), "class_names"."""


def draw_activations(table: Table) -> None:
    """Draws `activations.png`, if activations were kept, for the largest N.

    Each panel has a t-SNE of its own (van der Maaten and Hinton, JMLR 2008, by
    scikit-learn) of the first repeat's activations, OOD images in black. Distances
    within a panel mean something, those between panels do not.
    """
    from matplotlib.figure import Figure

    count = max(table.column("num_examples"))
    found = {
        record["method"]: arrays
        for record, arrays in table.attached("activations")
        if record["num_examples"] == count
    }
    if not found:
        return
    figure = Figure(figsize=(4 * len(found), 4), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (method, arrays) in zip(panels, found.items()):
        features, labels = arrays["features"], arrays["labels"]
        class_names = arrays["class_names"].tolist()
        places = _t_sne(features)
        # OOD images first, so that they do not cover the others.
        for label in (-1, *range(len(class_names))):
            rows = labels == label
            name = "OOD" if label < 0 else class_names[label]
            color = "black" if label < 0 else f"C{label % 10}"
            axes.scatter(*places[rows].T, s=5, color=color, label=name, linewidths=0)
        axes.set(title=method, xticks=[], yticks=[])
    if len(class_names) <= 20:
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center", fontsize=7)
    title = f"{table.title}, N = {count:,}, first repeat"
    save(figure, table.folder / "activations.png", title)


def _t_sne(features: np.ndarray) -> np.ndarray:
    """Places (M, 2) of activations (M, d)."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    flat = np.asarray(features, np.float32)
    # Scaled as a whole, which changes no neighbourhood but keeps tiny ones apart.
    flat = flat / max(float(np.abs(flat).max()), 1e-12)
    return TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(flat)
