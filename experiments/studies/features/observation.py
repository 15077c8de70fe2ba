"""Looks at a trained network's features and outputs, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from robustjax.training import Preprocess

Found = dict[str, jax.Array]
Look = Callable[[Any, Found, jax.Array], Found]
"""`(params, found, labels) -> {name: (B, ...)}`; see `Observer`."""

CHUNK = 500


class Measurement:
    """What a task measures of one repeat's network."""

    def __call__(self, params: Any, model_state: Any) -> dict[str, float]:
        """Measures by name, all defined."""
        raise NotImplementedError

    def at_end(self, params: Any, model_state: Any) -> dict[str, float]:
        """What is measured after the last epoch alone."""
        del params, model_state
        return {}

    def decided(
        self, params: Any, model_state: Any, images: np.ndarray, labels: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What the network says of training examples: name -> (N,).

        Args:
          params: of one repeat.
          model_state: of one repeat.
          images: (N, H, W, C), of the size of test images or larger.
          labels: (N,) integers.
        """
        del params, model_state, images, labels
        return {}

    def activations(self, params: Any, model_state: Any) -> bytes:
        """An `.npz` file of what a picture shows; empty where there is none."""
        del params, model_state
        return b""


class Observer:
    """A network in prediction mode, of one repeat, over any number of images.

    The host goes over chunks of one size, so that feature maps of a whole test set
    never exist at once, and no convolution sits in a compiled loop.
    """

    def __init__(self, model: nn.Module, preprocess: Preprocess, look: Look):
        """Prepares (but does not yet compile) the program.

        Args:
          model: with `features` and `head`, and maybe `feature_map` and `pool`.
          preprocess: applied to images.
          look: what is kept, from {"features" (B, d), "outputs" (B, ...), maybe
            "feature_map" (B, h, w, c)}.
        """
        has_map = callable(getattr(type(model), "feature_map", None))

        def parts(module: Any, inputs: jax.Array) -> Found:
            found = {}
            if has_map:
                found["feature_map"] = module.feature_map(inputs)
                found["features"] = module.pool(found["feature_map"])
            else:
                found["features"] = module.features(inputs)
            return {**found, "outputs": module.head(found["features"])}

        def one(
            params: Any, model_state: Any, inputs: jax.Array, labels: jax.Array
        ) -> Found:
            variables = {"params": params, **model_state}
            found: Any = model.apply(variables, preprocess(inputs), method=parts)
            return look(params, found, labels)

        self._one = jax.jit(one)

    def __call__(
        self,
        params: Any,
        model_state: Any,
        inputs: np.ndarray,
        labels: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """What `look` keeps of all images, on the host.

        Args:
          params: of one repeat.
          model_state: of one repeat.
          inputs: (M, H, W, C).
          labels: (M,) integers; by default zeros.
        """
        count = len(inputs)
        size = min(CHUNK, count)
        if labels is None:
            labels = np.zeros(count, np.int32)
        chunks = []
        for first in range(0, count, size):
            # The last chunk is filled up, so that nothing is compiled for its size.
            rows = np.minimum(np.arange(first, first + size), count - 1)
            found = self._one(
                params,
                model_state,
                jnp.asarray(inputs[rows]),
                jnp.asarray(labels[rows]),
            )
            kept = min(size, count - first)
            chunks.append({name: np.asarray(x)[:kept] for name, x in found.items()})
        return {
            name: np.concatenate([chunk[name] for chunk in chunks])
            for name in chunks[0]
        }


def squares(found: Found) -> jax.Array:
    """(B,) squared Euclidean norms of features."""
    return jnp.sum(found["features"] ** 2, axis=-1)


def norm_measures(
    test_squares: np.ndarray, ood_squares: np.ndarray
) -> dict[str, float]:
    """Mean norms of features, of test and of held-out OOD images.

    Args:
      test_squares: see `squares`.
      ood_squares: the same.
    """
    return {
        "test_norm": float(np.sqrt(test_squares).mean()),
        "heldout_ood_norm": float(np.sqrt(ood_squares).mean()),
        "heldout_ood_square": float(ood_squares.mean()),
    }
