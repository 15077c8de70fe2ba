"""Selections whose examples two processes share: what each of them picks, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import jax
import numpy as np

from robustjax import graph, selection

SIZE = 60


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
    print(json.dumps(picked(mesh)), flush=True)
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
