"""What two features hold of an image: a decoder of both, trained on frozen ones.

After the figure of Lee, Kim, Lee, Lee, Choo, "Learning Debiased Representation via
Disentangled Feature Augmentation", NeurIPS 2021: an image made of the class features of
one image and of the bias features of another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax.models import MLP

# Nothing of it is published. Larger images are decoded at this size: a perceptron on
# them would have a hundred million weights.
_HIDDEN = (128, 256)
_RATE, _BATCH = 2e-3, 128
_STEPS = 2000
_SIDE = 32
_HELD_OUT = 0.2


class Reconstructions(NamedTuple):
    """Images with one image's class features and another one's bias features.

    Attributes:
      rows: (R, H, W, channels) images in [0, 1], whose class features are taken.
      columns: (K, H, W, channels), whose bias features are taken.
      made: (R, K, H, W, channels).
      errors: mean absolute error of held-out images decoded from "own" features, and
        with the class ("other class") or bias features ("other bias") of an image of
        another label or bias.
    """

    rows: np.ndarray
    columns: np.ndarray
    made: np.ndarray
    errors: dict[str, float]


def reconstruct(
    images: np.ndarray,
    intrinsic: np.ndarray,
    bias: np.ndarray,
    *,
    labels: np.ndarray,
    biases: np.ndarray,
    seed: int,
    most: int = 10,
) -> Reconstructions:
    """Trains a decoder on most images, and decodes pairs of features of the others.

    Take images whose bias does not follow the label: a decoder could else read the
    shape out of the colour.

    Args:
      images: (N, H, W, channels), floats of any range.
      intrinsic: (N, d) class features.
      bias: (N, d) bias features.
      labels: (N,) integers; a row of each is shown.
      biases: (N,) integers; a column of each is shown.
      seed: of which are held out, and of the training.
      most: rows and columns.
    """
    targets = _in_unit_range(_of_at_most(images, _SIDE))
    features = [_standard(each) for each in (intrinsic, bias)]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(targets))
    held, learned = np.split(order, [max(1, int(_HELD_OUT * len(order)))])
    decode = _decoder(
        *(np.concatenate([each[learned] for each in features], -1), targets[learned]),
        jax.random.key(seed),
    )

    def joined(class_of: np.ndarray, bias_of: np.ndarray) -> np.ndarray:
        return decode(np.concatenate([features[0][class_of], features[1][bias_of]], -1))

    def error(made: np.ndarray) -> float:
        return float(np.abs(made - targets[held]).mean())

    rows, columns = (_one_of_each(kinds, held, most) for kinds in (labels, biases))
    pairs = np.repeat(rows, len(columns)), np.tile(columns, len(rows))
    return Reconstructions(
        targets[rows],
        targets[columns],
        joined(*pairs).reshape(len(rows), len(columns), *targets.shape[1:]),
        {
            "own": error(joined(held, held)),
            "other class": error(joined(_other(labels, held, rng), held)),
            "other bias": error(joined(held, _other(biases, held, rng))),
        },
    )


def _decoder(
    features: np.ndarray, targets: np.ndarray, key: jax.Array
) -> Callable[[np.ndarray], np.ndarray]:
    """From features (B, D) to images, by the cross-entropy of every pixel."""
    shape = targets.shape[1:]
    network = MLP(int(np.prod(shape)), _HIDDEN)
    optimizer = optax.adam(optax.cosine_decay_schedule(_RATE, _STEPS))
    inputs, flat = jnp.asarray(features), jnp.asarray(targets.reshape(len(targets), -1))
    init_key, order_key = jax.random.split(key)

    def loss(params: Any, rows: jax.Array) -> jax.Array:
        logits = network.apply(params, inputs[rows])
        return optax.sigmoid_binary_cross_entropy(logits, flat[rows]).mean()

    def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
        params, state = carry
        rows = jax.random.randint(key, (_BATCH,), 0, len(inputs))
        slope = jax.grad(loss)(params, rows)
        updates, state = optimizer.update(slope, state, params)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def train(key: jax.Array, keys: jax.Array) -> Any:
        params = network.init(key, inputs[:1])
        carry, _ = jax.lax.scan(step, (params, optimizer.init(params)), keys)
        return carry[0]

    params = train(init_key, jax.random.split(order_key, _STEPS))

    def decode(given: np.ndarray) -> np.ndarray:
        logits = network.apply(params, jnp.asarray(given))
        made = jax.nn.sigmoid(jnp.asarray(logits)).reshape(len(given), *shape)
        return np.asarray(made)

    return decode


def _one_of_each(kinds: np.ndarray, among: np.ndarray, most: int) -> np.ndarray:
    """The first of these rows of every kind, by kind."""
    _, first = np.unique(kinds[among], return_index=True)
    return among[first[:most]]


def _other(
    kinds: np.ndarray, among: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """For each of these rows one of another kind, or itself where there is none."""
    return np.array(
        [
            rng.choice(others) if len(others) else row
            for row in among
            for others in (among[kinds[among] != kinds[row]],)
        ]
    )


def _standard(features: np.ndarray) -> np.ndarray:
    """Of mean zero and deviation one, but for what is constant."""
    deviation = features.std(axis=0)
    centred = features - features.mean(axis=0)
    return np.asarray(centred / np.where(deviation > 0, deviation, 1), np.float32)


def _in_unit_range(images: np.ndarray) -> np.ndarray:
    low, high = images.min(), images.max()
    return np.asarray((images - low) / ((high - low) or 1), np.float32)


def _of_at_most(images: np.ndarray, side: int) -> np.ndarray:
    """Images made smaller, so that no side is longer."""
    _, height, width, channels = images.shape
    longest = max(height, width)
    if longest <= side:
        return images
    small = (round(height * side / longest), round(width * side / longest))
    shape = (len(images), *(max(1, each) for each in small), channels)
    return np.asarray(jax.image.resize(images, shape, "linear"))
