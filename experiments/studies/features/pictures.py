"""A picture of activations: t-SNE of test and OOD images, a panel per method."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from experiments.studies.features.runner import activations_path


def plot_activations(
    folder: pathlib.Path,
    methods: Sequence[str],
    count: int,
    class_names: Sequence[str],
    title: str,
) -> bool:
    """Writes `activations.png` from what training has left in the run folder.

    Each panel has a t-SNE of its own (van der Maaten and Hinton, JMLR 2008, by
    scikit-learn) of the first repeat's activations, OOD images in black. Distances
    within a panel mean something, those between panels do not.

    Args:
      folder: of the study.
      methods: in order.
      count: number of examples that they were trained on.
      class_names: of the target.
      title: of the picture.

    Returns:
      Whether there was anything to show.
    """
    from matplotlib.figure import Figure

    found = {
        method: path
        for method in methods
        if (path := activations_path(folder, method, count)).exists()
    }
    if not found:
        return False
    figure = Figure(figsize=(4 * len(found), 4), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (method, path) in zip(panels, found.items()):
        with np.load(path) as file:
            features, labels = file["features"], file["labels"]
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
    figure.suptitle(f"{title}, N = {count:,}, first repeat", fontsize=9)
    figure.savefig(folder / "activations.png", dpi=120)
    return True


def _t_sne(features: np.ndarray) -> np.ndarray:
    """Places (M, 2) of activations (M, d)."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    flat = np.asarray(features, np.float32)
    # Scaled as a whole, which changes no neighbourhood but keeps tiny ones apart.
    flat = flat / max(float(np.abs(flat).max()), 1e-12)
    return TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(flat)
