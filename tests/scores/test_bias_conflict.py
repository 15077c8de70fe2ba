"""Scores of bias conflict, thresholds and splits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import scores

C, N, D = 3, 20, 4


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(0)
    return {
        "labels": rng.integers(0, C, N),
        "probabilities": rng.dirichlet(np.ones(C), N).astype(np.float32),
        "debiased_probabilities": rng.dirichlet(np.ones(C), N).astype(np.float32),
        "features": rng.normal(size=(N, D)).astype(np.float32),
    }


def test_every_score_equals_numpy(given):
    y, p, d, f = given.values()
    found = scores.bias_conflict_scores(**given)
    for i in range(N):
        right = float(p[i].argmax() == y[i])
        np.testing.assert_allclose(found.swap[i], abs(right - p[i].max()), rtol=1e-6)
        levels = [-np.log(q[i, y[i]]) for q in (p, d)]
        top = [(-np.log(q[y == y[i], y[i]])).max() for q in (p, d)]
        b, k = levels[0] / top[0], levels[1] / top[1]
        np.testing.assert_allclose(found.relative_difficulty[i], b / (b + k), 1e-4)
        outer = np.outer(f[i], p[i] - np.eye(C)[y[i]])
        np.testing.assert_allclose(
            found.gradient_norm[i], np.linalg.norm(outer), rtol=1e-5
        )
    np.testing.assert_allclose(found.threshold, found.swap.mean(), rtol=1e-6)
    np.testing.assert_array_equal(found.conflicting, found.swap > found.swap.mean())
    assert np.all(np.diff(found.swap[found.ranking]) <= 0)
    assert sorted(found.ranking) == list(range(N))


def test_what_is_missing_is_left_out(given):
    y, p, _, _ = given.values()
    found = scores.bias_conflict_scores(y, p)
    assert found.relative_difficulty is None
    error = np.linalg.norm(p - np.eye(C)[y], axis=1)
    np.testing.assert_allclose(found.gradient_norm, error, rtol=1e-5)
    with pytest.raises(ValueError, match="debiased_probabilities: got None"):
        scores.bias_conflict_scores(y, p, by="relative_difficulty")


def test_sure_and_right_is_zero_sure_and_wrong_is_one():
    p = jnp.array([[1.0, 0], [1, 0], [0.6, 0.4]])
    found = scores.bias_swap_score(p, jnp.array([0, 1, 0]))
    np.testing.assert_allclose(found, [0, 1, 0.4], atol=1e-6)
    unknown = scores.bias_swap_score(p, jnp.array([2, -1, 0]))
    np.testing.assert_array_equal(np.isnan(unknown), [True, True, False])
    with pytest.raises(ValueError, match="probabilities: got numbers from 3 to 5"):
        scores.bias_swap_score(np.array([[3.0, 5.0]]), np.array([1]))


def test_labels_are_one_of_every_example():
    p = np.full((4, 3), 1 / 3)
    for labels in (np.zeros((4, 1), int), np.int64(0), np.zeros(1, int)):
        with pytest.raises(ValueError, match=r"labels: got shape .*expected \(4,\)"):
            scores.bias_swap_score(p, labels)


def test_sure_networks_have_a_difficulty_however_their_softmax_rounds():
    """Losses of 1.0000001 and 0.9999999 cancel."""
    biased = np.array([[1 + 2e-7, 0], [0.5, 0.5], [0.9, 0.1]], np.float32)
    debiased = np.array([[1 - 1e-7, 0], [0.5, 0.5], [0.2, 0.8]], np.float32)
    arguments = [0, 0, 0], biased
    found = scores.bias_conflict_scores(
        *arguments, debiased_probabilities=debiased, by="relative_difficulty"
    )
    np.testing.assert_allclose(found.relative_difficulty[0], 0, atol=1e-6)
    assert found.ranking.tolist() == [1, 2, 0]


def test_thresholds():
    values = np.array([0.0, 0.1, 0.9, 0.0, 0.5, 0.55])
    labels = np.array([0, 0, 0, 1, 1, 1])
    cut = scores.conflict_threshold
    np.testing.assert_allclose(cut(values, labels), values.mean(), rtol=1e-6)
    by_class = np.repeat([1 / 3, 0.35], 3)
    np.testing.assert_allclose(cut(values, labels, scope="class"), by_class, 1e-6)
    gap = cut(values, labels, rule="largest_gap")
    np.testing.assert_allclose(gap, 0.3, rtol=1e-6)
    gap = cut(values, labels, rule="largest_gap", scope="class")
    np.testing.assert_allclose(gap, np.repeat([0.5, 0.25], 3), rtol=1e-6)
    for rule in scores.CONFLICT_RULES:
        # Nobody is above equal scores, nor alone above itself.
        for same in (
            *(np.ones(4), np.full(3, 0.1, np.float32), np.ones(1)),
            *(np.full(5, 0.7), np.full(5, 0.9), np.full(1437, 0.1)),
        ):
            assert not np.any(same > cut(same, np.zeros(same.size, int), rule=rule))
        # A common offset, and neighbours that have nothing between them.
        far = 1e9 + np.array([1.0, 1, 1, 9])
        above = far > cut(far, np.zeros(4, int), rule=rule)
        np.testing.assert_array_equal(above, [False, False, False, True])
        far = 1e15 + np.repeat([0.0, 40, 100], [900, 90, 10])
        above = (far > cut(far, np.zeros(1000, int), rule=rule)).sum()
        assert above == (10 if rule == "largest_gap" else 100)
        close = np.array([0.5, 0.5, np.nextafter(np.float32(0.5), 1)], np.float32)
        above = close > cut(close, np.zeros(3, int), rule=rule)
        np.testing.assert_array_equal(above, [False, False, True])


def test_otsus_groups_vary_least_within():
    """Against every split there is; ties stay together."""
    rng = np.random.default_rng(0)
    for size in (2, 3, 40):
        values = np.round(rng.beta(0.3, 2.0, size), 1).astype(np.float32)
        values[0] = 1.0
        got = scores.conflict_threshold(values, np.zeros(size, int), rule="otsu")[0]

        def within(threshold, values=values):
            parts = values[values > threshold], values[values <= threshold]
            return sum(((part - part.mean()) ** 2).sum() for part in parts)

        levels = np.unique(values)
        best = min(within(level) for level in levels[:-1])
        np.testing.assert_allclose(within(got), best, rtol=1e-5, atol=1e-6)
        assert got not in values


def test_split_quality_of_a_known_table():
    truth = np.repeat([True, False], [4, 16])
    found = np.r_[[True] * 3, False, [True] * 2, [False] * 14]
    got = scores.split_quality(found, truth)
    np.testing.assert_allclose(got[:3], [3 / 5, 3 / 4, 2 / 3])
    np.testing.assert_allclose(
        got[3:],
        [(3 / 5 + 14 / 15) / 2, (3 / 4 + 14 / 16) / 2, (2 / 3 + 28 / 31) / 2],
    )
    assert scores.split_quality(np.zeros(20, bool), truth).precision == 0


@pytest.mark.parametrize("order", [0.7, 1.0, 2.0, np.inf])
@pytest.mark.parametrize("bias", [False, True])
def test_last_layer_norm_equals_the_gradients(given, order, bias):
    """Of any entrywise norm, by one gradient per example."""
    y, _, _, f = given.values()
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(D, C)), jnp.float32)
    params = {"kernel": kernel, "bias": jnp.zeros(C)}

    def loss(params, features, label):
        logits = features @ params["kernel"] + params["bias"]
        return -jax.nn.log_softmax(logits)[label]

    slopes = jax.jit(jax.vmap(jax.grad(loss), (None, 0, 0)))(params, f, y)
    rows = [np.abs(slopes["kernel"]).reshape(N, -1)]
    rows = np.concatenate([*rows, *([np.abs(slopes["bias"])] if bias else [])], axis=1)
    if np.isinf(order):
        want = rows.max(axis=1)
    else:
        want = (rows.astype(np.float64) ** order).sum(axis=1) ** (1 / order)
    p = jax.nn.softmax(f @ kernel)
    got = scores.last_layer_grand(f, p, y, bias=bias, order=order)
    np.testing.assert_allclose(got, want, rtol=2e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"by": "swop"}, "by: unknown 'swop' .did you mean 'swap'"),
        ({"rule": "median"}, "rule: unknown 'median'"),
        ({"scope": "group"}, "scope: unknown 'group'"),
        ({"order": 0.0}, "order: got 0.0"),
        ({"labels": np.zeros(N - 1, int)}, "labels: lengths differ"),
        ({"labels": np.full(N, C)}, "labels: 20 label.s. out of range"),
        ({"probabilities": np.ones((N, C))}, "probabilities: 20 row"),
        ({"debiased_probabilities": np.full((N, 2), 0.5)}, "debiased_prob.*shape"),
        ({"features": np.ones((N + 1, D))}, "features: lengths differ"),
    ],
)
def test_bad_arguments(given, change, message):
    with pytest.raises(ValueError, match=message):
        scores.bias_conflict_scores(**{**given, **change})


def test_bad_splits():
    with pytest.raises(ValueError, match="conflicting: got int64, expected bool"):
        scores.split_quality(np.ones(3, int), np.array([True, False, True]))
    with pytest.raises(ValueError, match="truth: got 0 conflicting of 3"):
        scores.split_quality(np.ones(3, bool), np.zeros(3, bool))
