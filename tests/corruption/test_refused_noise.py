"""Noise that is refused, and its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import corruption
from robustjax.corruption import transitions

KEY = jax.random.key(0)
LABELS = np.arange(600) % 3
INPUTS = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_instance_noise_of_nobody_and_of_everybody(rate):
    found = corruption.instance_dependent(KEY, INPUTS, LABELS, rate, 3)
    assert np.mean(found.labels != LABELS) == rate


def test_bad_instances():
    with pytest.raises(ValueError, match="rate_deviation: got -0.1"):
        corruption.instance_dependent(KEY, INPUTS, LABELS, 0.2, 3, rate_deviation=-0.1)
    for bad in (np.nan, np.inf):
        broken = INPUTS.copy()
        broken[5, 1] = bad
        with pytest.raises(ValueError, match="inputs: "):
            corruption.instance_dependent(KEY, broken, LABELS, 0.2, 3)
    wide = 2**32 * np.arange(INPUTS.size, dtype=np.int64).reshape(INPUTS.shape)
    for far in (1.7e12 + INPUTS.astype(np.float64), wide):
        with pytest.raises(ValueError, match="inputs: got .* expected"):
            corruption.instance_dependent(KEY, far, LABELS, 0.2, 3)
    # Labels were all 0 then.
    with pytest.raises(ValueError, match="rate_deviation: got inf"):
        corruption.instance_dependent(KEY, INPUTS, LABELS, 0.2, 3, rate_deviation=1e999)
    for scale in (np.nan, np.inf, 1e38):
        with pytest.raises(ValueError, match="pixel_scale: got"):
            corruption.instance_dependent(
                KEY, 100 * INPUTS, LABELS, 0.2, 3, pixel_scale=scale
            )


@pytest.mark.parametrize(
    ("frequencies", "message"),
    [
        ([2, -1], "class_frequencies: got"),
        ([0, 0], "class_frequencies: got zeros alone"),
        ([np.nan, 1], "class_frequencies: got"),
        ([1, 2, 3], "class_frequencies: lengths differ"),
    ],
)
def test_rates_of_what_are_no_shares(frequencies, message):
    matrix = np.array([[1, 0], [0.5, 0.5]])
    assert transitions.noise_rate(matrix, [1, 3]) == 0.375
    with pytest.raises(ValueError, match=message):
        transitions.noise_rate(matrix, frequencies)


def test_a_stack_of_matrices_is_none():
    matrix = np.full((3, 3), 0.1) + 0.7 * np.eye(3)
    np.testing.assert_allclose(transitions.noise_rate(matrix), 0.2)
    for function in (
        transitions.noise_rate,
        lambda given: corruption.from_transition(KEY, LABELS, given),
    ):
        with pytest.raises(ValueError, match=r"transition: got shape \(2, 3, 3\)"):
            function(np.stack([matrix, matrix]))
    with pytest.raises(ValueError, match=r"superclass: got shape \(4, 1\)"):
        transitions.sibling_transition(np.array([[0], [0], [1], [1]]), 0.3)


def test_targets_are_classes():
    for targets in ([1, 7, -1], [0.5, 1.0, 2.0]):
        with pytest.raises(ValueError, match="targets: "):
            corruption.asymmetric(KEY, LABELS, 0.3, np.array(targets))
        with pytest.raises(ValueError, match="targets: "):
            transitions.map_transition(np.array(targets), 0.3)
    with pytest.raises(ValueError, match="mapping: got 1.7, expected integers"):
        transitions.class_map(3, {0: 1.7})


def test_anchors_of_what_is_no_probability():
    p = np.random.default_rng(1).dirichlet(np.ones(3), 200)
    for bad, message in (
        (np.where(np.arange(200)[:, None] == 7, np.nan, p), "probabilities: "),
        (np.log(p), "probabilities: got -.*are these logits"),
    ):
        with pytest.raises(ValueError, match=message):
            corruption.anchor_transition(bad)
    traced = jax.jit(corruption.anchor_transition)
    assert np.isfinite(traced(p)).all()
    assert np.isnan(traced(jnp.asarray(p).at[7].set(jnp.nan))).all()
    assert corruption.anchor_transition(jnp.asarray(p, jnp.bfloat16)).dtype == "float32"
