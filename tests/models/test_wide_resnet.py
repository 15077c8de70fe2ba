"""Wide residual networks: published sizes, parity with PyTorch, dropout, errors."""

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.models import WideResNet
from tests.models import torch_preactivation
from tests.models.variables import count, random_variables, shapes


def expected_parameters(depth, factor, classes):
    """Counted layer by layer: kernels, then two numbers per normalised channel."""
    total, before = 9 * 3 * 16, 16
    for after in (16 * factor, 32 * factor, 64 * factor):
        for _ in range((depth - 4) // 6):
            total += 2 * before + 9 * before * after + 2 * after + 9 * after**2
            total += before * after if before != after else 0
            before = after
    return total + 2 * before + (before + 1) * classes


# In millions, rounded as in the paper's tables (CIFAR-10).
@pytest.mark.parametrize(
    ("depth", "factor", "millions"),
    [(28, 10, 36.5), (40, 2, 2.2), (40, 4, 8.9), (16, 8, 11.0), (40, 1, 0.6)],
)
def test_parameter_counts_are_the_published(depth, factor, millions):
    image = jnp.zeros((1, 32, 32, 3))
    got = count(shapes(WideResNet(depth, factor, 10), image)["params"])
    assert got == expected_parameters(depth, factor, 10)
    assert round(got / 1e6, 1) == millions


def test_shapes():
    model, image = WideResNet(10, 3), jnp.zeros((2, 9, 9, 1))
    variables = shapes(model, image)
    assert "head" not in variables["params"]
    features = jax.eval_shape(model.apply, variables, image)
    assert (features.shape, features.dtype) == ((2, 64 * 3), jnp.float32)


@pytest.mark.parametrize("slope", [0.0, 0.1])
@pytest.mark.parity
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_parity_with_plain_pytorch(slope, rng):
    torch = pytest.importorskip("torch")
    images = rng.normal(size=(4, 12, 12, 3)).astype(np.float32)
    model = WideResNet(10, 2, 5, width=3, negative_slope=slope)
    module = torch_preactivation.build(
        torch,
        (6, 12, 24),
        (1, 1, 1),
        stem=3,
        stem_norm=False,
        last_norm=True,
        classes=5,
        slope=slope,
    )
    variables = random_variables(model, images)
    torch_preactivation.assert_parity(
        torch, model, variables, module, images, gradient=True
    )


def test_dropout_in_training_only(rng):
    images = rng.normal(size=(4, 8, 8, 1)).astype(np.float32)
    model = WideResNet(10, 1, 3, dropout=0.5, width=2)
    variables = random_variables(model, images)

    @jax.jit
    def train(key):
        logits, _ = model.apply(
            variables,
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        return logits

    one, again, other = (train(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3
    # Prediction takes no stream, training needs one.
    jax.eval_shape(model.apply, variables, images)
    with pytest.raises(flax.errors.InvalidRngError):
        jax.eval_shape(
            lambda: model.apply(variables, images, train=True, mutable=["batch_stats"])
        )


def test_running_averages_keep_what_they_are_told(rng):
    images = rng.normal(size=(4, 8, 8, 1)).astype(np.float32)
    variables = random_variables(WideResNet(10, 1, 3, width=2), images)

    def moved(decay):
        model = WideResNet(10, 1, 3, width=2, norm_decay=decay)
        _, changed = jax.jit(
            lambda x: model.apply(variables, x, train=True, mutable=["batch_stats"])
        )(images)
        return jax.tree.map(
            lambda new, old: (new - old) / (1 - decay),
            changed["batch_stats"],
            variables["batch_stats"],
        )

    slow, fast = moved(0.99), moved(0.5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), slow, fast)
    assert all(np.abs(leaf).max() > 0.1 for leaf in jax.tree.leaves(fast))


def test_errors():
    for depth in (4, 27):
        with pytest.raises(ValueError, match=rf"depth: got {depth}, expected 6 n \+ 4"):
            WideResNet(depth, 2)
    with pytest.raises(ValueError, match="factor: got 0"):
        WideResNet(28, 0)
    with pytest.raises(ValueError, match="dropout: got 1"):
        WideResNet(28, 2, dropout=1.0)
    with pytest.raises(ValueError, match="num_classes: got 0"):
        WideResNet(28, 2, 0)
    with pytest.raises(ValueError, match="negative_slope: got -0.1"):
        WideResNet(28, 2, negative_slope=-0.1)
    with pytest.raises(ValueError, match="norm_decay: got 1"):
        WideResNet(28, 2, norm_decay=1.0)
    with pytest.raises(ValueError, match=r"inputs: got shape \(8, 8, 3\)"):
        shapes(WideResNet(10, 1), jnp.zeros((8, 8, 3)))
