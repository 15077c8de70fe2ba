"""Random weights under the names of published ones, spelt out on their own."""

import numpy as np

NORM = ("weight", "bias", "running_mean", "running_var")


def basic_keys(blocks=(2, 2, 2, 2), classes=5, first=64):
    """The keys and shapes of a basic network, with torchvision's names.

    `first` is the width of its first stage, 64 in what is published.
    """

    def norm(name, width):
        return {f"{name}.{part}": (width,) for part in NORM} | {
            f"{name}.num_batches_tracked": ()
        }

    shapes = {"conv1.weight": (first, 3, 7, 7), **norm("bn1", first)}
    before = first
    for stage, count in enumerate(blocks):
        width = first << stage
        for block in range(count):
            at = f"layer{stage + 1}.{block}"
            shapes[f"{at}.conv1.weight"] = (width, before, 3, 3)
            shapes |= norm(f"{at}.bn1", width)
            shapes[f"{at}.conv2.weight"] = (width, width, 3, 3)
            shapes |= norm(f"{at}.bn2", width)
            if before != width:
                shapes[f"{at}.downsample.0.weight"] = (width, before, 1, 1)
                shapes |= norm(f"{at}.downsample.1", width)
            before = width
    return shapes | {"fc.weight": (classes, 8 * first), "fc.bias": (classes,)}


def random_state(shapes, seed=0):
    """Weights under which activations neither vanish nor explode."""
    rng = np.random.default_rng(seed)
    state = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            state[key] = np.asarray(3)
        elif len(shape) > 1:
            scale = (2 / np.prod(shape[1:])) ** 0.5
            state[key] = rng.normal(0, scale, shape).astype(np.float32)
        elif key.endswith("running_var") or key.endswith("weight"):
            state[key] = rng.uniform(0.5, 1, shape).astype(np.float32)
        else:
            state[key] = rng.uniform(-0.2, 0.2, shape).astype(np.float32)
    return state
