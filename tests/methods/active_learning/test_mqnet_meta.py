"""Score conversion and the fit of the meta-model."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.methods.active_learning import _mqnet_meta as mqnet_meta
from robustjax.models import MQNet

FAST = {"steps": 3000, "learning_rate": 0.1}


def answers(seed, size=200, share_in=0.4):
    """Purity tells IN from OOD; the losses of IN examples grow with the other."""
    rng = np.random.default_rng(seed)
    is_in = rng.random(size) < share_in
    purity = rng.normal(size=size) * 0.2 + np.where(is_in, 1.0, -1.0)
    informative = rng.normal(size=size) + np.where(is_in, 0.0, 1.5)
    losses = np.where(is_in, np.exp(0.7 * informative), np.nan)
    inputs = np.stack(
        [mqnet_meta.convert_scores(x) for x in (purity, informative)], axis=1
    )
    return inputs, losses.astype(np.float32), is_in


def agreement(scores, targets):
    """The share of pairs with unequal targets that the scores order as these."""
    first, second = np.triu_indices(len(scores), 1)
    apart = targets[first] != targets[second]
    right = (scores[first] - scores[second]) * (targets[first] - targets[second]) > 0
    return right[apart].mean()


def test_conversion_is_numpys(rng):
    raw = rng.normal(size=30) * 4 + 100
    reference = rng.normal(size=50) * 3 + 99
    got = mqnet_meta.convert_scores(raw, reference)
    z = (raw - reference.mean()) / reference.std(ddof=0)
    np.testing.assert_allclose(got, np.exp(z), rtol=1e-4)
    own = mqnet_meta.convert_scores(raw)
    np.testing.assert_allclose(own, np.exp((raw - raw.mean()) / raw.std()), rtol=1e-4)
    np.testing.assert_array_equal(np.argsort(got), np.argsort(raw))


def test_outliers_are_clipped_unless_asked_not_to():
    raw = np.r_[np.zeros(99), 1.0]
    got = mqnet_meta.convert_scores(raw)
    np.testing.assert_allclose(got[-1], np.exp(5.0), rtol=1e-5)
    free = mqnet_meta.convert_scores(raw, clip=None)
    np.testing.assert_allclose(free[-1], np.exp(np.sqrt(99)), rtol=1e-4)


def test_equal_scores_become_one():
    np.testing.assert_array_equal(mqnet_meta.convert_scores(np.full(7, 0.1)), 1.0)
    got = mqnet_meta.convert_scores(np.array([1.0, 2.0]), np.full(3, 0.1))
    np.testing.assert_array_equal(got, 1.0)


def test_every_pass_holds_every_example():
    order = mqnet_meta.batch_order(jax.random.key(0), 10, steps=7, batch_size=4)
    assert order.shape == (7, 4)
    flat = np.ravel(order)
    for start in (0, 10):
        assert sorted(flat[start : start + 10]) == list(range(10))
    assert list(flat[:10]) != list(flat[10:20])


@pytest.mark.slow
def test_fit_recovers_the_order_on_new_examples():
    inputs, losses, is_in = answers(0)
    params, history = mqnet_meta.fit_mqnet(
        jax.random.key(0), inputs, losses, is_in, **FAST
    )
    assert history.shape == (3000,)
    assert np.mean(history[-50:]) < 0.7 * np.mean(history[:10])
    inputs, losses, is_in = answers(1)
    targets = np.where(is_in, losses, 0.0)
    learnt = agreement(np.asarray(mqnet_meta.mqnet_scores(params, inputs)), targets)
    by_sum = agreement(inputs.sum(axis=1), targets)
    by_product = agreement(inputs.prod(axis=1), targets)
    assert learnt > max(by_sum, by_product) + 0.08
    assert learnt > 0.93


@pytest.mark.slow
def test_fit_is_plain_sgd_on_the_hinge_of_halves():
    """Four steps by hand, with a rate that falls and decay on all parameters."""
    inputs, losses, is_in = answers(2, size=20)
    key, model = jax.random.key(3), MQNet(hidden=5)
    initial = model.init(jax.random.key(1), jnp.ones((1, 2)))
    got, history = mqnet_meta.fit_mqnet(
        key,
        inputs,
        losses,
        is_in,
        steps=4,
        learning_rate=0.2,
        batch_size=6,
        margin=0.4,
        weight_decay=0.1,
        initial=initial,
        model=model,
    )
    order = mqnet_meta.batch_order(jax.random.split(key)[1], 20, steps=4, batch_size=6)
    targets = np.where(is_in, losses, 0.0)

    def hinge(params, rows):
        scores = model.apply(params, inputs[rows])
        total = 0.0
        for i, j in ((0, 3), (1, 4), (2, 5)):
            sign = np.sign(targets[rows[i]] - targets[rows[j]])
            if sign:
                total += jnp.maximum(0.4 - sign * (scores[i] - scores[j]), 0.0)
        return total / 3

    wanted = initial
    for step, rows in enumerate(np.asarray(order)):
        value, slope = jax.value_and_grad(hinge)(wanted, rows)
        np.testing.assert_allclose(history[step], value, rtol=1e-4)
        rate = 0.2 if step < 2 else 0.02
        wanted = jax.tree.map(lambda w, g: w - rate * (g + 0.1 * w), wanted, slope)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), got, wanted)


@pytest.mark.slow
def test_padding_and_losses_of_ood_examples_do_not_matter():
    inputs, losses, is_in = answers(4, size=40)
    mask = np.arange(40) < 30
    found = []
    for filler in (0.0, np.nan):
        other = np.where(mask[:, None], inputs, filler)
        loss = np.where(mask & is_in, losses, filler)
        params, _ = mqnet_meta.fit_mqnet(
            jax.random.key(0), other, loss, is_in, mask=mask, **FAST
        )
        found.append(mqnet_meta.mqnet_scores(params, inputs[:30]))
    np.testing.assert_array_equal(*found)
    assert np.all(np.isfinite(found[0]))


def test_equal_targets_leave_the_start_as_it_is():
    inputs, losses, _ = answers(5, size=40)
    initial = MQNet().init(jax.random.key(1), jnp.ones((1, 2)))
    params, _ = mqnet_meta.fit_mqnet(
        jax.random.key(0), inputs, losses, np.zeros(40, bool), initial=initial, **FAST
    )
    jax.tree.map(np.testing.assert_array_equal, params, initial)


@pytest.mark.slow
def test_vmapped_fits_are_the_single_ones():
    inputs, losses, is_in = answers(6, size=40)
    losses = np.where(is_in, losses, 0.0)
    keys = jax.random.split(jax.random.key(0), 2)

    def fit(key, rate):
        return mqnet_meta.fit_mqnet(
            key, inputs, losses, is_in, steps=20, learning_rate=rate
        )[0]

    rates = jnp.array([0.1, 0.01])
    together = jax.vmap(fit)(keys, rates)
    for i in range(2):
        alone = fit(keys[i], rates[i])
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-5),
            together,
            alone,
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"margin": -0.1}, "margin"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"batch_size": 5}, "even"),
        ({"batch_size": 0}, "batch_size"),
        ({"ties": "no"}, "ties"),
        ({"inputs": np.ones((3, 2))}, "lengths differ"),
        ({"inputs": np.full((4, 2), np.nan)}, "inputs"),
        ({"losses": np.full(4, np.inf)}, "losses"),
        ({"losses": np.ones((4, 1))}, "losses"),
        ({"is_in": np.ones((4, 1), bool)}, "is_in"),
        ({"mask": np.full(4, 0.5)}, "mask: got 0.5, expected bools, or 0 and 1"),
    ],
)
def test_bad_arguments_of_the_fit(change, message):
    given = {"inputs": np.ones((4, 2)), "losses": np.ones(4), "is_in": np.ones(4, bool)}
    with pytest.raises(ValueError, match=message):
        mqnet_meta.fit_mqnet(jax.random.key(0), **(given | change))


def test_a_single_example_is_too_few():
    with pytest.raises(ValueError, match="at least two"):
        mqnet_meta.fit_mqnet(
            jax.random.key(0), np.ones((1, 2)), np.ones(1), np.ones(1, bool)
        )


@pytest.mark.parametrize(
    ("raw", "change", "message"),
    [
        (np.ones((2, 2)), {}, "rank 1"),
        (np.array([1.0, np.nan]), {}, "raw"),
        (np.ones(2), {"reference": np.zeros(0)}, "reference"),
        (np.ones(2), {"clip": 0.0}, "clip"),
    ],
)
def test_bad_arguments_of_the_conversion(raw, change, message):
    with pytest.raises(ValueError, match=message):
        mqnet_meta.convert_scores(raw, **change)
