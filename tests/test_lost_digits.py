"""Numbers of which float32 alone would keep too few digits, or none.

What once went wrong without a word, each with the right value beside it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax import conditioning, data, graph, scores, selection
from robustjax.selection._ccal import Distinctive
from robustjax.selection._greedy import check_picks
from robustjax.selection._greedy import selection as make_selection


def _neighbors(points, k, metric="euclidean"):
    """In float64; of integers as integers."""
    points = np.asarray(points)
    if metric == "euclidean":
        exact = points.astype(object) if points.dtype.kind in "iu" else points
        points = exact - exact[0]
    points = points.astype(float)
    if metric == "cosine":
        points = points / np.abs(points).max(axis=1, keepdims=True)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    square = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.fill_diagonal(square, np.inf)
    order = np.argsort(square, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(square, order, axis=1)


def _farthest_first(points, budget):
    level, picks = np.full(len(points), np.inf), [0]
    for _ in range(budget - 1):
        square = ((points - points[picks[-1]]) ** 2).sum(axis=1)
        level = np.minimum(level, square)
        picks.append(int(level.argmax()))
    return picks


DATA = {
    "degrees": lambda x: 48.137 + 1e-5 * x,
    "unix_milliseconds": lambda x: 1.7e12 + 1e3 * x,
    "unix_nanoseconds": lambda x: (
        np.int64(1_700_000_000_123_456_789) + np.rint(1e3 * x).astype(np.int64)
    ),
    "unsigned": lambda x: np.uint64(2**63) + np.rint(1e4 + 1e3 * x).astype(np.uint64),
    "float32": lambda x: (1000 + x).astype(np.float32),
    "huge": lambda x: 1e25 * x,
    "huge_float32": lambda x: (1e25 * x).astype(np.float32),
    "tiny": lambda x: 1e-30 * x,
    "tiny_float32": lambda x: (1e-30 * x).astype(np.float32),
    "long_double": lambda x: np.longdouble(1e9) + x.astype(np.longdouble),
}


@pytest.mark.parametrize("kind", DATA)
def test_scores_that_are_standardised(kind, rng):
    raw = DATA[kind](rng.normal(size=40))
    exact = raw.astype(object) if raw.dtype.kind in "iu" else raw
    level = (exact - exact[0]).astype(np.longdouble)
    want = np.exp((level - level.mean()) / level.std()).astype(float)
    got = rj.methods.active_learning.convert_scores(raw)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    some = rj.methods.active_learning.convert_scores(raw[:7], raw)
    np.testing.assert_array_equal(some, got[:7])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("kind", DATA)
def test_neighbours(kind, metric, rng):
    points = DATA[kind](rng.normal(size=(150, 4)))
    want, squares = _neighbors(points, 5, metric)
    got = graph.nearest_neighbors(points, 5, metric=metric)
    distances = np.sqrt(squares) if metric == "euclidean" else squares / 2
    if metric == "cosine" and kind.startswith(("unix", "uns", "long")):
        # Angles of 1e-9 are where double precision ends, too.
        np.testing.assert_allclose(got.distances, distances, atol=1e-15)
        return
    np.testing.assert_array_equal(got.indices, want)
    np.testing.assert_allclose(got.distances, distances, rtol=2e-6)


def test_clusters_finer_than_float32_in_the_same_data(rng):
    """Eight points each: candidates enough to hold a cluster, but not its order."""
    points = np.repeat(rng.normal(size=(15, 3)), 8, axis=0)
    points = points + 1e-9 * rng.normal(size=points.shape)
    got = graph.nearest_neighbors(points, 5)
    np.testing.assert_array_equal(got.indices, _neighbors(points, 5)[0])


def test_float32_clusters_close_to_zero_keep_their_order(rng):
    """Centred on the mean of all they would be equal, and squared they vanish."""
    points = np.concatenate([1e-25 * rng.normal(size=(8, 3)), 1 + np.eye(12, 3)])
    points = points.astype(np.float32)
    got = graph.nearest_neighbors(points, 3)
    np.testing.assert_array_equal(got.indices[:8], _neighbors(points[:8], 3)[0])


def test_distances_beyond_float32_are_refused(rng):
    points = rng.normal(size=(20, 2))
    for scale in (1e200, 1e-200):
        with pytest.raises(ValueError, match=r"points: got differences .* rescale"):
            graph.nearest_neighbors(points * scale, 3)
        got = graph.nearest_neighbors(points * scale, 3, metric="cosine")
        want = _neighbors(points * scale, 3, "cosine")[0]
        np.testing.assert_array_equal(got.indices, want)


@pytest.mark.parametrize("scale", [1.0, 1e20, 1e-20, 1e25, 1e-30])
@pytest.mark.parametrize("offset", [0.0, 1e9, 1.7e9])
def test_k_center(scale, offset, rng):
    base = rng.normal(size=(40, 3))
    # An offset of the same size as the points' own digits.
    points = (base + offset) * scale
    got = selection.k_center(points, 6)
    assert got.indices.tolist() == _farthest_first(base, 6)
    plain = selection.k_center(base, 6)
    np.testing.assert_allclose(got.gains[1:], plain.gains[1:] * scale, rtol=1e-5)
    np.testing.assert_allclose(got.objective, plain.objective * scale, rtol=1e-5)
    pruned = selection.select(points, None, None, 6 / 40, "k_center")
    assert pruned.indices.tolist() == got.indices.tolist()


@pytest.mark.parametrize("offset", [48.137, 1e9, 1.7e12])
def test_mean_pairwise_distance(offset, rng):
    points = 1e-5 * offset * rng.normal(size=(30, 3))
    got = graph.mean_pairwise_distance(points + offset)
    np.testing.assert_allclose(got, graph.mean_pairwise_distance(points), rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e20, 1e25, 1e-20, 1e-30])
def test_selections_by_cosine_do_not_depend_on_lengths(scale, rng):
    pool, query = rng.normal(size=(30, 4)), rng.normal(size=(3, 4))
    confidence = rng.random(30)
    for make in (
        lambda x: selection.prune4rel(x, confidence, 8, threshold=0.8),
        lambda x: selection.prune4rel(
            x, confidence, 8, threshold=0.8, objective="coverage"
        ),
        lambda x: selection.facility_location_cmi(x, query, None, 8),
        lambda x: selection.log_det_cmi(x, query, None, 8),
    ):
        for dtype in (np.float32, np.float64):
            got = make((pool * scale).astype(dtype))
            assert got.indices.tolist() == make(pool).indices.tolist()


@pytest.mark.parametrize("scale", [1e20, 1e-20, 1e15])
def test_badge_does_not_depend_on_the_features_size(scale, rng):
    logits, features = rng.normal(size=(2, 30, 4))
    key = jax.random.key(0)
    plain = selection.badge(key, logits, features, 6)
    for dtype in (np.float32, np.float64):
        got = selection.badge(key, logits + 1e9, (features * scale).astype(dtype), 6)
        assert got.indices.tolist() == plain.indices.tolist()
        np.testing.assert_allclose(got.gains, plain.gains * scale, rtol=1e-4)


def test_ccal_scales_in_double_precision(rng):
    semantic, likeness = rng.normal(size=20), rng.normal(size=(20, 2))
    nearest = rng.integers(0, 2, 20)
    plain = selection.ccal(semantic, Distinctive(likeness, nearest), 6)
    got = selection.ccal(semantic + 1e9, Distinctive(1e20 * likeness, nearest), 6)
    assert got.indices.tolist() == plain.indices.tolist()


def test_prototype_distances_of_offset_features(rng):
    points, key = rng.normal(size=(60, 3)), jax.random.key(0)
    for metric, factor in (("euclidean", 1e20), ("cosine", 1)):
        plain = selection.prototype_distances(points, 4, key, metric=metric)
        got = selection.prototype_distances(points * 1e20, 4, key, metric=metric)
        np.testing.assert_allclose(got, factor * plain, rtol=1e-4, atol=1e-5)
    got = selection.prototype_distances(points + 1.7e9, 4, key, metric="euclidean")
    plain = selection.prototype_distances(points, 4, key, metric="euclidean")
    np.testing.assert_allclose(got, plain, atol=1e-4)


def test_nearest_ood_distance_of_offset_features(rng):
    features, references = rng.normal(size=(9, 3)), rng.normal(size=(4, 3))
    want = np.linalg.norm(features[:, None] - references[None], axis=-1).min(axis=1)
    got = scores.nearest_ood_distance(features + 1.7e9, references + 1.7e9)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    big = scores.nearest_ood_distance(features * 1e25, references * 1e25)
    np.testing.assert_allclose(big, want * 1e25, rtol=1e-5)


def test_no_selection_returns_an_index_twice_or_out_of_range():
    for picks, message in (
        ([0, 3, 4, 0, 0, 0], r"selection: index 0 was picked 4 times of 6"),
        ([0, 5], r"selection: got index 5 as pick 1, expected 0 … 4"),
        ([-1, 2], r"selection: got index -1 as pick 0"),
    ):
        with pytest.raises(ValueError, match=message):
            check_picks(picks, 5)
        with pytest.raises(ValueError, match=message):
            make_selection(picks, np.zeros(len(picks)), 0.0, 5)
    with pytest.raises(ValueError, match="selection: the gain of pick 1 is NaN"):
        make_selection([0, 1], [1.0, np.nan], 0.0, 5)
    with pytest.raises(ValueError, match="selection: the objective is NaN"):
        make_selection([0, 1], [1.0, 1.0], np.nan, 5)


def test_a_broken_rule_cannot_reach_a_table(monkeypatch, rng):
    """Whatever a pruning rule returns goes through the same check."""
    import dataclasses

    from robustjax.selection import _pruning as pruning

    def broken(inputs, task):
        del inputs
        indices = np.zeros(task.budget, np.int32)
        return selection.Selection(indices, np.zeros(task.budget), 0.0)

    method = dataclasses.replace(pruning.PRUNING_METHODS["k_center"], rule=broken)
    monkeypatch.setattr(pruning, "PRUNING_METHODS", {"k_center": method})
    with pytest.raises(ValueError, match="index 0 was picked 5 times of 5"):
        selection.select(rng.normal(size=(10, 2)), None, None, 0.5, "k_center")


def test_too_few_usable_candidates_never_repeat_a_pick():
    laplacian = graph.neighbor_graph(np.arange(8.0)[:, None], 2).laplacian
    diffusion = graph.clamped_diffusion(laplacian)
    entropies, candidates = jnp.arange(8.0), jnp.arange(8)
    usable = jnp.arange(8) < 2
    with pytest.raises(ValueError, match="usable: got 2 usable candidates"):
        selection.propagate_entropy(
            entropies, candidates, usable, diffusion, num_queries=4
        )
    traced = jax.jit(
        lambda usable: selection.propagate_entropy(
            entropies, candidates, usable, diffusion, num_queries=4
        )
    )
    picks, left = traced(usable)
    assert len(set(picks.tolist())) == 4
    assert set(picks[:2].tolist()) == {0, 1}
    assert np.isnan(left).all()


def test_available_examples_of_score_minus_infinity_come_before_others():
    scores_ = jnp.asarray([3.0, -jnp.inf, 2.0, -jnp.inf])
    available = jnp.asarray([False, False, True, True])
    for values in (scores_, np.asarray(scores_)):
        indices, there = selection.top_available(values, available, 2)
        assert indices.tolist() == [2, 3]
        assert there.all()


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("average_epochs", [1, 2])
def test_a_loss_that_is_no_number_spoils_no_other_weight(bad, average_epochs, rng):
    wrong = np.arange(40) % 4 == 0
    losses = np.where(wrong, 3.0, 0.3) + 0.1 * rng.normal(size=40)
    tx = rj.clean_probability(start_epoch=1, average_epochs=average_epochs)
    state = tx.init(rj.ExampleSpec(num_examples=40, num_classes=3))
    plain = jax.jit(tx.epoch)(state, losses=jnp.asarray(losses, jnp.float32))
    losses[8] = bad
    got = jax.jit(tx.epoch)(state, losses=jnp.asarray(losses, jnp.float32))
    weights = np.asarray(got.rows["clean_probability"])
    assert np.isfinite(weights).all()
    others = np.arange(40) != 8
    np.testing.assert_allclose(
        weights[others], plain.rows["clean_probability"][others], atol=1e-4
    )
    assert weights[8] < 1e-4


@pytest.mark.slow
def test_mixtures_leave_out_what_is_not_finite(rng):
    values = np.concatenate([rng.normal(0, 0.1, 30), rng.normal(1, 0.1, 30)])
    dirty = np.concatenate([values, [np.inf, np.nan, -np.inf]])
    plain = scores.fit_two_gaussians(values)
    for ours, right in zip(scores.fit_two_gaussians(dirty), plain):
        np.testing.assert_allclose(ours, right, rtol=1e-5)
    scaled = np.asarray(scores.min_max_normalize(dirty))
    np.testing.assert_allclose(scaled[:60], scores.min_max_normalize(values))
    np.testing.assert_array_equal(scaled[60:], [1, np.nan, 0])
    posterior = np.asarray(scores.posterior_of_lower(dirty, plain))
    assert np.isfinite(posterior[:60]).all()
    assert np.isnan(posterior[61])


def test_mixtures_refuse_what_float32_cannot_tell_apart(rng):
    values = rng.normal(size=20)
    with pytest.raises(ValueError, match="values: got numbers from .* subtract"):
        scores.fit_two_gaussians(values + 1.7e9)
    with pytest.raises(ValueError, match="values: got .* min_max_normalize"):
        scores.fit_two_gaussians(values * 1e20)
    scaled = scores.min_max_normalize(values + 1.7e9)
    np.testing.assert_allclose(scaled, scores.min_max_normalize(values), atol=1e-6)


def _standardize(inputs, labels=None):
    labels = np.arange(len(inputs)) % 2 if labels is None else labels
    return data.standardize(data.make_dataset(inputs, labels))[0].inputs


@pytest.mark.parametrize("deviation", [1.0, 1e-5, 1e-13, 1e-20, 1e-30, 1e20])
@pytest.mark.parametrize("offset", [0.0, 48.137])
def test_standardize_keeps_deviations_of_any_size(deviation, offset, rng):
    base = rng.normal(size=(40, 3))
    inputs = base * deviation + offset
    constant = (inputs == inputs[:1]).all(axis=0)
    got = _standardize(inputs)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[:, constant], 0)
    # What is left of the digits in the input itself.
    left = np.spacing(offset) / deviation
    if left < 1e-2:
        want = (base - base.mean(axis=0)) / base.std(axis=0)
        np.testing.assert_allclose(got, want, atol=1e-5 + 4 * left)
    varying = got[:, ~constant]
    np.testing.assert_allclose(varying.std(axis=0), 1, rtol=1e-4)
    np.testing.assert_allclose(varying.mean(axis=0), 0, atol=1e-5)


def test_standardize_makes_constants_zero_whatever_their_rounding():
    """The mean of many 0.1 is not 0.1: a deviation of 1e-17 that is none."""
    inputs = np.tile([0.1, 48.137, 1.7e9, 1e-30], (37, 1))
    np.testing.assert_array_equal(_standardize(inputs), 0)
    np.testing.assert_array_equal(_standardize(inputs.astype(np.float32)), 0)


def test_standardize_takes_images_of_one_kind(rng):
    images = rng.integers(0, 256, (6, 2, 2, 1)).astype(np.uint8)
    labels = np.arange(6) % 2
    train = data.make_dataset(images, labels)
    floats = data.make_dataset(images / 255.0, labels, name="floats")
    np.testing.assert_allclose(
        data.standardize(train)[0].inputs, data.standardize(floats)[0].inputs, atol=1e-6
    )
    with pytest.raises(ValueError, match="others: floats has float64 inputs of shape"):
        data.standardize(train, floats)


@pytest.mark.parametrize(
    "score", [scores.entropy, scores.least_confidence, scores.max_softmax_uncertainty]
)
def test_probabilities_of_logits_far_from_zero(score, rng):
    logits = rng.normal(size=(10, 4))
    np.testing.assert_allclose(score(logits + 1e9), score(logits), rtol=1e-4)


def test_entropy_of_nan_is_not_certainty():
    assert np.isnan(scores.entropy(jnp.asarray([0.0, jnp.nan])))
    assert scores.entropy(jnp.asarray([0.0, -jnp.inf])) == 0


def test_norms_of_huge_and_tiny_features(rng):
    features = rng.normal(size=(6, 5)).astype(np.float32)
    norms = np.linalg.norm(features.astype(float), axis=1)
    for scale in (1e25, 1e-30):
        scaled = features * np.float32(scale)
        got = scores.mean_activation_norm(scaled)
        np.testing.assert_allclose(got, norms.mean() * scale, rtol=1e-5)
        p, labels = np.full((6, 2), 0.5), np.zeros(6, int)
        got = scores.last_layer_grand(scaled, p, labels, bias=False)
        np.testing.assert_allclose(got, np.sqrt(0.5) * norms * scale, rtol=1e-5)
        got = scores.median_distances(scaled, np.arange(6) // 3)
        assert np.isfinite(got).all()
        assert (got > 0).sum() >= 4


@pytest.mark.slow
def test_rows_of_a_reference_are_exact():
    """In the precision of the array, both ways around the reference."""
    stamps = np.array([[2**62 + 7], [2**62], [-(2**62)]])
    rows = conditioning.Rows(stamps)(slice(None))
    np.testing.assert_array_equal(rows, [[0], [-7], [-(2.0**63)]])
