"""Contribution weights: Eqs. 2 to 4 against NumPy, their limits and their errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax.transforms._alpha import loss_scale

N = 13
SPEC = rj.ExampleSpec(num_examples=N, num_classes=3, pad_to=4)


def alpha_of(state, place=None):
    """The simplex weights of a state (of the chain's given place)."""
    rows = state.rows if place is None else state.rows[place]
    return np.asarray(rows["weight"]) / N


def padded(losses):
    """Losses as the trainer hands them over: garbage beyond the real examples."""
    return jnp.concatenate([jnp.asarray(losses, jnp.float32), jnp.full(3, 1e3)])


def numpy_update(alpha, losses, step, sigma):
    g = np.exp(-(losses**2) / sigma)
    alpha = (1 - step) * alpha + step * g / g.sum()
    return alpha / alpha.sum()


def pairwise(losses):
    distances = [
        abs(a - b) for i, a in enumerate(losses) for b in np.asarray(losses)[i + 1 :]
    ]
    return np.mean(distances) ** 2


@pytest.mark.parametrize("scale", ["mean_loss", "pairwise", 1.7])
def test_three_epochs_equal_numpy(scale, rng):
    tx = rj.alpha_weights(0.1, scale=scale)
    state = tx.init(SPEC)
    alpha = np.full(N, 1 / N)
    for _ in range(3):
        losses = rng.exponential(size=N)
        sigma = {"mean_loss": losses.mean() ** 2, "pairwise": pairwise(losses)}.get(
            scale, scale
        )
        alpha = numpy_update(alpha, losses, 0.1, sigma)
        state = tx.epoch(state, losses=padded(losses))
        np.testing.assert_allclose(alpha_of(state)[:N], alpha, rtol=1e-5)
        np.testing.assert_array_equal(alpha_of(state)[N:], 0)
        np.testing.assert_allclose(state.shared["scale"], sigma, rtol=1e-5)


def test_frozen_scale_is_the_first_epochs(rng):
    tx = rj.alpha_weights(freeze_scale=True)
    state = tx.epoch(tx.init(SPEC), losses=padded(np.full(N, 3.0)))
    state = tx.epoch(state, losses=padded(rng.uniform(0, 1, N)))
    np.testing.assert_allclose(state.shared["scale"], 9.0)


@pytest.mark.parametrize("rule", ["mean_loss", "pairwise"])
def test_loss_scale_ignores_invalid_values(rule, rng):
    losses = rng.exponential(size=N)
    got = loss_scale(padded(losses), jnp.arange(16) < N, rule)
    want = losses.mean() ** 2 if rule == "mean_loss" else pairwise(losses)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_more_pairs_than_int32_can_count(rng):
    losses = np.sort(rng.exponential(size=50_000))
    factor = 2 * np.arange(50_000) - 49_999
    want = ((losses * factor).sum() / (50_000 * 49_999 / 2)) ** 2
    got = loss_scale(jnp.asarray(losses), jnp.ones(50_000, bool), "pairwise")
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_weights_stay_on_the_simplex(rng):
    tx = rj.alpha_weights(0.5)
    state = tx.init(SPEC)
    for size in (1e-6, 1.0, 1e6):
        state = tx.epoch(state, losses=padded(size * rng.exponential(size=N)))
        assert (alpha_of(state) >= 0).all()
        np.testing.assert_allclose(alpha_of(state).sum(), 1, rtol=1e-6)


def test_zero_losses_and_huge_losses_leave_no_nan():
    tx = rj.alpha_weights()
    for losses in (np.zeros(N), np.full(N, 1e18)):
        state = tx.epoch(tx.init(SPEC), losses=padded(losses))
        np.testing.assert_allclose(alpha_of(state)[:N], 1 / N, rtol=1e-6)


def test_infinite_scale_and_zero_step_are_uniform(rng):
    losses = padded(rng.exponential(size=N))
    for tx in (rj.alpha_weights(scale=1e30), rj.alpha_weights(0.0)):
        state = tx.epoch(tx.init(SPEC), losses=losses)
        np.testing.assert_allclose(alpha_of(state)[:N], 1 / N, rtol=1e-6)


def test_small_scale_keeps_only_the_smallest_loss(rng):
    losses = rng.exponential(size=N) + 1
    state = rj.alpha_weights(1.0, scale=1e-6).epoch(
        rj.alpha_weights().init(SPEC), losses=padded(losses)
    )
    np.testing.assert_allclose(
        alpha_of(state)[:N], np.eye(N)[losses.argmin()], atol=1e-6
    )


def test_unit_step_forgets_the_past(rng):
    tx = rj.alpha_weights(1.0)
    last = padded(rng.exponential(size=N))
    once = tx.epoch(tx.init(SPEC), losses=last)
    twice = tx.epoch(
        tx.epoch(tx.init(SPEC), losses=padded(rng.exponential(size=N))), losses=last
    )
    np.testing.assert_allclose(alpha_of(twice), alpha_of(once), atol=1e-7)


def batch_of(index, labels):
    return {"index": jnp.asarray(index), "label": jnp.asarray(labels)}


def test_uniform_weights_equal_plain_training_to_the_bit(rng):
    logits = jnp.asarray(rng.normal(size=(8, 3)), jnp.float32)
    batch = batch_of(np.arange(8), rng.integers(0, 3, 8))
    spec = rj.ExampleSpec(num_examples=16, num_classes=3)

    def loss(tx, logits):
        terms, _ = tx.update(rj.start(batch), tx.init(spec), batch, logits=logits)
        return rj.reduce(terms)

    plain = jax.value_and_grad(lambda z: loss(rj.ce(), z))(logits)
    weighted = jax.value_and_grad(
        lambda z: loss(rj.chain(rj.alpha_weights(), rj.ce()), z)
    )(logits)
    jax.tree.map(np.testing.assert_array_equal, weighted, plain)


def test_literal_weighting_is_equation_2_as_printed(rng):
    logits = rng.normal(size=(4, 3))
    labels = rng.integers(0, 3, 4)
    tx = rj.chain(rj.alpha_weights(weighting="literal"), rj.ce())
    state = tx.init(SPEC)
    state = tx.epoch(state, losses=padded(rng.exponential(size=N)))
    alpha = alpha_of(state, 0)[:4]
    batch = batch_of(np.arange(4), labels)
    terms, _ = tx.update(
        rj.start(batch), state, batch, logits=jnp.asarray(logits, jnp.float32)
    )
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    want = (alpha * -log_p[np.arange(4), labels]).sum()
    np.testing.assert_allclose(rj.reduce(terms), want, rtol=1e-5)


@pytest.mark.parametrize("per_example", [False, True])
def test_literal_weighting_sums_over_examples_and_not_over_their_labels(
    per_example, rng
):
    logits = jnp.asarray(rng.normal(size=(4, 5, 3)), jnp.float32)
    labels = rng.integers(0, 3, (4, 5))
    mask = np.ones((4, 5), bool)
    mask[1, 2:], mask[3] = False, False
    tx = rj.chain(rj.alpha_weights(weighting="literal"), rj.ce())
    state = tx.init(rj.ExampleSpec(N, 3, pad_to=8, positions=(5,)))
    state = tx.epoch(state, losses=padded(rng.exponential(size=N)))
    got, _ = rj.value(
        tx, state, logits, labels, np.arange(4), mask, per_example=per_example
    )
    each = np.asarray(rj.losses.cross_entropy(logits, labels))
    each = (each * mask).sum(1) / np.maximum(mask.sum(1), 1)
    np.testing.assert_allclose(got, alpha_of(state, 0)[:4] @ each, rtol=1e-5)


def test_training_pass_uses_the_losses_seen_in_the_epoch(rng):
    tx = rj.chain(rj.alpha_weights(0.3, loss_pass="training"), rj.ce())
    state = tx.init(SPEC)
    losses = np.zeros(N)
    for index in (np.arange(0, 8), np.arange(8, 13)):
        logits = rng.normal(size=(len(index), 3))
        labels = rng.integers(0, 3, len(index))
        batch = batch_of(index, labels)
        _, state = tx.update(
            rj.start(batch), state, batch, logits=jnp.asarray(logits, jnp.float32)
        )
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        losses[index] = -log_p[np.arange(len(index)), labels]
    state = tx.epoch(state)
    want = numpy_update(np.full(N, 1 / N), losses, 0.3, losses.mean() ** 2)
    np.testing.assert_allclose(alpha_of(state, 0)[:N], want, rtol=1e-5)


def test_training_pass_leaves_unvisited_examples_at_the_mean(rng):
    tx = rj.chain(rj.alpha_weights(0.3, loss_pass="training"), rj.ce())
    state = tx.init(SPEC)
    assert np.allclose(alpha_of(tx.epoch(state), 0)[:N], 1 / N)
    batch = batch_of(np.arange(6), np.zeros(6, np.int32))
    logits = jnp.asarray(rng.normal(size=(6, 3)), jnp.float32)
    _, state = tx.update(rj.start(batch), state, batch, logits=logits)
    alpha = alpha_of(tx.epoch(state), 0)
    np.testing.assert_allclose(alpha[6:N], 1 / N, rtol=1e-6)
    np.testing.assert_allclose(alpha.sum(), 1, rtol=1e-6)
    assert np.ptp(np.asarray(alpha[:6])) > 0.01


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradient_side_aggregation_equals_weighting_the_losses(reduction, rng):
    """Eq. 2: weighting gradients is weighting losses, also through an optimiser."""
    x = jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)
    batch = batch_of(np.arange(6), rng.integers(0, 3, 6)) | {"mask": jnp.arange(6) < 5}
    weighting = {"mean": "unit_mean", "sum": "literal"}[reduction]
    tx = rj.chain(rj.alpha_weights(0.4, weighting=weighting), rj.ce())
    state = tx.epoch(tx.init(SPEC), losses=padded(rng.exponential(size=N)))
    params = {"w": jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)}

    def terms_of(params):
        return tx.update(rj.start(batch), state, batch, logits=x @ params["w"])[0]

    def one(params, row, label):
        return rj.losses.cross_entropy(row @ params["w"], label)

    from_losses = jax.grad(lambda p: rj.reduce(terms_of(p)))(params)
    each = jax.vmap(jax.grad(one), (None, 0, 0))(params, x, batch["label"])
    optimizer = optax.chain(rj.aggregate_weighted(reduction), optax.sgd(1.0))
    updates, _ = optimizer.update(
        each,
        optimizer.init(params),
        weights=terms_of(params).weight,
        mask=batch["mask"],
    )
    np.testing.assert_allclose(-updates["w"], from_losses["w"], rtol=1e-5, atol=1e-7)


def test_the_mask_of_gradients_holds_truths():
    optimizer, ones = rj.aggregate_weighted(), jnp.ones(4)

    def total(mask):
        return optimizer.update(
            {"w": ones}, optax.EmptyState(), weights=ones, mask=mask
        )

    for good in (np.array([True, True, False, False]), jnp.array([1, 1, 0, 0])):
        assert total(good)[0]["w"] == 1
    for bad in (jnp.full(4, 0.5), jnp.arange(4), np.ones(3, bool)):
        with pytest.raises(ValueError, match="mask: got .*, expected"):
            total(bad)
    assert np.isnan(jax.jit(total)(jnp.arange(4))[0]["w"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step_size": 1.2}, r"step_size: got 1.2, expected .*\[0, 1\]"),
        ({"scale": 0.0}, r"scale: got 0.0, expected .*\(0, inf\]"),
        ({"scale": "mean_los"}, "scale: unknown 'mean_los' .did you mean 'mean_loss'"),
        ({"loss_pass": "both"}, "loss_pass: unknown 'both'"),
        ({"weighting": "x"}, "weighting: unknown 'x'; known: unit_mean, literal"),
        ({"loss": rj.losses.mae}, "loss: got mae with loss_pass='evaluation'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        rj.alpha_weights(**arguments)


def test_missing_or_misshapen_losses():
    tx = rj.alpha_weights()
    with pytest.raises(TypeError, match="alpha_weights: needs the argument 'losses'"):
        tx.epoch(tx.init(SPEC))
    with pytest.raises(ValueError, match=r"losses: got shape \(13,\), expected \(16,"):
        tx.epoch(tx.init(SPEC), losses=jnp.ones(13))


@pytest.mark.slow
def test_bad_aggregation():
    with pytest.raises(ValueError, match="reduction: unknown 'max'"):
        rj.aggregate_weighted("max")
    tx = rj.aggregate_weighted()
    with pytest.raises(ValueError, match=r"updates: got a leaf of shape \(3, 2\)"):
        tx.update(jnp.ones((3, 2)), tx.init(jnp.ones(2)), weights=jnp.ones(4))
