"""The head of box regression hands its loss the boxes; padding is inert."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax.transforms import box_head

SPEC = rj.ExampleSpec(num_examples=3, num_classes=2)
BOXES = jnp.array([[1.0, 2, 9, 8], [4, 4, 2, 6], [0, 0, 3, 3]])
TARGETS = jnp.array([[2.0, 2, 8, 9], [1, 4, 5, 6], [0, 0, 3, 3]])
BATCH = {"index": jnp.arange(3), "label": jnp.zeros(3, jnp.int32), "box": TARGETS}
CASES = {
    "l1": (box_head(), rj.losses.smooth_l1(BOXES, TARGETS)),
    "l1_iou": (box_head("l1_iou"), rj.losses.l1_iou(BOXES, TARGETS)),
    "l1_iou(weight)": (
        box_head("l1_iou", iou_weight=2.0),
        rj.losses.l1_iou(BOXES, TARGETS, iou_weight=2.0),
    ),
    "d_iou": (box_head("d_iou"), rj.losses.d_iou(BOXES, TARGETS)),
    "d_iou(weights)": (
        box_head("d_iou", iou_weight=2.0, distance_weight=3.0),
        rj.losses.d_iou(BOXES, TARGETS, iou_weight=2.0, distance_weight=3.0),
    ),
}


def values(tx, boxes, batch=BATCH):
    terms, _ = tx.update(rj.start(batch), tx.init(SPEC), batch, boxes=boxes)
    return terms


@pytest.mark.parametrize("case", CASES)
def test_values_are_those_of_the_loss(case):
    tx, want = CASES[case]
    np.testing.assert_allclose(values(tx, BOXES).value, want, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["l1", "l1_iou", "d_iou"])
def test_padding_is_inert(loss):
    mask = jnp.array([True, True, False])
    batch = BATCH | {"mask": mask, "box": TARGETS.at[2].set(jnp.nan)}

    def total(boxes, batch):
        return rj.reduce(values(box_head(loss), boxes, batch))

    real = {name: array[:2] for name, array in BATCH.items()}
    spoilt = BOXES.at[2].set(jnp.nan)
    got, gradient = jax.value_and_grad(total)(spoilt, batch)
    want, real_gradient = jax.value_and_grad(total)(BOXES[:2], real)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_allclose(gradient[:2], real_gradient, rtol=1e-6)
    assert not gradient[2].any()


@pytest.mark.slow
def test_bad_arguments():
    with pytest.raises(ValueError, match="loss: unknown 'iou'"):
        box_head("iou")
    with pytest.raises(ValueError, match="iou_weight: got -1"):
        box_head("l1_iou", iou_weight=-1)
    with pytest.raises(ValueError, match="distance_weight: got -1"):
        box_head("d_iou", distance_weight=-1)
    with pytest.raises(ValueError, match="iou_weight: got 2.0 with loss='l1', expec"):
        box_head(iou_weight=2.0)
    with pytest.raises(ValueError, match="distance_weight: got 2.0 with loss='l1_iou'"):
        box_head("l1_iou", distance_weight=2.0)
    tx = box_head()
    with pytest.raises(TypeError, match="box_head: needs the argument 'boxes'"):
        tx.update(rj.start(BATCH), tx.init(SPEC), BATCH, logits=BOXES)
    unboxed = {name: BATCH[name] for name in ("index", "label")}
    with pytest.raises(TypeError, match="batch: got index, label, expected .* 'box'"):
        values(tx, BOXES, unboxed)
    with pytest.raises(ValueError, match=r"boxes: got shape \(3, 3\), expected \(3, 4"):
        values(tx, BOXES[:, :3])
    with pytest.raises(ValueError, match=r"batch\['box'\]: got shape \(2, 4\)"):
        values(tx, BOXES, BATCH | {"box": TARGETS[:2]})
