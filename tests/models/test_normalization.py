"""BatchNorm against NumPy and Linen; padding, repeats, devices, precision."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from robustjax.models import BatchNorm

SHAPE = (8, 3, 2, 5)


@pytest.fixture
def variables(rng):
    def draw(low, high):
        return jnp.asarray(rng.uniform(low, high, SHAPE[-1]), jnp.float32)

    return {
        "params": {"scale": draw(0.5, 2), "bias": draw(-1, 1)},
        "batch_stats": {"mean": draw(-1, 1), "var": draw(0.5, 2)},
    }


@pytest.fixture
def values(rng):
    return rng.normal(1, 2, SHAPE).astype(np.float32)


def train(variables, values, mask=None, **settings):
    outputs, changed = BatchNorm(**settings).apply(
        variables, values, train=True, mask=mask, mutable=["batch_stats"]
    )
    return outputs, changed["batch_stats"]


def reference(variables, values, real, epsilon=1e-5, momentum=0.9):
    """Outputs and running averages in float64, from the rows that are real."""
    params, stats = (
        jax.tree.map(lambda x: np.asarray(x, np.float64), variables[part])
        for part in ("params", "batch_stats")
    )
    values = np.asarray(values, np.float64)
    counted = values[real].reshape(-1, values.shape[-1])
    mean, var = counted.mean(0), counted.var(0)
    outputs = (values - mean) / np.sqrt(var + epsilon)
    new = {
        "mean": momentum * stats["mean"] + (1 - momentum) * mean,
        "var": momentum * stats["var"] + (1 - momentum) * var,
    }
    return outputs * params["scale"] + params["bias"], new


def assert_close(got, want):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        jax.device_get(got),
        want,
    )


def test_only_real_rows_count(variables, values):
    mask = np.array([1, 1, 0, 1, 0, 1, 1, 0], bool)
    values[~mask] = 1e3
    got = train(variables, values, jnp.asarray(mask))
    assert_close(got, reference(variables, values, mask))
    # The same as if the padding had never been there.
    alone = train(variables, values[mask])
    assert_close((got[0][mask], got[1]), alone)
    assert_close(train(variables, values), reference(variables, values, slice(None)))


def test_gradients_of_a_padded_batch_are_those_of_the_unpadded(variables, values):
    mask = np.arange(8) < 5
    values[~mask] = 1e3

    def loss(params, values, mask):
        outputs, _ = train({**variables, "params": params}, values, mask)
        wave = jnp.cos(outputs) * jnp.arange(1.0, 6)[None, None, None]
        weight = 1.0 if mask is None else mask[:, None, None, None]
        return jnp.sum(wave * weight)

    gradient = jax.jit(jax.grad(loss, (0, 1)))
    padded = gradient(variables["params"], values, jnp.asarray(mask))
    alone = gradient(variables["params"], values[mask], None)
    np.testing.assert_array_equal(padded[1][~mask], 0)
    assert_close((padded[0], padded[1][mask]), jax.device_get(alone))


def test_equals_linen(variables, values):
    ours, theirs = BatchNorm(), nn.BatchNorm(momentum=0.9, epsilon=1e-5)
    fresh = ours.init(jax.random.key(0), values, train=True)
    want = theirs.init(jax.random.key(0), values, use_running_average=False)
    assert_close(fresh, jax.device_get(dict(want)))
    outputs, changed = theirs.apply(
        variables, values, use_running_average=False, mutable=["batch_stats"]
    )
    assert_close(train(variables, values), (outputs, changed["batch_stats"]))
    assert_close(
        ours.apply(variables, values, train=False, mask=jnp.zeros(8, bool)),
        theirs.apply(variables, values, use_running_average=True),
    )


def test_a_batch_of_padding_changes_nothing(variables, values):
    outputs, stats = train(variables, values, jnp.zeros(8, bool))
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])
    assert_close(outputs, BatchNorm().apply(variables, values, train=False))


def test_repeats_have_their_own_statistics(variables, values, rng):
    stacked = np.stack([values, 3 * values[::-1] + 1])
    masks = np.stack([np.arange(8) < 5, np.arange(8) < 7])
    got = jax.vmap(lambda x, m: train(variables, x, m))(stacked, masks)
    for i in range(2):
        one = jax.tree.map(lambda x, i=i: x[i], got)
        assert_close(one, reference(variables, stacked[i], masks[i]))


def test_statistics_are_of_the_whole_batch_over_devices(variables, values, mesh):
    # On some devices no row is real, on others all are.
    mask = np.arange(8) < 5
    divided = NamedSharding(mesh, PartitionSpec("data"))
    placed = jax.device_put((values, mask), divided)
    outputs, stats = jax.jit(lambda x, m: train(variables, x, m))(*placed)
    assert outputs.sharding.is_equivalent_to(divided, outputs.ndim)
    assert_close((outputs, stats), reference(variables, values, mask))


def test_half_precision_has_float32_statistics(variables, rng):
    values = jnp.asarray(rng.normal(3, 1, (64, 4, 4, 5)), jnp.bfloat16)
    outputs, stats = train(variables, values, dtype=jnp.bfloat16)
    assert outputs.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(stats)} == {np.dtype(np.float32)}
    want, new = reference(variables, np.asarray(values, np.float64), slice(None))
    assert_close(stats, new)
    np.testing.assert_allclose(np.asarray(outputs, np.float64), want, atol=0.03)


@pytest.mark.slow
def test_errors(variables, values):
    with pytest.raises(ValueError, match=r"inputs: got shape \(8,\)"):
        train(variables, values[:, 0, 0, 0])
    with pytest.raises(ValueError, match="mask: lengths differ"):
        train(variables, values, jnp.ones(7, bool))
    with pytest.raises(ValueError, match="mask: got shape"):
        train(variables, values, jnp.ones((8, 3), bool))
