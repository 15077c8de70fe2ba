"""Localisation: maps, boxes by flood fill, accuracies, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.models import SmallCNN
from robustjax.scores import _localization as localization
from robustjax.scores import (
    activation_map,
    boxes_from_maps,
    class_activation_map,
    gt_known_localization,
    max_box_accuracy,
    normalize_map,
    resize_map,
)


def flood_fill_box(values, threshold):
    """The box of the largest component, pixel by pixel, of whole numbers."""
    height, width = values.shape
    mask = values > threshold * values.max()
    seen = np.zeros_like(mask)
    largest = []
    for start in zip(*np.nonzero(mask)):
        if seen[start]:
            continue
        seen[start], stack, pixels = True, [start], []
        while stack:
            y, x = stack.pop()
            pixels.append((y, x))
            for v in range(max(y - 1, 0), min(y + 2, height)):
                for u in range(max(x - 1, 0), min(x + 2, width)):
                    if mask[v, u] and not seen[v, u]:
                        seen[v, u] = True
                        stack.append((v, u))
        if len(pixels) > len(largest):
            largest = pixels
    if not largest:
        return [0, 0, 0, 0]
    ys, xs = zip(*largest)
    return [min(xs), min(ys), max(xs), max(ys)]


def test_class_activation_map_against_loops(rng):
    feature_map = rng.normal(size=(3, 2, 4, 5)).astype(np.float32)
    kernel = rng.normal(size=(5, 6)).astype(np.float32)
    labels = np.array([5, 0, 2])
    got = class_activation_map(feature_map, kernel, labels)
    want = np.stack([m @ kernel[:, y] for m, y in zip(feature_map, labels)])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    traced = jax.jit(class_activation_map)(feature_map, kernel, labels)
    np.testing.assert_allclose(traced, got, rtol=1e-6, atol=1e-6)
    got = activation_map(jnp.asarray(feature_map, jnp.bfloat16))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, feature_map.sum(axis=-1), atol=0.05)


@pytest.mark.slow
def test_the_mean_of_a_class_activation_map_is_the_logit(rng):
    model = SmallCNN(4, ((3,), (6,)), hidden=(), pooling="average")
    images = rng.uniform(size=(2, 12, 16, 1)).astype(np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    head = {**variables["params"]["head"], "bias": np.float32([1, 2, 3, 4])}
    variables = {"params": {**variables["params"], "head": head}}
    feature_map = model.apply(variables, images, method="feature_map")
    logits = model.apply(variables, images)
    for label in range(4):
        maps = class_activation_map(feature_map, head["kernel"], np.full(2, label))
        assert maps.shape == (2, 3, 4)
        means = np.asarray(maps).mean(axis=(1, 2)) + head["bias"][label]
        np.testing.assert_allclose(means, logits[:, label], rtol=1e-5, atol=1e-5)


def cubic_weights(small, large):
    """(large, small) weights of Keys' kernel with a = -0.5, half-pixel centres."""
    places = (np.arange(large) + 0.5) * small / large - 0.5
    x = np.abs(places[:, None] - np.arange(small))
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x <= 1, near, np.where(x < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)


def test_resizing_is_bicubic(rng):
    maps = rng.normal(size=(2, 4, 5)).astype(np.float32)
    rows, columns = cubic_weights(4, 11), cubic_weights(5, 10)
    want = np.einsum("yv,bvu,xu->byx", rows, maps, columns)
    got = resize_map(maps, (11, 10))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert resize_map(maps, 8).shape == (2, 8, 8)


def test_normalized_maps_span_zero_to_one(rng):
    maps = rng.normal(size=(5, 3, 4)).astype(np.float32)
    maps[1] = 7
    maps[2, 0, 0] = np.nan
    maps[3, 0, 0] = np.inf
    got = np.asarray(jax.jit(normalize_map)(maps))
    for row in (0, 4):
        want = (maps[row] - maps[row].min()) / np.ptp(maps[row])
        np.testing.assert_allclose(got[row], want, rtol=1e-5, atol=1e-6)
        assert (got[row].min(), got[row].max()) == (0, 1)
    np.testing.assert_array_equal(got[1:4], 0)


@pytest.mark.parametrize("chunk", [1, 500, 2**20])
def test_boxes_are_those_of_a_flood_fill(chunk, rng, monkeypatch):
    """Many small components; in chunks of one map, of some, and of all."""
    monkeypatch.setattr(localization, "_CHUNK", chunk)
    maps = rng.uniform(size=(9, 7, 6)) ** 2
    # Of less than full height, all alike, and empty.
    maps[6] *= 0.4
    maps[7], maps[8] = 1, 0
    thresholds = np.array([0.5, 0.0, 0.2, 0.2001, 0.9, 1.0])
    values = (maps * 255).astype(np.uint8)
    got = boxes_from_maps(maps, thresholds)
    want = [[flood_fill_box(v, t) for v in values] for t in thresholds]
    assert got.shape == (6, 9, 4)
    np.testing.assert_array_equal(got, want)
    # A threshold of 1 leaves nothing; one of 0 everything but zeros.
    np.testing.assert_array_equal(got[-1], 0)
    np.testing.assert_array_equal(got[1, 7], [0, 0, 5, 6])


def test_components_by_hand():
    maps = np.zeros((4, 5, 6))
    # Corners touch: one component of three pixels, beside a pair.
    maps[0, [0, 1, 2], [0, 1, 2]] = maps[0, 4, 4:] = 1
    # Two of a size: the first row by row.
    maps[1, 3:, 0] = maps[1, 2:4, 5] = 1
    # Exactly at the threshold, 51 = 0.2 * 255, is not above it.
    maps[2, 1, 1:4], maps[2, 4, 4:] = 0.2, 1
    # The last row of one map touches the first of the next, but only by storage.
    maps[3, 0, 0] = 1
    got = boxes_from_maps(maps, [0.2])[0]
    want = [[0, 0, 2, 2], [5, 2, 5, 3], [4, 4, 5, 4], [0, 0, 0, 0]]
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(boxes_from_maps(maps, [0.19])[0, 2], [1, 1, 3, 1])


def test_gt_known_localization():
    targets = np.array([[0, 0, 9, 9], [0, 0, 9, 9], [3, 3, 4, 4]])
    # Half of the box (IoU exactly 0.5), a little less, the same.
    boxes = np.array([[0, 0, 9, 4], [0, 0, 9, 3], [3, 3, 4, 4]])
    assert float(gt_known_localization(boxes, targets)) == pytest.approx(2 / 3)
    assert float(gt_known_localization(boxes, targets, 0.4)) == 1
    both = np.stack([boxes, targets])
    got = gt_known_localization(both, targets, 0.6)
    np.testing.assert_allclose(got, [1 / 3, 1], rtol=1e-6)


def test_true_boxes_have_their_corners_in_order():
    """Left, top, width and height would be right nowhere."""
    sides = np.array([[0, 0, 5, 5], [10, 12, 5, 5]])
    with pytest.raises(ValueError, match=r"targets: got \[10.0, 12.0, 5.0, 5.0\] at r"):
        gt_known_localization(sides, sides)
    maps = np.ones((2, 8, 14))
    with pytest.raises(ValueError, match=r"targets: .* at row 1, expected pixels of m"):
        max_box_accuracy(maps, np.array([[0, 0, 14, 8], [0, 0, 5, 9]]), [0.2])
    # A prediction may be inverted: it is wrong.
    corners = np.array([[0, 0, 5, 5], [5, 5, 12, 12]])
    np.testing.assert_allclose(gt_known_localization(sides, corners), 0.5)


@pytest.mark.slow
def test_max_box_accuracy_of_known_maps():
    """Nested squares of different height; the threshold says which becomes the box."""
    maps = np.zeros((2, 12, 12), np.float32)
    for low, high, value in ((1, 11, 0.3), (3, 9, 0.6), (5, 7, 1.0)):
        maps[:, low:high, low:high] = value
    targets = np.array([[3, 3, 8, 8], [1, 1, 10, 10]])
    result = max_box_accuracy(maps, targets)
    assert len(result.thresholds) == len(result.accuracy) == 100
    np.testing.assert_allclose(np.diff(result.thresholds), 0.01)
    # 36 of 100 pixels are too few for the other's box; above 0.6 nothing fits.
    want = np.where(result.thresholds < 0.6, 0.5, 0)
    np.testing.assert_array_equal(result.accuracy, want)
    assert (result.best, result.best_threshold, result.fixed) == (0.5, 0, 0.5)
    # 0.36 is enough for half of an IoU of 0.7, and then both are right.
    result = max_box_accuracy(maps, targets, [0.1, 0.4], fixed=0.8, delta=0.35)
    np.testing.assert_array_equal(result.accuracy, [1, 1])
    assert result.fixed == 0
    result = max_box_accuracy(maps[:1], targets[:1], [0.1, 0.4, 0.5], fixed=0.2)
    assert (result.best, result.best_threshold, result.fixed) == (1, 0.4, 0)


@pytest.mark.slow
def test_errors():
    feature_map, kernel = np.zeros((2, 3, 3, 4)), np.zeros((4, 5))
    with pytest.raises(ValueError, match="head_kernel: got shape"):
        class_activation_map(feature_map, kernel.T, np.zeros(2, int))
    with pytest.raises(ValueError, match=r"labels: 1 label\(s\) out of range"):
        class_activation_map(feature_map, kernel, np.array([0, 5]))
    with pytest.raises(ValueError, match="labels: lengths differ"):
        class_activation_map(feature_map, kernel, np.zeros(3, int))
    with pytest.raises(ValueError, match="feature_map: got shape"):
        activation_map(feature_map[0])
    maps = np.zeros((2, 3, 3))
    with pytest.raises(ValueError, match="size: got 0"):
        resize_map(maps, (4, 0))
    with pytest.raises(ValueError, match="maps: got values outside"):
        boxes_from_maps(maps - 0.1, [0.2])
    with pytest.raises(ValueError, match="maps: got values outside"):
        boxes_from_maps(maps + np.nan, [0.2])
    with pytest.raises(ValueError, match="thresholds: got"):
        boxes_from_maps(maps, [0.2, 1.1])
    targets = np.zeros((2, 4))
    with pytest.raises(ValueError, match="delta: got 0"):
        gt_known_localization(targets, targets, 0)
    with pytest.raises(ValueError, match="targets: got shape"):
        max_box_accuracy(maps, targets[:1])
    with pytest.raises(ValueError, match="targets: got no box"):
        gt_known_localization(targets[:0], targets[:0])
    with pytest.raises(ValueError, match="thresholds: got 0"):
        max_box_accuracy(maps, targets, [])
