"""The small-loss trick: schedule, counts, ranks, and the epoch that advances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax.transforms import num_kept

SPEC = rj.ExampleSpec(num_examples=16, num_classes=3)


def batch_of(size, mask=None):
    batch = {"index": jnp.arange(size), "label": jnp.zeros(size, jnp.int32)}
    return batch if mask is None else batch | {"mask": jnp.asarray(mask)}


def select(tx, state, values, mask=None):
    """Runs a SELECT transform on given values."""
    batch = batch_of(len(values), mask)
    terms = rj.start(batch).replace(value=jnp.asarray(values, jnp.float32))
    return tx.update(terms, state, batch)


@pytest.mark.parametrize("exponent", [1.0, 0.5])
def test_schedule_is_the_authors_table(exponent):
    table = np.full(30, 0.45)
    table[:10] = np.linspace(0, 0.45**exponent, 10)
    schedule = rj.forget_rate_schedule(0.45, 10, exponent)
    np.testing.assert_allclose(jax.vmap(schedule)(jnp.arange(30)), table, rtol=1e-6)
    for epoch in (1, 9, 10):
        np.testing.assert_allclose(schedule(epoch), table[epoch], rtol=1e-6)


@pytest.mark.parametrize(("num_gradual", "want"), [(0, [0.2, 0.2]), (1, [0.0, 0.2])])
def test_schedule_without_growth(num_gradual, want):
    schedule = rj.forget_rate_schedule(0.2, num_gradual)
    np.testing.assert_allclose([schedule(0), schedule(1)], want)


@pytest.mark.parametrize("size", [10, 20, 128])
def test_kept_count_is_the_exact_integer(size):
    """Every rate of k/100, where float64 itself misses some of the integers."""
    mask = jnp.ones(size, bool)
    got = jax.vmap(lambda k: num_kept(mask, k / 100))(jnp.arange(101))
    want = [(100 - k) * size // 100 for k in range(101)]
    np.testing.assert_array_equal(got, want)


def test_real_examples_alone_are_counted_and_kept(rng):
    values = rng.exponential(size=12)
    values[[2, 7]] = -1.0
    mask = np.ones(12, bool)
    mask[[2, 7]] = False
    tx = rj.small_loss(0.35)
    terms, _ = select(tx, tx.init(SPEC), values, mask)
    real = np.flatnonzero(mask)
    chosen = real[np.argsort(values[real])][: int(0.65 * 10)]
    want = np.zeros(12)
    want[chosen] = 1
    np.testing.assert_array_equal(terms.weight, want)
    np.testing.assert_allclose(rj.reduce(terms), values[chosen].mean(), rtol=1e-6)


def test_ties_go_to_the_first_and_nan_comes_last():
    mask = jnp.array([True, True, True, True, False])
    values = jnp.array([1.0, jnp.nan, 1.0, jnp.inf, 0.0])
    for keep, want in [(1, [0]), (2, [0, 2]), (3, [0, 2, 3]), (4, [0, 1, 2, 3])]:
        got = rj.small_loss_weights(values, mask, keep)
        np.testing.assert_array_equal(np.flatnonzero(got), want)


def test_rate_zero_keeps_all_and_weights_multiply(rng):
    values = rng.exponential(size=4)
    tx = rj.small_loss(0.0)
    batch = batch_of(4)
    terms = rj.start(batch).replace(
        value=jnp.asarray(values), weight=jnp.array([1.0, 0, 3, 0.5])
    )
    terms, _ = tx.update(terms, tx.init(SPEC), batch)
    np.testing.assert_array_equal(terms.weight, [1, 0, 3, 0.5])


def test_epochs_advance_the_schedule(rng):
    """The first epoch is number 1, so it forgets already."""
    values = rng.exponential(size=16)
    tx = rj.small_loss(rj.forget_rate_schedule(0.5, 5))
    state = tx.init(SPEC)
    kept = []
    for _ in range(6):
        terms, state = select(tx, state, values)
        kept.append(int(terms.weight.sum()))
        state = tx.epoch(state)
    rates = [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    assert kept == [int(16 * (1 - rate)) for rate in rates]
    zeroth = rj.small_loss(rj.forget_rate_schedule(0.5, 5), first_epoch=0)
    terms, _ = select(zeroth, zeroth.init(SPEC), values)
    assert terms.weight.sum() == 16


@pytest.mark.parametrize("rate", [20.0, 1.0, -0.1, np.nan])
def test_a_rate_that_would_keep_nothing_shows(rate):
    """In percent, say: the loss was 0, without a gradient."""
    tx = rj.small_loss(lambda epoch: jnp.where(epoch > 0, rate, 0.0))
    state = tx.init(SPEC)
    with pytest.raises(ValueError, match="forget_rate: got .*, expected a number in"):
        select(tx, state, np.ones(4))
    loss = jax.jit(lambda state: rj.reduce(select(tx, state, np.ones(4))[0]))
    assert np.isnan(loss(state))
    assert loss(state._replace(shared={"epoch": jnp.int32(0)})) == 1


def test_gradient_comes_from_the_kept_alone(rng):
    logits = jnp.asarray(rng.normal(size=(6, 3)), jnp.float32)
    batch = batch_of(6)
    tx = rj.chain(rj.ce(), rj.small_loss(0.5))

    def loss(logits):
        terms, _ = tx.update(rj.start(batch), tx.init(SPEC), batch, logits=logits)
        return rj.reduce(terms)

    losses = np.asarray(rj.losses.cross_entropy(logits, batch["label"]))
    kept = np.argsort(losses)[:3]
    want = np.zeros((6, 3))
    p = np.asarray(jax.nn.softmax(logits))
    want[kept] = (p - np.eye(3)[0])[kept] / 3
    np.testing.assert_allclose(jax.grad(loss)(logits), want, atol=1e-6)


def test_split_batch_is_ranked_as_a_whole(rng):
    values = jnp.asarray(rng.exponential(size=(8, 4)), jnp.float32)
    mask = jnp.asarray(rng.random((8, 4)) < 0.8)

    def own(values, mask):
        keep = num_kept(mask, 0.4, "d")
        return rj.small_loss_weights(values, mask, keep, "d")

    got = jax.pmap(own, axis_name="d")(values, mask)
    whole = mask.reshape(-1)
    want = rj.small_loss_weights(values.reshape(-1), whole, num_kept(whole, 0.4))
    np.testing.assert_array_equal(got.reshape(-1), want)


def test_place_in_a_chain():
    with pytest.raises(ValueError, match=r"ce \(head\) stands after small_loss"):
        rj.chain(rj.small_loss(0.2), rj.ce())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rj.small_loss(1.0), r"forget_rate: got 1.0, expected .*\[0, 1\)"),
        (lambda: rj.small_loss(0.1, first_epoch=-1), "first_epoch: got -1"),
        (lambda: rj.forget_rate_schedule(-0.1), "rate: got -0.1"),
        (lambda: rj.forget_rate_schedule(0.1, -1), "num_gradual: got -1"),
        (lambda: rj.forget_rate_schedule(0.1, 5, 0.0), "exponent: got 0.0"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
