"""The learning record against plain NumPy, in a chain and as it is read."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax import scores, transforms

N, C, D, BATCH, EPOCHS = 10, 3, 4, 4, 5
SPEC = rj.ExampleSpec(num_examples=N, num_classes=C, pad_to=4)


def visits(rng):
    """Batches of five epochs, the last of each padded, with their outputs."""
    steps = []
    for _ in range(EPOCHS):
        order = np.append(rng.permutation(N), [N + 2, N + 2])
        for index in order.reshape(-1, BATCH):
            steps.append(
                {
                    "index": index.astype(np.int32),
                    "mask": index < N,
                    "logits": 2 * rng.normal(size=(BATCH, C)).astype(np.float32),
                    "features": rng.normal(size=(BATCH, D)).astype(np.float32),
                }
            )
    return steps


def recorded(steps, labels, tx):
    state = tx.init(SPEC)
    for step in steps:
        label = labels[np.minimum(step["index"], N - 1)]
        batch = {"index": step["index"], "mask": step["mask"], "label": label}
        batch = jax.tree.map(jnp.asarray, batch)
        extra = {"logits": step["logits"], "features": step["features"]}
        terms, state = tx.update(rj.start(batch), state, batch, **extra)
    return terms, state


@pytest.mark.slow
def test_equals_numpy(rng):
    labels = rng.integers(0, C, N)
    # Example 0 is visited, but never with the largest logit on its label.
    steps = visits(rng)
    for step in steps:
        step["logits"][step["index"] == 0, labels[0]] = -9
    tx = rj.chain(rj.label_smoothing(0.3), rj.gce(), transforms.learning_record())
    with_features = rj.chain(rj.ce(), transforms.learning_record(features=True))
    _, state = recorded(steps, labels, with_features)
    got = transforms.read_learning_record(state.rows[-1], N)
    for i in range(N):
        rows = [
            (step["logits"][k].astype(np.float64), step["features"][k])
            for step in steps
            for k in np.flatnonzero(step["index"] == i)
        ]
        right = [int(np.argmax(z)) == labels[i] for z, _ in rows]
        p = [np.exp(z) / np.exp(z).sum() for z, _ in rows]
        error = [np.linalg.norm(q - np.eye(C)[labels[i]]) for q in p]
        pull = [e * np.sqrt(1 + f @ f) for e, (_, f) in zip(error, rows)]
        gap = [z[labels[i]] - np.delete(z, labels[i]).max() for z, _ in rows]
        assert got.visits[i] == len(rows) == EPOCHS
        assert got.forgetting[i] == sum(
            a and not b for a, b in itertools.pairwise(right)
        )
        assert got.learned[i] == any(right)
        assert got.correct[i] == right[-1]
        loss = -np.mean([np.log(q[labels[i]]) for q in p])
        np.testing.assert_allclose(got.loss[i], loss, rtol=1e-5)
        np.testing.assert_allclose(got.el2n[i], np.mean(error), rtol=1e-5)
        np.testing.assert_allclose(got.grand[i], np.mean(pull), rtol=1e-5)
        np.testing.assert_allclose(got.margin[i], np.mean(gap), rtol=1e-5, atol=1e-6)
    assert not got.learned[0]
    # The head and rewritten labels have no influence; GraNd is left out if so wished.
    _, state = recorded(steps, labels, tx)
    other = transforms.read_learning_record(state.rows[-1], N)
    assert other.grand is None
    for mine, theirs in zip(other[:-1], got[:-1]):
        np.testing.assert_array_equal(mine, theirs)


def test_counts_as_the_score_on_the_whole_record(rng):
    labels = rng.integers(0, C, N)
    steps = visits(rng)
    _, state = recorded(steps, labels, rj.chain(rj.ce(), transforms.learning_record()))
    got = transforms.read_learning_record(state.rows[-1], N)
    correct = np.zeros((EPOCHS, N), bool)
    seen = np.zeros(N, int)
    for step in steps:
        for k in np.flatnonzero(step["mask"]):
            i = step["index"][k]
            correct[seen[i], i] = np.argmax(step["logits"][k]) == labels[i]
            seen[i] += 1
    events, learned = scores.forgetting_events(correct)
    np.testing.assert_array_equal(got.forgetting, events)
    np.testing.assert_array_equal(got.learned, learned)
    assert got.forgetting.max() >= 2


def test_changes_no_term_and_reads_distributions(rng):
    labels = rng.integers(0, C, N)
    steps = visits(rng)[:3]
    terms, state = recorded(
        steps, labels, rj.chain(rj.ce(), transforms.learning_record())
    )
    plain, _ = recorded(steps, labels, rj.chain(rj.ce()))
    np.testing.assert_array_equal(terms.value, plain.value)
    np.testing.assert_array_equal(terms.weight, plain.weight)
    _, soft = recorded(
        steps,
        np.eye(C, dtype=np.float32)[labels],
        rj.chain(rj.ce(), transforms.learning_record()),
    )
    for a, b in zip(jax.tree.leaves(state.rows), jax.tree.leaves(soft.rows)):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.slow
def test_a_label_out_of_range_has_no_margin():
    tx = transforms.learning_record()
    state = tx.init(SPEC)
    batch = {"index": jnp.arange(3), "label": jnp.array([0, -1, C])}
    logits = jnp.array([[2.0, 1.0, 0.0]] * 3)
    _, state = tx.update(rj.start(batch), state, batch, logits=logits)
    record = transforms.read_learning_record(state.rows, 3)
    np.testing.assert_array_equal(record.margin, [1, np.nan, np.nan])


def test_reading():
    state = transforms.learning_record().init(SPEC)
    got = transforms.read_learning_record(state.rows, N)
    assert got.visits.shape == (N,)
    # Nothing seen yet: no mean.
    assert np.isnan(got.el2n).all()
    with pytest.raises(ValueError, match="num_examples: got 13, expected at most"):
        transforms.read_learning_record(state.rows, 13)
    tx = rj.chain(rj.ce(), transforms.learning_record(features=True))
    batch = {"index": jnp.arange(2), "label": jnp.arange(2)}
    with pytest.raises(TypeError, match="learning_record: needs the argument 'feature"):
        tx.update(rj.start(batch), tx.init(SPEC), batch, logits=jnp.ones((2, C)))
