"""Label smoothing and labels from the state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax.transforms import bootstrap, given_labels, label_smoothing

SPEC = rj.ExampleSpec(num_examples=5, num_classes=3, pad_to=4)
# The last place is padding, with garbage for a label.
BATCH = {
    "index": jnp.array([4, 0, 2, 8]),
    "label": jnp.array([0, 1, 2, 10**6]),
    "mask": jnp.array([True, True, True, False]),
}
LOGITS = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
REAL = slice(0, 3)


def run(tx, state=None, batch=BATCH, logits=LOGITS):
    state = tx.init(SPEC) if state is None else state
    terms, state = tx.update(rj.start(batch), state, batch, logits=logits)
    return terms, state


def new_rows():
    """Rows for examples 0 and 4, none for the others."""
    rows = np.zeros((8, 3), np.float32)
    rows[0] = [0.2, 0.3, 0.5]
    rows[4] = [0.0, 0.0, 1.0]
    return rows


def cross_entropy(labels):
    return np.asarray(rj.losses.cross_entropy(LOGITS[REAL], jnp.asarray(labels)))


def test_smoothing_mixes_with_the_uniform_distribution():
    terms, _ = run(rj.chain(label_smoothing(0.3), rj.ce()))
    log_p = jax.nn.log_softmax(LOGITS[REAL])
    want = 0.7 * cross_entropy([0, 1, 2]) - 0.3 * np.asarray(log_p).mean(-1)
    np.testing.assert_allclose(terms.value[REAL], want, rtol=1e-5)


def test_smoothing_takes_distributions_and_zero_changes_nothing():
    soft = jax.nn.one_hot(jnp.array([0, 1, 2, 0]), 3)
    terms, _ = run(label_smoothing(0.3), batch={**BATCH, "label": soft})
    plain, _ = run(label_smoothing(0.3))
    np.testing.assert_array_equal(terms.labels[REAL], plain.labels[REAL])
    terms, _ = run(rj.chain(label_smoothing(0.0), rj.ce()))
    np.testing.assert_array_equal(terms.value[REAL], cross_entropy([0, 1, 2]))


def test_smoothing_can_be_injected():
    tx = rj.inject_hyperparams(label_smoothing)(smoothing=0.1)
    state = rj.set_hyperparams(tx.init(SPEC), smoothing=0.6)
    terms, _ = run(tx, state)
    np.testing.assert_allclose(terms.labels[0], [0.6, 0.2, 0.2], rtol=1e-6)


def test_smoothing_names_the_missing_logits():
    tx = label_smoothing()
    with pytest.raises(TypeError, match="label_smoothing: needs the argument 'logits'"):
        tx.update(rj.start(BATCH), tx.init(SPEC), BATCH)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_without_rows_nothing_changes(weight):
    terms, state = run(rj.chain(given_labels(weight), rj.ce()))
    np.testing.assert_array_equal(terms.value[REAL], cross_entropy([0, 1, 2]))
    np.testing.assert_array_equal(state.rows[0]["label"], np.zeros((8, 3)))


def test_set_rows_replace_the_labels_and_others_stay():
    tx = given_labels()
    state = tx.init(SPEC)._replace(rows={"label": jnp.asarray(new_rows())})
    terms, after = run(tx, state)
    want = [[0, 0, 1], [0.2, 0.3, 0.5], [0, 0, 1]]
    np.testing.assert_allclose(terms.labels[REAL], want, rtol=1e-6)
    np.testing.assert_array_equal(after.rows["label"], new_rows())


def test_mixed_label_is_the_mixed_cross_entropy():
    tx = rj.chain(given_labels(0.0), rj.ce())
    state = tx.init(SPEC)
    state = state._replace(rows=({"label": jnp.asarray(new_rows())}, state.rows[1]))
    off, _ = run(tx, state)
    np.testing.assert_array_equal(off.value[REAL], cross_entropy([0, 1, 2]))
    # An epoch rule switches the weight on, in compiled code.
    update = jax.jit(lambda state: run(tx, state)[0].value)
    on = state._replace(shared=({"weight": jnp.float32(0.3)}, state.shared[1]))
    corrected = cross_entropy(np.array([[0, 0, 1], [0.2, 0.3, 0.5], [0, 0, 1.0]]))
    want = 0.7 * cross_entropy([0, 1, 2]) + 0.3 * corrected
    np.testing.assert_allclose(update(on)[REAL], want, rtol=1e-5)


def test_an_unknown_label_is_nan_until_its_row_replaces_it():
    batch = {**BATCH, "label": jnp.array([-1, -1, 2, 0])}
    tx = given_labels()
    rows = new_rows()
    rows[4] = 0
    state = tx.init(SPEC)._replace(rows={"label": jnp.asarray(rows)})
    terms, _ = run(tx, state, batch)
    assert np.isnan(terms.labels[0]).all()
    np.testing.assert_allclose(terms.labels[1], [0.2, 0.3, 0.5])


@pytest.mark.parametrize("tx", [label_smoothing(0.2), given_labels()])
def test_padding_reaches_neither_the_loss_nor_the_gradient(tx):
    tx = rj.chain(tx, bootstrap(0.8))
    short = {key: value[REAL] for key, value in BATCH.items()}

    def loss(logits, batch):
        return rj.reduce(run(tx, batch=batch, logits=logits)[0])

    got, gradient = jax.value_and_grad(loss)(LOGITS, BATCH)
    want, expected = jax.value_and_grad(loss)(LOGITS[REAL], short)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_allclose(gradient[REAL], expected, rtol=1e-5)
    assert not gradient[3].any()


def test_rows_that_are_no_number_are_not_left_out():
    tx = rj.chain(rj.given_labels(0.5), rj.ce())
    state = tx.init(rj.ExampleSpec(2, 3))
    spoilt = {"label": jnp.full((2, 3), jnp.nan)}
    state = state._replace(rows=(spoilt, state.rows[1]))
    labels, index = jnp.arange(2), jnp.arange(2)
    loss, _ = rj.value(tx, state, jnp.zeros((2, 3)), labels, index)
    assert np.isnan(loss)


def test_rewriting_stands_before_the_head():
    with pytest.raises(ValueError, match=r"given_labels \(labels\) stands after"):
        rj.chain(rj.ce(), given_labels())


def test_bad_arguments():
    with pytest.raises(ValueError, match="smoothing: got 1.1"):
        label_smoothing(1.1)
    with pytest.raises(ValueError, match="weight: got -1"):
        given_labels(-1)
