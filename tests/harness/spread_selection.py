"""Selections and label issues whose examples two processes share: what each finds."""

from __future__ import annotations

import json
import sys
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


def picked(mesh: jax.sharding.Mesh | None) -> dict[str, Any]:
    """By every selection that a mesh may divide, of one device without one."""
    # The same in every process.
    rng = np.random.default_rng(0)
    features = rng.normal(size=(SIZE, 6)).astype(np.float32)
    confidence = rng.uniform(0.3, 1.0, SIZE)
    kept = {} if mesh is not None else {"keep_bytes": 0}
    found = {
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
    found |= flagged(mesh)
    return {name: np.asarray(each).tolist() for name, each in found.items()}


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
    print(json.dumps({"picked": picked(mesh), "refused": refusals(mesh)}), flush=True)
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
