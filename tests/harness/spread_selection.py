"""Selections and label issues whose examples two processes share: what each finds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from robustjax import graph, row_source, scores, selection

SIZE = 60


def divided(mesh: jax.sharding.Mesh | None, array: np.ndarray, axis: int = 0) -> Any:
    """An array of which every process holds a part, or itself without a mesh."""
    if mesh is None:
        return array
    spec = PartitionSpec(*[None] * axis, mesh.axis_names[0])
    return jax.make_array_from_callback(
        array.shape, NamedSharding(mesh, spec), lambda at: array[at]
    )


def flagged(mesh: jax.sharding.Mesh | None) -> dict[str, Any]:
    """By every filter, with ties everywhere, in blocks of seven rows."""
    row_source._BLOCK_BYTES = 4 * 4 * 7
    rng = np.random.default_rng(1)
    labels = rng.integers(4, size=SIZE).astype(np.int32)
    parts = rng.integers(1, 5, (SIZE, 4)).astype(np.float32)
    parts[np.arange(SIZE), labels] += rng.integers(0, 5, SIZE)
    probabilities = parts / parts.sum(axis=1, keepdims=True)
    # The first rows with the last process: order is by row, not by process.
    back = mesh and jax.sharding.Mesh(mesh.devices[::-1], mesh.axis_names)
    spread = divided(back, probabilities)
    found: dict[str, Any] = {}
    for how in scores.FILTERS:
        found[how] = scores.find_label_issues(labels, spread, filter_by=how)
        for ranked in scores.QUALITY_METHODS:
            found[f"{how}, {ranked}"] = scores.find_label_issues(
                divided(mesh, labels),
                spread,
                filter_by=how,
                return_indices_ranked_by=ranked,
            )
    # Some of 20 that are all alike: the first rows, whoever holds them.
    wrong = np.arange(SIZE) % 3 == 0
    alike = np.where(wrong, 0, 1).astype(np.int32), np.tile([0.3, 0.7], (SIZE, 1))
    found["alike"] = scores.find_label_issues(
        alike[0], divided(back, alike[1].astype(np.float32)), frac_noise=0.5
    )
    return found


def refusals(mesh: jax.sharding.Mesh) -> list[str]:
    """What all processes say of what one of them finds, or of what they disagree on."""
    labels, sure = np.zeros(SIZE, np.int32), np.full((SIZE, 2), 0.5, np.float32)
    wrong = sure.copy()
    wrong[SIZE - 3, 1] = np.nan
    cases = (
        (labels, divided(mesh, wrong)),
        (labels + jax.process_index(), divided(mesh, sure)),
        (labels + 2 * jax.process_index(), divided(mesh, sure)),
        (labels, divided(mesh, sure, axis=1)),
    )
    said = []
    for given, probabilities in cases:
        try:
            scores.find_label_issues(given, probabilities)
        except ValueError as refused:
            said.append(str(refused))
    return said


def selections(
    features: Any, confidence: Any, mesh: jax.sharding.Mesh | None, **kept: int
) -> dict[str, Any]:
    """By every selection that devices may share."""
    return {
        "k_center": selection.k_center(features, 12, mesh=mesh).indices,
        "prune4rel": selection.prune4rel(
            features, confidence, 12, threshold=0.8, mesh=mesh
        ).indices,
        "prune4rel, coverage": selection.prune4rel(
            features, confidence, 12, threshold=0.8, objective="coverage", mesh=mesh
        ).indices,
        "facility location": selection.facility_location_cg(
            features, None, 12, candidates=8, mesh=mesh, **kept
        ).indices,
        "k-means": np.argsort(
            selection.prototype_distances(features, 4, jax.random.key(0), mesh=mesh)
        ),
        "neighbours": graph.nearest_neighbors(features, 5, mesh=mesh).indices,
        "neighborhood confidence": np.argsort(
            selection.neighborhood_confidence(
                features, confidence, threshold=0.7, mesh=mesh
            )
        ),
    }


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Features and confidence, the same in every process."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(SIZE, 6)).astype(np.float32)
    return features, rng.uniform(0.3, 1.0, SIZE).astype(np.float32)


def picked(mesh: jax.sharding.Mesh | None) -> dict[str, Any]:
    """Of rows that all processes have, or of one device without a mesh."""
    kept = {} if mesh is not None else {"keep_bytes": 0}
    found = selections(*drawn(), mesh, **kept) | flagged(mesh)
    return {name: np.asarray(each).tolist() for name, each in found.items()}


def of_sharded(mesh: jax.sharding.Mesh | None) -> dict[str, Any]:
    """Of rows that no process has whole, the first ones with the last process."""
    features, confidence = drawn()
    back = mesh and jax.sharding.Mesh(mesh.devices[::-1], mesh.axis_names)
    sure = divided(mesh, confidence)
    kept = {} if mesh is not None else {"keep_bytes": 0}
    found = selections(divided(back, features), sure, None, **kept)
    # Ties everywhere, and one row three times, in both processes.
    rng = np.random.default_rng(2)
    tied = rng.integers(-1, 2, size=(SIZE, 6)).astype(np.float32) + 0.5
    tied[[7, 30, 50]] = tied[7]
    spread = divided(back, tied)
    found |= {
        "k_center, ties": selection.k_center(spread, 12).indices,
        "neighbours, ties": graph.nearest_neighbors(spread, 5).indices,
        "prune4rel, ties": selection.prune4rel(spread, sure, 12, threshold=0.8).indices,
        "select": selection.select(
            spread,
            divided(mesh, np.stack([confidence, 1 - confidence], axis=1)),
            None,
            0.2,
            "prune4rel",
            threshold=0.8,
        ).indices,
        "some": selection.facility_location_qmi(
            spread, divided(back, features[:20]), 12, candidates=8, **kept
        ).indices,
    }
    return {name: np.asarray(each).tolist() for name, each in found.items()}


def refused_rows(mesh: jax.sharding.Mesh) -> list[str]:
    """What is said of rows that cannot be used where they lie."""
    features, _ = drawn()
    back = jax.sharding.Mesh(mesh.devices[::-1], mesh.axis_names)
    wrong = features.copy()
    wrong[SIZE - 3, 1] = np.nan
    calls: tuple[Callable[[], Any], ...] = (
        lambda: selection.k_center(divided(mesh, wrong), 3),
        lambda: selection.k_center(divided(mesh, features, axis=1), 3),
        lambda: graph.nearest_neighbors(divided(back, features), 3, mesh=mesh),
        lambda: selection.select(
            divided(mesh, features), None, np.zeros(SIZE, int), 0.1, "moderate"
        ),
    )
    said = []
    for call in calls:
        try:
            call()
        except ValueError as refused:
            said.append(str(refused))
    return said


def main(address: str, count: int, index: int) -> None:
    """One of the processes."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, count, index)
    mesh = jax.make_mesh(
        (jax.device_count(),),
        ("data",),
        axis_types=(jax.sharding.AxisType.Auto,),
        devices=jax.devices(),
    )
    found = {
        "picked": picked(mesh),
        "sharded": of_sharded(mesh),
        "refused": refusals(mesh),
        "rows": refused_rows(mesh),
    }
    print(json.dumps(found), flush=True)
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
