"""EL2N, GraNd, forgetting and class medians against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import losses, scores

N, C, D = 13, 4, 5


@pytest.fixture
def problem(rng):
    logits = 2 * rng.normal(size=(N, C))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    features = rng.normal(size=(N, D)).astype(np.float32)
    return p.astype(np.float32), features, rng.integers(0, C, N)


def test_norms_equal_numpy(problem):
    p, f, y = problem
    error = np.sqrt(((p - np.eye(C)[y]) ** 2).sum(1))
    np.testing.assert_allclose(scores.el2n(p, y), error, rtol=1e-5)
    np.testing.assert_allclose(
        scores.el2n(p, np.eye(C, dtype=np.float32)[y]), error, rtol=1e-5
    )
    length = np.sqrt((f.astype(np.float64) ** 2).sum(1))
    grand = scores.last_layer_grand
    np.testing.assert_allclose(
        grand(f, p, y), error * np.sqrt(1 + length**2), rtol=1e-5
    )
    np.testing.assert_allclose(grand(f, p, y, bias=False), error * length, rtol=1e-5)
    # Right and certain is 0, wrong and certain the most.
    sure = np.eye(C, dtype=np.float32)[:2]
    np.testing.assert_allclose(
        scores.el2n(sure, np.array([0, 0])), [0, np.sqrt(2)], rtol=1e-6
    )
    assert np.isnan(scores.el2n(sure, np.array([C, 0]))[0])


def test_exact_grand_of_one_layer_is_the_closed_form(problem):
    """And blocks, with one that is not full, are of no influence."""
    _, f, y = problem
    params = {"w": jnp.asarray(f[:C].T), "b": jnp.arange(C) / 3.0}

    def loss(params, example):
        return losses.cross_entropy(
            example["x"] @ params["w"] + params["b"], example["y"]
        )

    examples = {"x": jnp.asarray(f), "y": jnp.asarray(y)}
    got = jax.jit(lambda: scores.grand(loss, params, examples, block_size=5))()
    p = jax.nn.softmax(f @ params["w"] + params["b"][None])
    np.testing.assert_allclose(got, scores.last_layer_grand(f, p, y), rtol=1e-5)
    with pytest.raises(ValueError, match="block_size: got 0"):
        scores.grand(loss, params, examples, block_size=0)


@pytest.mark.slow
def test_exact_grand_equals_one_gradient_after_the_other(problem):
    _, f, y = problem
    params = [jnp.asarray(f[:C, :3]).T, jnp.asarray(f[:D, :C][:, :3])]

    def loss(params, example):
        x, label = example
        return losses.cross_entropy(jnp.tanh(x @ params[1]) @ params[0], label)

    got = scores.grand(loss, params, (jnp.asarray(f), jnp.asarray(y)), block_size=4)
    gradient = jax.grad(loss)
    for i in (0, 7, N - 1):
        leaves = jax.tree.leaves(gradient(params, (f[i], y[i])))
        flat = np.concatenate([np.ravel(leaf) for leaf in leaves])
        np.testing.assert_allclose(got[i], np.linalg.norm(flat), rtol=1e-5)


def test_forgetting_equals_a_loop(rng):
    correct = rng.uniform(size=(9, N)) < 0.5
    correct[:, 0] = False
    correct[:, 1] = True
    events, learned = scores.forgetting_events(correct)
    for i in range(N):
        expected = sum(a and not b for a, b in zip(correct[:, i], correct[1:, i]))
        assert events[i] == expected
        assert learned[i] == correct[:, i].any()
    assert not learned[0]
    most = np.asarray(scores.forgettability(events, learned))
    assert most[0] == most[1:].max() + 1 == max(events) + 1
    np.testing.assert_array_equal(most[1:], events[1:])
    least = scores.forgettability(events, learned, never_learned="least")
    np.testing.assert_array_equal(least, events)
    with pytest.raises(ValueError, match="never_learned: unknown 'last'"):
        scores.forgettability(events, learned, never_learned="last")


def test_class_medians_equal_numpy(problem):
    _, f, _ = problem
    y = np.arange(N) % 3 + (np.arange(N) % 3 == 2)  # Class 2 is empty.
    medians = scores.class_medians(f, y, num_classes=C)
    assert np.isnan(medians[2]).all()
    for label in (0, 1, 3):
        own = np.sort(f[y == label], axis=0)
        middle = (own[(len(own) - 1) // 2] + own[len(own) // 2]) / 2
        np.testing.assert_allclose(medians[label], middle, rtol=1e-6)
    distances = scores.median_distances(f, y)
    for i in range(N):
        expected = np.sqrt(((f[i] - medians[y[i]]).astype(np.float64) ** 2).sum())
        np.testing.assert_allclose(distances[i], expected, rtol=1e-5)
    # An outlier moves a mean, not a median.
    far = f.copy()
    row = int(np.argmax(np.where(y == 0, f[:, 0], -np.inf)))
    far[row, 0] = 1e6
    np.testing.assert_array_equal(scores.class_medians(far, y, num_classes=C), medians)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float64, np.longdouble])
def test_median_distances_far_from_the_origin(dtype):
    """Float32 has one number for all of these."""
    features = np.array([[2**30], [2**30 + 1], [2**30 + 5]], dtype)
    distances = scores.median_distances(features, [0, 0, 0])
    np.testing.assert_array_equal(distances, [1, 0, 4])
    assert scores.class_medians(features, [0, 0, 0]) == 2**30 + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.ones(3)}, "features: got shape"),
        ({"features": np.full((3, 2), np.nan)}, "features: 3 row"),
        ({"labels": np.array([0, 1])}, "features: lengths differ"),
        ({"labels": np.array([0, -1, 1])}, "labels: 1 label"),
    ],
)
def test_class_medians_of_bad_arguments(change, message):
    good = {"features": np.ones((3, 2), np.float32), "labels": np.array([0, 1, 1])}
    with pytest.raises(ValueError, match=message):
        scores.median_distances(**good | change)


def test_norms_of_shapes_that_do_not_match_are_refused():
    p, features = jnp.full((3, 2), 0.5), jnp.ones((3, 2))
    for labels in (
        *(jnp.array([0]), jnp.zeros((3, 1), int), jnp.zeros((2,), int)),
        *(jnp.zeros((3, 2), int), jnp.zeros(3)),
    ):
        with pytest.raises(ValueError, match="labels: got shape"):
            scores.el2n(p, labels)
        with pytest.raises(ValueError, match="labels: got shape"):
            scores.last_layer_grand(features, p, labels)
    with pytest.raises(ValueError, match="labels: got shape"):
        scores.el2n(np.full((3, 3), 1 / 3), np.eye(3, dtype=int))
    with pytest.raises(ValueError, match="features: got shape"):
        scores.last_layer_grand(features, p[:1], jnp.array([0]))
    # Infinite for all, and so of no order.
    with pytest.raises(ValueError, match="order: got 0.001, expected .* .0.0201"):
        scores.last_layer_grand(features, p, jnp.zeros(3, int), order=1e-3)


def test_norms_of_logits_are_refused():
    logits = np.array([[5.0, -3, 0], [0, 1, 0]])
    for given in (logits, jnp.asarray(logits, jnp.float32)):
        with pytest.raises(ValueError, match="probabilities: got numbers from -3 to 5"):
            scores.el2n(given, [0, 1])
        with pytest.raises(ValueError, match="probabilities: got numbers from -3 to 5"):
            scores.last_layer_grand(np.ones((2, 4)), given, [0, 1])


@pytest.mark.parametrize("make", [np.array, jnp.array])
def test_classes_are_no_record_of_what_was_right(make):
    with pytest.raises(ValueError, match="correct: got 2, expected bools"):
        scores.forgetting_events(make([[2, 0], [0, 3]]))
    found = scores.forgetting_events(make([[1, 0], [0, 0], [1, 0]]))
    assert found.events.tolist() == [1, 0]
    assert found.learned.tolist() == [True, False]


def test_learned_is_yes_or_no():
    with pytest.raises(ValueError, match="learned: got 0.3, expected bools"):
        scores.forgettability([1, 2, 3], [0.3, 1, 0])
    with pytest.raises(ValueError, match="learned: got nan"):
        scores.forgettability([1, 2, 3], [1, np.nan, 0])
    found = scores.forgettability([1, 2, 3], [1, 0, 1])
    np.testing.assert_array_equal(found, [1, 4, 3])
