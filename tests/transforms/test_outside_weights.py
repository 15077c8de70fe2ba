"""Given weights and the loss history."""

import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj

SPEC = rj.ExampleSpec(num_examples=5, num_classes=2, pad_to=4)


def batch(index):
    return {"index": jnp.asarray(index), "label": jnp.zeros(len(index), jnp.int32)}


def test_given_weights_average_over_what_is_left():
    tx = rj.chain(rj.given_weights(), rj.ce())
    state = tx.init(SPEC)
    rows = {"weight": jnp.array([1.0, 0, 2, 0, 0, 0, 0, 0])}
    state = state._replace(rows=(rows, state.rows[1]))
    logits = jnp.array([[0.0, 0], [5, 0], [0, 3], [9, 9]])
    terms, _ = tx.update(
        rj.start(batch([0, 1, 2, 3])), state, batch([0, 1, 2, 3]), logits=logits
    )
    losses = np.asarray(rj.losses.cross_entropy(logits, jnp.zeros(4, jnp.int32)))
    want = (losses[0] + 2 * losses[2]) / 3
    np.testing.assert_allclose(rj.reduce(terms), want, rtol=1e-6)


@pytest.mark.slow
def test_loss_history_subtracts_the_epochs_mean():
    tx = rj.chain(rj.ce(), rj.accumulate_losses())
    state = tx.init(SPEC)
    total = np.zeros(5)
    rng = np.random.default_rng(0)
    for _ in range(3):
        seen = np.zeros(5)
        for index in ([3, 0], [4, 1], [2]):
            logits = jnp.asarray(rng.normal(size=(len(index), 2)), jnp.float32)
            _, state = tx.update(
                rj.start(batch(index)), state, batch(index), logits=logits
            )
            seen[index] = rj.losses.cross_entropy(logits, batch(index)["label"])
        state = tx.epoch(state)
        total += seen - seen.mean()
    np.testing.assert_allclose(state.rows[1]["total"][:5], total, atol=1e-6)
    np.testing.assert_array_equal(state.rows[1]["total"][5:], 0)


def test_what_an_epoch_left_out_is_not_taken_for_easy():
    """A loader that drops its last batch; the mean is of what was visited."""
    tx = rj.chain(rj.ce(), rj.accumulate_losses())
    state = tx.init(SPEC)
    total = np.zeros(5)
    for index, wrong in (([0, 1, 2], [1.0, 2.0, 6.0]), ([2, 3, 4], [0.5, 1.0, 3.0])):
        logits = jnp.stack([jnp.zeros(3), jnp.array(wrong)], axis=1)
        _, state = rj.value(
            tx, state, logits, jnp.zeros(3, jnp.int32), jnp.array(index)
        )
        state = tx.epoch(state)
        seen = np.logaddexp(0, wrong)
        total[index] += seen - seen.mean()
    np.testing.assert_allclose(state.rows[1]["total"][:5], total, atol=1e-5)
    np.testing.assert_array_equal(state.rows[1]["total"][5:], 0)
