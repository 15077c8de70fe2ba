"""What may be set of injected hyperparameters, and what would be lost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj

SPEC = rj.ExampleSpec(4, 3)
LABELS = jnp.array([0, 1, 2, 0])
LOGITS = jnp.array([[2.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])


def test_a_whole_number_does_not_cut_what_is_set_later():
    tx = rj.chain(rj.inject_hyperparams(rj.gce)(q=1))
    state = tx.init(SPEC)
    with pytest.raises(ValueError, match="q: got 0.7, expected whole numbers"):
        rj.set_hyperparams(state, 0, q=0.7)
    floats = rj.chain(rj.inject_hyperparams(rj.gce)(q=1.0))
    state = rj.set_hyperparams(floats.init(SPEC), 0, q=0.7)
    loss, _ = rj.value(floats, state, LOGITS, LABELS, jnp.arange(4))
    want, _ = rj.value(
        rj.gce(q=0.7), rj.gce(q=0.7).init(SPEC), LOGITS, LABELS, jnp.arange(4)
    )
    np.testing.assert_allclose(loss, want, rtol=1e-6)


def test_what_follows_a_schedule_cannot_be_set_and_can_be_read():
    tx = rj.chain(rj.inject_hyperparams(rj.gce)(q=lambda count: 0.2 + 0.1 * count))
    state = tx.init(SPEC)
    with pytest.raises(ValueError, match="q: follows a schedule, which would set it"):
        rj.set_hyperparams(state, 0, q=0.1)
    seen = []
    for _ in range(3):
        _, state = rj.value(tx, state, LOGITS, LABELS, jnp.arange(4))
        seen.append(float(state.shared[0]["scheduled"]["q"]))
    np.testing.assert_allclose(seen, [0.2, 0.3, 0.4], rtol=1e-5)


@pytest.mark.parametrize("kind", ["small_loss", "given_weights", "clean_probability"])
def test_a_sum_is_not_turned_into_a_mean_that_loses_its_scale(kind):
    literal = rj.alpha_weights(weighting="literal")
    other = {
        "small_loss": lambda: rj.small_loss(0.0),
        "given_weights": rj.given_weights,
        "clean_probability": rj.clean_probability,
    }[kind]()
    parts = [literal, rj.ce()]
    parts.insert(2 if kind == "small_loss" else 1, other)
    tx = rj.chain(*parts)
    with pytest.raises(ValueError, match=f"{kind}: got terms that a transform before"):
        rj.value(tx, tx.init(SPEC), LOGITS, LABELS, jnp.arange(4))
    if kind == "small_loss":
        return
    mean = rj.transforms.Reduction.MEAN
    factory = {"given_weights": rj.given_weights, "clean_probability": None}[kind]
    factory = factory or rj.clean_probability
    parts[1] = factory(reduction=mean)
    tx = rj.chain(*parts)
    loss, _ = rj.value(tx, tx.init(SPEC), LOGITS, LABELS, jnp.arange(4))
    alone = rj.chain(literal, rj.ce())
    want, _ = rj.value(alone, alone.init(SPEC), LOGITS, LABELS, jnp.arange(4))
    np.testing.assert_allclose(loss, want, rtol=1e-6)


def test_what_is_not_finite_shows_though_its_example_is_pruned():
    tx = rj.truncated_gce(k=0.5)
    state = tx.epoch(tx.init(SPEC), losses=jnp.array([3.0, 3.0, jnp.nan, 0.1]))
    assert state.rows["kept"].tolist() == [False, False, True, True]
    pruned = tx.epoch(tx.init(SPEC), losses=jnp.full(4, 3.0))
    loss, _ = rj.value(tx, pruned, LOGITS.at[0].set(jnp.nan), LABELS, jnp.arange(4))
    assert np.isnan(loss)
    wrong = jnp.array([7, 1, 2, 0])
    loss, _ = rj.value(tx, pruned, LOGITS, wrong, jnp.arange(4))
    assert np.isnan(loss)
    loss, _ = rj.value(tx, pruned, LOGITS, LABELS, jnp.arange(4))
    assert np.isfinite(loss)


@pytest.mark.parametrize(("dtype", "classes"), [("uint8", 1000), ("int8", 200)])
def test_narrow_labels_are_compared_with_all_classes(dtype, classes):
    labels = jnp.array([3, 100], dtype)
    logits = jnp.zeros((2, classes))
    np.testing.assert_allclose(
        rj.losses.cross_entropy(logits, labels), np.log(classes), rtol=1e-6
    )
    wide = rj.losses.jensen_shannon(logits, labels.astype(jnp.int32))
    narrow = jax.jit(lambda y: rj.losses.jensen_shannon(logits, y))(labels)
    np.testing.assert_allclose(narrow, wide, rtol=1e-6)
