"""TAUFE with MixMatch: methods, labels and optimiser."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.semi_supervised import _optimizer, build_mix_match
from tests.experiments.features.combined_runs import (
    MIX,
    begun,
    run,
    study_of,
)
from tests.experiments.features.feature_runs import read_rows


@pytest.mark.slow
def test_mix_match_compares_methods(tmp_path, two_sets, capsys):
    folder = run(tmp_path, two_sets, ("standard", "taufe"), **MIX)
    rows = read_rows(folder / "summary.csv")
    assert [row["method"] for row in rows] == ["standard", "taufe"]
    printed = capsys.readouterr().out
    assert "test accuracy (%), N =" in printed
    assert "taufe against standard, test accuracy" in printed
    examples = read_rows(folder / "examples.csv")
    mine = [row for row in examples if row["repeat"] == "0"]
    roles = [row["role"] for row in mine]
    # All 48 target images are trained on, and all 24 OOD images are drawn from.
    assert {role: roles.count(role) for role in roles} == {
        "target": 16,
        "unlabeled": 32,
        "ood": 24,
    }
    for row in mine:
        assert bool(row["given"]) == (row["role"] == "target")
        assert bool(row["taufe.predicted"]) == (row["role"] != "ood")


def test_mix_match_has_labels_of_its_repeat_alone(two_sets):
    study, network = study_of(
        two_sets, **{**MIX, "options": ("mix_match.average_decay=0.5",)}
    )
    for method in ("standard", "oat", "taufe"):
        training = build_mix_match(study, network, method, 16)
        state = begun(training, study, slice(1, 2))
        rows = state.loss_state.rows
        np.testing.assert_array_equal(rows["labeled"][0, :72], study.roles[16][1] == 0)
        np.testing.assert_array_equal(rows["ood"][0, :72], np.arange(72) >= 48)
        params, model_state = training.variables(state.params, state.model_state)
        chex.assert_trees_all_equal(params, state.params)
        assert model_state == {}
        moved = state.model_state["average"] | {"head": 0}
        changed = {**state.model_state, "average": moved}
        assert training.variables(state.params, changed)[0]["head"] == 0


@pytest.mark.slow
def test_decay_of_kernels():
    config = FeatureDebiasingConfig(
        optimizer="adam",
        schedule="constant",
        learning_rate=0.5,
        weight_decay=0.0,
        kernel_decay=0.1,
    )
    params = {"a": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}, "scale": jnp.ones(2)}
    optimizer = _optimizer(config, 3)
    nothing = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(nothing, optimizer.init(params), params)
    np.testing.assert_allclose(updates["a"]["kernel"], -0.05, rtol=1e-6)
    assert not np.any(updates["a"]["bias"])
    assert not np.any(updates["scale"])
