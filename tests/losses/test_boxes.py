"""Box losses against loops in plain Python, and on degenerate boxes."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import losses

LOSSES = {
    "smooth_l1": losses.smooth_l1,
    "l1_iou": losses.l1_iou,
    "d_iou": losses.d_iou,
}
TARGET = (10.0, 12.0, 29.0, 25.0)
INVERTED = {
    "in x": (25.0, 12.0, 14.0, 25.0),
    "in y": (10.0, 20.0, 29.0, 15.0),
    "in both, by half a pixel": (20.0, 20.0, 19.5, 19.5),
    "swapped corners": (29.0, 25.0, 10.0, 12.0),
    "far away": (200.0, 300.0, 100.0, 250.0),
}


def smooth_l1(box, target):
    total = 0.0
    for a, b in zip(box, target):
        u = abs(a - b)
        total += 0.5 * u * u if u < 1 else u - 0.5
    return total / 4


def iou(box, target):
    (x1, y1, x2, y2), (X1, Y1, X2, Y2) = box, target
    shared = max(0.0, min(x2, X2) - max(x1, X1) + 1)
    shared *= max(0.0, min(y2, Y2) - max(y1, Y1) + 1)
    areas = (x2 - x1 + 1) * (y2 - y1 + 1) + (X2 - X1 + 1) * (Y2 - Y1 + 1)
    return shared / (areas - shared)


def distance_share(box, target):
    (x1, y1, x2, y2), (X1, Y1, X2, Y2) = box, target
    rho = math.dist(
        ((x1 + x2) / 2, (y1 + y2) / 2),
        ((X1 + X2) / 2, (Y1 + Y2) / 2),
    )
    low = min(x1, X1), min(y1, Y1)
    high = max(x2, X2), max(y2, Y2)
    return rho**2 / math.dist(low, high) ** 2


@pytest.fixture
def pairs(rng):
    """Overlapping, distant and nested boxes with corners between the pixels."""
    corners = rng.uniform(0, 12, (2, 40, 2))
    boxes, targets = np.concatenate(
        [corners, corners + rng.uniform(0, 10, (2, 40, 2))], axis=2
    ).astype(np.float32)
    boxes[0, :2], boxes[0, 2:] = targets[0, :2] + 0.2, targets[0, 2:] - 0.2
    return boxes, targets


def each(function, pairs):
    boxes, targets = (array.astype(np.float64) for array in pairs)
    return np.array([function(box, target) for box, target in zip(boxes, targets)])


def test_losses_equal_loops(pairs):
    l1, overlap = each(smooth_l1, pairs), each(iou, pairs)
    shift = each(distance_share, pairs)
    assert 0 < np.count_nonzero(overlap) < len(overlap)
    np.testing.assert_allclose(losses.smooth_l1(*pairs), l1, rtol=1e-5)
    np.testing.assert_allclose(losses.box_iou(*pairs), overlap, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        losses.l1_iou(*pairs), l1 + 0.4 * (1 - overlap), rtol=1e-5
    )
    np.testing.assert_allclose(
        losses.d_iou(*pairs), l1 + 0.4 * (1 - overlap) + 0.4 * shift, rtol=1e-5
    )
    got = losses.d_iou(*pairs, iou_weight=2.0, distance_weight=3.0)
    np.testing.assert_allclose(got, l1 + 2 * (1 - overlap) + 3 * shift, rtol=1e-5)
    got = losses.l1_iou(*pairs, iou_weight=0.0)
    np.testing.assert_allclose(got, l1, rtol=1e-5)


def test_every_example_has_its_own_diagonal(pairs):
    """A far box elsewhere in the batch changes nothing."""
    boxes, targets = (array.copy() for array in pairs)
    before = losses.d_iou(boxes, targets)
    boxes[1] += 500
    after = losses.d_iou(boxes, targets)
    np.testing.assert_array_equal(np.delete(after, 1), np.delete(before, 1))
    assert after[1] > before[1]


def test_corners_are_inclusive():
    one_pixel = jnp.array([[3, 4, 3, 4], [3, 4, 3, 4]])
    others = jnp.array([[3, 4, 4, 4], [4, 4, 4, 4]])
    np.testing.assert_allclose(losses.box_iou(one_pixel, others), [0.5, 0])


@pytest.mark.parametrize("box", [TARGET, (7.0, 7.0, 7.0, 7.0)])
@pytest.mark.parametrize("name", LOSSES)
def test_identical_boxes_have_loss_zero(name, box):
    box = jnp.array(box)
    value, gradient = jax.value_and_grad(LOSSES[name])(box, box)
    assert value == 0
    assert jnp.isfinite(gradient).all()
    assert losses.box_iou(box, box) == 1


def test_gradients_near_a_shared_pixel_stay_finite():
    pixel = jnp.zeros(4)
    for scale in (1e-3, 1e-8, 1e-20, 1e-38):
        near = scale * jnp.array([1.0, -1.0, 1.0, 2.0])
        value, gradient = jax.value_and_grad(losses.d_iou)(near, pixel)
        assert jnp.isfinite(value)
        assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("box", INVERTED.values(), ids=INVERTED)
def test_inverted_predictions_overlap_nothing_and_are_pulled_back(box):
    box, target = jnp.array(box), jnp.array(TARGET)
    overlap = losses.box_iou(box, target)
    l1 = losses.smooth_l1(box, target)
    extra = losses.d_iou(box, target, iou_weight=0.0) - l1
    if box[2] + 1 <= box[0] or box[3] + 1 <= box[1]:
        assert overlap == 0
    assert 0 <= overlap < 0.01
    assert -1e-5 <= extra <= 0.4
    for loss in LOSSES.values():
        value, gradient = jax.value_and_grad(loss)(box, target)
        assert jnp.isfinite(value)
        assert jnp.isfinite(gradient).all()
        # Every coordinate that is a pixel or more off moves towards its target.
        off = box - target
        downhill = jnp.sign(gradient) == jnp.sign(off)
        assert jnp.all(downhill | (jnp.abs(off) < 1))


@pytest.mark.parametrize("name", LOSSES)
def test_descent_turns_inverted_boxes_around(name):
    start = jnp.array(list(INVERTED.values())[:4])
    target = jnp.tile(jnp.array(TARGET), (4, 1))
    gradient = jax.grad(lambda boxes: LOSSES[name](boxes, target).sum())

    @jax.jit
    def descend(boxes):
        return jax.lax.fori_loop(0, 300, lambda _, b: b - 0.4 * gradient(b), boxes)

    assert jnp.all(losses.box_iou(start, target) < 0.01)
    assert jnp.all(losses.box_iou(descend(start), target) > 0.95)


def test_two_inverted_boxes_have_an_iou():
    box = jnp.array(INVERTED["in both, by half a pixel"]) - jnp.array([0.0, 0, 9, 9])
    assert losses.box_iou(box, box) == 0
    for loss in LOSSES.values():
        assert jnp.isfinite(jax.grad(loss)(box, box)).all()


def test_half_precision_and_integers_are_taken_as_float32(pairs):
    boxes, targets = (jnp.round(array) for array in pairs)
    want = losses.d_iou(boxes, targets)
    got = losses.d_iou(boxes.astype(jnp.bfloat16), targets.astype(jnp.int32))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("function", [*LOSSES.values(), losses.box_iou])
def test_bad_shapes(function):
    with pytest.raises(ValueError, match=r"boxes: got shape \(2, 3\)"):
        function(jnp.ones((2, 3)), jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"targets: got shape \(1, 4\), expected"):
        function(jnp.ones((2, 4)), jnp.ones((1, 4)))


def test_negative_weights():
    boxes = jnp.ones((2, 4))
    with pytest.raises(ValueError, match="iou_weight: got -1"):
        losses.l1_iou(boxes, boxes, iou_weight=-1)
    with pytest.raises(ValueError, match="iou_weight: got -1"):
        losses.d_iou(boxes, boxes, iou_weight=-1)
    with pytest.raises(ValueError, match="distance_weight: got -0.1"):
        losses.d_iou(boxes, boxes, distance_weight=-0.1)


def test_check_boxes_passes_boxes_that_touch_the_border():
    boxes = np.array([[0, 0, 31, 23], [5, 5, 5, 5]], np.uint8)
    got = losses.check_boxes("box", boxes, height=24, width=32)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, boxes)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((9, 2, 8, 3), r"first: row 2, \[9.0, 2.0, 8.0, 3.0\]: x2 < x1\)"),
        ((2, 9, 3, 8), r"first: row 2, .*: y2 < y1\)"),
        ((-1, 0, 3, 8), r"first: row 2, .*: outside the image\)"),
        ((0, -0.5, 3, 8), "outside the image"),
        ((0, 0, 32, 8), "outside the image"),
        ((0, 0, 31, 24), "expected .* x2 <= 31 and 0 <= y1 <= y2 <= 23"),
        ((9, 40, 8, 41), r"x2 < x1, outside the image\)"),
        ((0, 0, np.nan, 8), "NaN or infinity .first: row 2"),
    ],
)
def test_check_boxes_names_the_first_bad_row(bad, message):
    boxes = np.array([(0, 0, 3, 3), (1, 1, 2, 2), bad, bad])
    with pytest.raises(ValueError, match=f"^box: .*{message}"):
        losses.check_boxes("box", boxes, height=24, width=32)


def test_check_boxes_wants_four_numbers():
    check = functools.partial(losses.check_boxes, "box", height=8, width=8)
    with pytest.raises(ValueError, match=r"box: got shape \(4,\)"):
        check(np.ones(4))
    with pytest.raises(ValueError, match="box: got bool, expected numbers"):
        check(np.ones((2, 4), bool))
