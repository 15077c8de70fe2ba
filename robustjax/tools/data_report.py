"""What is wrong with a data set beside its labels, as columns and as a summary."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from robustjax import checks, data, graph, scores
from robustjax.tools.array_files import read_arrays
from robustjax.tools.options.find_issues import ISSUES, ReportFlags, looks_for
from robustjax.tools.tables import text_table

# Directions in so few dimensions say little.
_FEW_NUMBERS = 3
_SHOWN = 3
_MEASURED = "duplicates, outliers or order"


class Found(NamedTuple):
    """One kind of issue.

    Attributes:
      kind: what it is called in the summary.
      flagged: (N,) bool, which examples have it.
      order: (N,) numbers, high for what is worst.
      columns: name -> (N,) values, for the table.
    """

    kind: str
    flagged: np.ndarray
    order: np.ndarray
    columns: dict[str, Any]


def wanted_issues(config: ReportFlags) -> tuple[str, ...]:
    """The kinds that are asked for, in the order of `ISSUES`.

    Raises:
      ValueError: none.
    """
    if not config.issues:
        raise ValueError(f"issues: got none, expected any of {', '.join(ISSUES)}, all")
    return tuple(kind for kind in ISSUES if looks_for(config, kind))


def check_report(config: ReportFlags) -> None:
    """Raises `ValueError` for options that cannot be, before anything is loaded."""
    wanted = wanted_issues(config)
    with checks.errors_name(threshold="outlier_threshold"):
        scores.find_outliers(np.ones((2, 1)), threshold=config.outlier_threshold)
    if config.features is not None and not _measured(wanted):
        raise ValueError(
            f"features: distances are measured for --issues={_MEASURED} alone"
        )


def report_on(
    config: ReportFlags,
    dataset: data.Dataset,
    key: jax.Array,
    report: Callable[[str], None],
) -> list[Found]:
    """Finds all that is asked for but wrong and missing labels.

    Args:
      config: what to look for.
      dataset: whose inputs (N, ...) are compared, and whose classes are counted.
      key: of the permutations that an order is compared with.
      report: called with sentences on how distances were measured, and on the order.

    Raises:
      ValueError: features that cannot be read or do not fit, fewer than two examples,
        or numbers that are not finite.
    """
    wanted = wanted_issues(config)
    found = []
    if _measured(wanted):
        neighbors, metric = _neighbors(config, dataset)
        report(
            f"distances: {metric} to the {neighbors.indices.shape[1]} nearest, by "
            f"{config.features or 'the inputs'}"
        )
        if "duplicates" in wanted:
            found += _duplicates(config, dataset, neighbors)
        if "outliers" in wanted:
            found.append(_outliers(config, neighbors))
        if "order" in wanted:
            found.append(_row_order(config, dataset, neighbors, key, report))
    if "classes" in wanted:
        found.append(_classes(config, dataset))
    return found


def summary(dataset: data.Dataset, found: Sequence[Found]) -> str:
    """A table for people: how many examples have each issue, and the worst of them."""
    rows = []
    for each in found:
        order = np.argsort(-each.order, kind="stable")
        worst = order[each.flagged[order]][:_SHOWN]
        rows.append(
            [
                each.kind,
                f"{each.flagged.sum():,}",
                f"{each.flagged.mean():.1%}",
                ", ".join(str(dataset.ids[row]) for row in worst),
            ]
        )
    return text_table(["issue", "examples", "share", "the worst"], rows)


def _measured(wanted: Sequence[str]) -> bool:
    return not {"duplicates", "outliers", "order"}.isdisjoint(wanted)


def _vectors(config: ReportFlags, dataset: data.Dataset) -> np.ndarray:
    """(N, d) what distances are measured between."""
    inputs = dataset.inputs
    if config.features is not None:
        arrays = read_arrays(config.features, "features")
        # Files of `data.save_npz` have the split before every name.
        usual = ("inputs", f"{getattr(config, 'split', 'train')}_inputs")
        name = next((n for n in usual if n in arrays), "features")
        if name not in arrays:
            raise ValueError(
                f"features: {config.features!r} lacks features; it holds "
                f"{', '.join(arrays) or 'nothing'}"
            )
        inputs = arrays[name]
        if inputs.ndim < 2 or len(inputs) != len(dataset):
            raise ValueError(
                f"features: got shape {inputs.shape}, expected ({len(dataset)}, d): a "
                f"row for every example of {dataset.name}"
            )
        ids = arrays.get(name.replace("inputs", "ids").replace("features", "ids"))
        if ids is not None:
            inputs = data.join(dataset, ids, inputs, name="features")
    return np.asarray(inputs).reshape(len(inputs), -1)


def _neighbors(
    config: ReportFlags, dataset: data.Dataset
) -> tuple[graph.Neighbors, str]:
    """Neighbours by lengths, and what these are of."""
    vectors = _vectors(config, dataset)
    if len(vectors) < 2:
        raise ValueError("dataset: got 1 example, expected at least two to compare")
    count = min(config.nearest, len(vectors) - 1)
    metric, why = config.metric, ""
    if metric is None:
        metric = "cosine" if vectors.shape[1] > _FEW_NUMBERS else "euclidean"
        if metric == "cosine" and not vectors.any(axis=1).all():
            metric, why = "euclidean", " (a row of zeros has no cosine)"
    with checks.errors_name(points="dataset" if not config.features else "features"):
        found = graph.nearest_neighbors(vectors, count, metric=metric)
    if metric == "cosine":
        # 1 - cos is half of a square; its root is a length between unit vectors.
        lengths = np.sqrt(2 * np.maximum(np.asarray(found.distances, np.float64), 0))
        found = graph.Neighbors(found.indices, lengths)
    return found, metric + why


def _duplicates(
    config: ReportFlags, dataset: data.Dataset, neighbors: graph.Neighbors
) -> list[Found]:
    same = scores.exact_duplicates(dataset.inputs)
    exact = np.bincount(same, minlength=len(same))[same] > 1
    near = scores.near_duplicates(*neighbors, ratio=config.duplicate_ratio)
    many = np.bincount(near.first, minlength=len(same))[near.first] > 1
    # Features may tell apart what is the same, as by drawn augmentation.
    first = np.where(many, near.first, same)
    ids = dataset.ids
    columns = {
        "nearest_id": ids[near.nearest],
        "nearest_ratio": near.ratios,
        "duplicate_set": [
            ids[f] if m else None
            for f, m in zip(first.tolist(), (many | exact).tolist())
        ],
        "is_near_duplicate": many,
        "is_exact_duplicate": exact,
    }
    return [
        Found("exact duplicates", exact, -near.ratios, {}),
        Found("near duplicates", many, -near.ratios, columns),
    ]


def _outliers(config: ReportFlags, neighbors: graph.Neighbors) -> Found:
    found = scores.find_outliers(
        neighbors.distances, threshold=config.outlier_threshold
    )
    columns = {
        "outlier_score": found.scores,
        "local_outlier_factor": scores.local_outlier_factor(*neighbors),
        "is_outlier": found.is_outlier,
    }
    return Found("outliers", found.is_outlier, found.scores, columns)


def _row_order(
    config: ReportFlags,
    dataset: data.Dataset,
    neighbors: graph.Neighbors,
    key: jax.Array,
    report: Callable[[str], None],
) -> Found:
    # A folder of images has no other order than that of its classes' names.
    sorted_by_class = _is_folder(config) and bool((np.diff(dataset.labels) >= 0).all())
    within = scores.row_order(neighbors.indices, key=key, groups=dataset.labels)
    whole = within if sorted_by_class else scores.row_order(neighbors.indices, key=key)
    ordered = whole.p_value <= config.order_level
    said = "within classes " if sorted_by_class else ""
    said = f"order: {said}neighbours are {_apart(whole)}"
    if ordered and not sorted_by_class:
        said += f"; within classes {_apart(within)}"
        if within.p_value > config.order_level:
            said += ", so it is the order of the classes"
    report(said)
    columns = {"order_gap": whole.gaps, "is_in_order": np.full(len(dataset), ordered)}
    return Found("in an order", columns["is_in_order"], -whole.gaps, columns)


def _is_folder(config: ReportFlags) -> bool:
    name = getattr(config, "dataset", None)
    return name is not None and pathlib.Path(name).is_dir()


def _apart(found: scores.RowOrder) -> str:
    return (
        f"{found.ratio:.2f} times as many rows apart as by chance "
        f"(p = {found.p_value:.2g})"
    )


def _classes(config: ReportFlags, dataset: data.Dataset) -> Found:
    found = scores.class_balance(
        dataset.labels, dataset.num_classes, threshold=config.rare_threshold
    )
    relative, rare = found.relative[dataset.labels], found.is_rare[dataset.labels]
    columns = {"class_size": found.counts[dataset.labels], "is_in_rare_class": rare}
    return Found("in rare classes", rare, -relative, columns)
