"""Label-quality scores against plain NumPy, at their limits, and under JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import scores

METHODS = scores.QUALITY_METHODS


def problem(rng, count=200, classes=4, dtype=np.float64):
    """Labels and probabilities; a third of the rows predict another class."""
    labels = rng.integers(0, classes, count)
    logits = 2 * rng.normal(size=(count, classes))
    logits[np.arange(count), labels] += 1.5
    p = np.exp(logits)
    return labels, (p / p.sum(1, keepdims=True)).astype(dtype)


def reference(labels, p, method):
    """Row by row, from the definitions."""
    found = []
    for y, row in zip(labels, p.tolist()):
        if method == "self_confidence":
            found.append(row[y])
        elif method == "normalized_margin":
            other = max(value for k, value in enumerate(row) if k != y)
            found.append((row[y] - other + 1) / 2)
        else:
            entropy = -sum(v * np.log(v) for v in row if v > 0) / np.log(len(row))
            ratio = entropy / max(row[y], 1e-6)
            found.append(np.log1p(ratio) / ratio)
    return np.array(found)


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_the_definitions(rng, method):
    labels, p = problem(rng)
    want = reference(labels, p, method)
    got = scores.label_quality_scores(labels, p, method=method)
    assert isinstance(got, np.ndarray)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert got.min() >= 0
    assert got.max() <= 1
    on_device = scores.label_quality_scores(
        jnp.asarray(labels), jnp.asarray(p, jnp.float32), method=method
    )
    assert isinstance(on_device, jax.Array)
    np.testing.assert_allclose(on_device, want, rtol=1e-5, atol=1e-6)


def test_adjusted_scores_make_classes_comparable(rng):
    labels, p = problem(rng)
    # Class 3 does not occur; class 0 is predicted with little confidence.
    labels[labels == 3] = 0
    bars = np.array([p[labels == k, k].mean() for k in range(3)] + [2.0])
    shifted = p - bars + bars.max()
    shifted /= shifted.sum(1, keepdims=True)
    score = scores.label_quality_scores
    for method in METHODS[:2]:
        want = reference(labels, shifted, method)
        got = score(labels, p, method=method, adjust_pred_probs=True)
        np.testing.assert_allclose(got, want, rtol=1e-12)
        got = score(jnp.asarray(labels), p, method=method, adjust_pred_probs=True)
        np.testing.assert_allclose(got, want, rtol=1e-5)
    with pytest.raises(ValueError, match="adjust_pred_probs: got True, expected False"):
        score(labels, p, method=METHODS[2], adjust_pred_probs=True)


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("method", METHODS)
def test_certain_predictions_score_one_and_zero(method, convert):
    """Also by entropy, which is 0 in both cases."""
    p = convert(np.array([[1.0, 0, 0], [0, 1, 0], [1 - 1e-9, 1e-9, 0], [1, 0, 0]]))
    labels = convert(np.array([0, 1, 0, 2]))
    got = scores.label_quality_scores(labels, p, method=method)
    np.testing.assert_allclose(got, [1, 1, 1, 0], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_trust_grows_with_the_probability_of_the_label(method):
    own = np.linspace(0, 1, 41)
    p = np.stack([own, 0.7 * (1 - own), 0.3 * (1 - own)], axis=1)
    got = scores.label_quality_scores(np.zeros(41, int), p, method=method)
    assert (np.diff(got)[1:] > 0).all()
    assert got[0] <= got[1]


def test_order_of_the_worst_survives_in_float64():
    """Margins that differ by less than float32 can tell, near their minimum."""
    own = np.array([3e-9, 1e-9, 2e-9])
    p = np.stack([own, 1 - own], axis=1)
    labels = np.zeros(3, int)
    got = scores.label_quality_scores(labels, p, method="normalized_margin")
    np.testing.assert_array_equal(np.argsort(got), [1, 2, 0])
    assert scores.label_quality_scores(labels, p.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("method", METHODS)
def test_transformations_of_jax_apply(rng, method):
    labels, p = problem(rng, 12, 3, np.float32)
    y, q = jnp.asarray(labels), jnp.asarray(p)

    def score(y, q):
        return scores.label_quality_scores(y, q, method=method)

    want = score(y, q)
    np.testing.assert_allclose(jax.jit(score)(y, q), want, rtol=1e-6)
    halves = jax.jit(jax.vmap(score))(y.reshape(2, 6), q.reshape(2, 6, 3))
    np.testing.assert_allclose(halves.reshape(12), want, rtol=1e-6)
    certain = q.at[0].set(jnp.array([1.0, 0, 0]))
    slope = jax.jit(jax.grad(lambda q: score(y, q).sum()))(certain)
    assert np.isfinite(slope).all()
    # Own probability up, score up.
    assert (np.take_along_axis(slope, labels[:, None], 1)[1:] > 0).all()


@pytest.mark.parametrize("classes", [2, 3, 300])
def test_blocks_do_not_show(rng, classes):
    """More rows than a block holds, whatever the number of classes."""
    count = 20_000 if classes < 10 else 300
    labels, p = problem(rng, count, classes)
    got = scores.label_quality_scores(labels, p, method="normalized_margin")
    others = p.copy()
    others[np.arange(count), labels] = -1
    want = (p[np.arange(count), labels] - others.max(1) + 1) / 2
    np.testing.assert_allclose(got, want, rtol=1e-12)


GOOD = np.full((3, 2), 0.5)
SHIFT = np.array([[0, 0], [1, -1], [0, 0]])


@pytest.mark.parametrize(
    ("labels", "p", "message"),
    [
        ([0, 1], GOOD, "labels: lengths differ .labels 2, pred_probs 3."),
        ([0, 1, 2], GOOD, "labels: 1 label.s. out of range .first: 2 at row 2"),
        ([0, -1, 0], GOOD, "out of range .first: -1 at row 1"),
        ([0.0, 1.0, 0.0], GOOD, "labels: got float64, expected integer"),
        ([[0], [1], [0]], GOOD, "labels: got shape .3, 1., expected rank 1"),
        ([0, 1, 0], GOOD[0], "pred_probs: got shape .2,., expected rank 2"),
        ([0, 0, 0], GOOD[:, :1], "pred_probs: got shape .3, 1., expected 2 classes"),
        ([0, 1, 0], 4 * GOOD, "3 row.s. do not sum to 1 .first: row 0, 4., expected"),
        ([0, 1, 0], GOOD.astype(int), "pred_probs: got int64, expected floats"),
        ([0, 1, 0], GOOD * [[1], [1], [np.nan]], "1 row.s. hold NaN .* row 2"),
        ([0, 1, 0], GOOD + SHIFT, "got -0.5 at row 1, expected"),
    ],
)
@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray])
def test_bad_arguments(labels, p, message, convert):
    message = message.replace("64", "(32|64)")
    with pytest.raises(ValueError, match=message):
        scores.label_quality_scores(convert(labels), convert(p))


def test_unknown_methods_are_named_with_the_known():
    with pytest.raises(ValueError, match="method: unknown 'margin'.*self_confidence"):
        scores.label_quality_scores([0, 1, 0], GOOD, method="margin")


@pytest.mark.slow
def test_rounded_and_half_precision_probabilities_pass(rng):
    labels, p = problem(rng)
    want = scores.label_quality_scores(labels, p)
    for rough in (np.round(p, 3), p.astype(np.float16), jnp.asarray(p, jnp.bfloat16)):
        got = scores.label_quality_scores(labels, rough)
        assert got.dtype == (np.float64 if rough.dtype == np.float64 else np.float32)
        np.testing.assert_allclose(got, want, atol=4e-3)
