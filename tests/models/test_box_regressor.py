"""Box regression: where predictions start, what the head sees, errors."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.models import MLP, BoxRegressor, ResNet, SmallCNN
from tests.models.variables import random_variables, shapes

# Three strides of two, so that shifts by eight pixels move its map by one.
BACKBONE = SmallCNN(
    3, ((4,), (4,), (5,)), hidden=(), downsampling="stride", pooling="average"
)


def test_signatures():
    """The trainer finds out by them whether a network takes a mask."""
    for method in ("__call__", "features", "feature_map"):
        parameters = inspect.signature(getattr(BoxRegressor, method)).parameters
        assert [*parameters] == ["self", "inputs", "train", "mask"]
        assert parameters["train"].default is False
        assert parameters["mask"].default is None


@pytest.mark.parametrize("size", [16, (16, 24)])
def test_training_starts_with_the_box_in_the_centre(size, rng):
    height, width = (size, size) if isinstance(size, int) else size
    model = BoxRegressor(BACKBONE, size, scale=3.0)
    images = rng.uniform(size=(2, height, width, 1)).astype(np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    x1, y1, x2, y2 = np.asarray(model.apply(variables, images)).T
    # Half as wide and as high as the image, as far from the left as from the right.
    np.testing.assert_allclose(x2 - x1 + 1, width / 2)
    np.testing.assert_allclose(y2 - y1 + 1, height / 2)
    np.testing.assert_allclose(x1, width - 1 - x2)
    np.testing.assert_allclose(y1, height - 1 - y2)


@pytest.mark.parametrize("flatten", [True, False])
@pytest.mark.parametrize("scale", [None, 4.0])
def test_boxes_are_linear_in_what_the_head_sees(flatten, scale, rng):
    model = BoxRegressor(BACKBONE, 24, flatten=flatten, scale=scale)
    images = rng.uniform(size=(2, 24, 24, 1)).astype(np.float32)
    variables = random_variables(model, images)

    @jax.jit
    def run(images):
        methods = ("feature_map", "features", "__call__")
        return [model.apply(variables, images, method=m) for m in methods]

    feature_map, features, boxes = jax.device_get(run(images))
    backbone = {"params": variables["params"]["backbone"]}
    want = BACKBONE.apply(backbone, images, method="feature_map")
    np.testing.assert_allclose(feature_map, want, rtol=1e-5, atol=1e-6)
    assert feature_map.shape == (2, 3, 3, 5)
    want = feature_map.reshape(2, 45)
    if not flatten:
        want = feature_map.mean(axis=(1, 2))
    np.testing.assert_allclose(features, want, rtol=1e-5, atol=1e-6)
    dense = jax.device_get(variables["params"]["head"]["dense"])
    want = features @ dense["kernel"] + dense["bias"]
    if scale is not None:
        want = np.array([6, 6, 17, 17]) + 4 * want
    np.testing.assert_allclose(boxes, want, rtol=1e-4, atol=1e-4)
    assert boxes.dtype == np.float32


def test_only_the_flattened_map_knows_the_place(rng):
    """The same patch at two places, far from the edges."""
    patch = rng.uniform(size=(4, 4)).astype(np.float32)
    images = np.zeros((2, 64, 64, 1), np.float32)
    images[0, 20:24, 20:24, 0] = patch
    images[1, 28:32, 36:40, 0] = patch
    for differs in (True, False):
        model = BoxRegressor(BACKBONE, 64, flatten=differs)
        variables = random_variables(model, images)
        one, other = np.asarray(jax.jit(model.apply)(variables, images))
        assert (np.abs(one - other).max() > 1e-2) == differs


def test_only_what_is_used_has_parameters():
    images = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
    dense = SmallCNN(3, ((4,),), hidden=(7,))
    for flatten, names, width in (
        (True, {"block0_conv0"}, 8 * 8 * 4),
        (False, {"block0_conv0", "hidden0"}, 7),
    ):
        params = shapes(BoxRegressor(dense, 16, flatten=flatten), images)["params"]
        assert params.keys() == {"backbone", "head"}
        assert params["backbone"].keys() == names
        assert params["head"]["dense"]["kernel"].shape == (width, 4)
    # The published one: ResNet-50 at 224 pixels.
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    params = shapes(BoxRegressor(ResNet(50), 224), images)["params"]
    assert params["head"]["dense"]["kernel"].shape == (100_352, 4)


def test_padding_rows_change_nothing(rng):
    model = BoxRegressor(ResNet(18, stem="small", width=2), 8)
    images = rng.uniform(size=(4, 8, 8, 1)).astype(np.float32)
    mask = np.array([1, 0, 1, 1], bool)
    variables = random_variables(model, images)

    @jax.jit
    def train(x):
        return model.apply(variables, x, train=True, mask=mask, mutable=["batch_stats"])

    def with_padding(value):
        boxes, changed = train(np.where(mask[:, None, None, None], images, value))
        return jax.device_get((boxes[mask], changed))

    first, second = with_padding(np.float32(0)), with_padding(np.float32(100))
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_errors():
    with pytest.raises(ValueError, match="backbone: got MLP, expected a model with"):
        BoxRegressor(MLP(3), 32)
    with pytest.raises(ValueError, match="image_size: got 0"):
        BoxRegressor(BACKBONE, 0)
    with pytest.raises(ValueError, match=r"image_size: got \(8, 8, 3\)"):
        BoxRegressor(BACKBONE, (8, 8, 3))
    with pytest.raises(ValueError, match="scale: got 0"):
        BoxRegressor(BACKBONE, 32, scale=0.0)
    model = BoxRegressor(BACKBONE, (16, 24))
    with pytest.raises(ValueError, match="expected images of 16 by 24 pixels"):
        shapes(model, jnp.zeros((1, 24, 16, 3)))
    with pytest.raises(ValueError, match=r"inputs: got shape \(16, 24, 3\)"):
        shapes(model, jnp.zeros((16, 24, 3)))
