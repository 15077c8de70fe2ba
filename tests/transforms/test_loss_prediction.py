"""The ranking loss of predicted losses, in padded batches as well."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import transforms
from robustjax.transforms import loss_prediction

SPEC = transforms.ExampleSpec(8, 3)


def total(predicted, logits, labels, mask, **options):
    """The scalar loss of a chain with the transform."""
    chain = transforms.chain(transforms.ce(), loss_prediction(**options))
    batch = {"index": jnp.arange(len(labels)), "label": labels, "mask": mask}
    terms, _ = chain.update(
        transforms.start(batch),
        chain.init(SPEC),
        batch,
        logits=logits,
        predicted_loss=predicted,
    )
    return transforms.reduce(terms)


def reference(predicted, logits, labels, weight, margin):
    """Pairs the first real row with the last, and so on."""
    logits = logits - logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    values = -log_p[np.arange(len(labels)), labels]
    pairs = [(i, len(labels) - 1 - i) for i in range(len(labels) // 2)]
    hinges = [
        max(0, margin - (1 if values[i] > values[j] else -1) * (p_i - p_j))
        for i, j in pairs
        for p_i, p_j in [(predicted[i], predicted[j])]
    ]
    return values.mean() + weight * np.mean(hinges)


@pytest.mark.parametrize(
    "mask",
    [[1] * 8, [1] * 5 + [0] * 3, [1, 1, 1, 0, 0, 0, 0, 0], [0, 1, 0, 1, 1, 1, 1, 1]],
)
def test_real_rows_are_paired_whatever_the_padding(mask, rng):
    mask = np.array(mask, bool)
    predicted = rng.normal(size=8).astype(np.float32)
    logits = rng.normal(size=(8, 3)).astype(np.float32)
    labels = rng.integers(0, 3, 8)

    @jax.jit
    def run(predicted):
        return total(predicted, logits, labels, mask, weight=0.5, margin=2.0)

    junk = np.where(mask, predicted, np.inf)
    loss, gradient = jax.value_and_grad(run)(junk)
    want = reference(predicted[mask], logits[mask], labels[mask], 0.5, 2.0)
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[~mask], 0)
    assert np.abs(gradient).max() > 0


def test_losses_are_targets_and_get_no_gradient(rng):
    """The gradient of the logits is that of the cross-entropy alone."""
    predicted = rng.normal(size=8).astype(np.float32)
    labels, mask = rng.integers(0, 3, 8), np.ones(8, bool)

    def gradient(weight):
        return jax.jit(
            jax.grad(lambda z: total(predicted, z, labels, mask, weight=weight))
        )(jnp.asarray(rng_logits))

    rng_logits = rng.normal(size=(8, 3)).astype(np.float32)
    np.testing.assert_allclose(gradient(3.0), gradient(0.0), atol=1e-7)


def test_a_batch_without_a_pair_costs_nothing(rng):
    logits, labels = rng.normal(size=(8, 3)).astype(np.float32), np.zeros(8, int)
    for count in (0, 1):
        mask = np.arange(8) < count
        with_pairs = total(np.ones(8, np.float32), logits, labels, mask)
        without = total(np.ones(8, np.float32), logits, labels, mask, weight=0.0)
        np.testing.assert_allclose(with_pairs, without, rtol=1e-6)


def test_bad_arguments(rng):
    with pytest.raises(ValueError, match="weight: got -1"):
        loss_prediction(-1.0)
    with pytest.raises(ValueError, match="margin: got -1"):
        loss_prediction(margin=-1.0)
    logits, labels = rng.normal(size=(8, 3)).astype(np.float32), np.zeros(8, int)
    with pytest.raises(ValueError, match=r"predicted_loss: got shape \(8, 1\)"):
        total(np.ones((8, 1), np.float32), logits, labels, np.ones(8, bool))
