"""The noise adaptation layer: from clean to noisy class probabilities.

Source: Goldberger and Ben-Reuven, "Training deep neural-networks using a noise
adaptation layer" (ICLR 2017). A further softmax layer after the classifier models
`p(given = j | x) = sum_i theta_ij(x) p(true = i | x)` and is trained on the given
labels; predictions take the classifier alone. How it starts decides: from arbitrary
biases the classes may come out permuted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks

Kind = Literal["simple", "complex"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# What is added to a share before its logarithm, as in the authors' code.
_TINY = 1e-8


def confusion_bias(
    predictions: jax.Array,
    given_labels: jax.Array,
    num_classes: int,
    *,
    soft: bool = False,
    mask: jax.Array | None = None,
) -> jax.Array:
    """The layer's initial bias from a classifier that was trained without it.

    `b = log(M + 1e-8)` with M, the confusion matrix of the training set, normalised
    to rows that sum to one. The paper counts by probabilities (soft), its code by
    default by the most likely class. A class that is never predicted gets the row of
    the identity (the sources leave it undefined).

    Args:
      predictions: (N,) integer classes, or (N, K) probabilities.
      given_labels: (N,) integers in 0 … K-1.
      num_classes: K.
      soft: whether to add up probabilities rather than count arg-maxima.
      mask: (N,) bool, False on rows not to be counted, such as padding.

    Returns:
      (K, K) float32; row i is the logarithm of P(given | predicted = i).

    Raises:
      ValueError: shapes that do not match, labels out of range, predictions that are
        not finite, a mask that is not bool, or, where `soft` needs probabilities,
        classes or negative numbers.
    """
    checks.rank("predictions", predictions, (1, 2))
    checks.rank("given_labels", given_labels, 1)
    checks.same_length(predictions=predictions, given_labels=given_labels)
    given = _classes("given_labels", given_labels, num_classes)
    # Traced labels cannot be refused; those out of range are not counted.
    counted = (given >= 0) & (given < num_classes)
    if mask is not None:
        checks.same_length(predictions=predictions, mask=mask)
        checks.truth("mask", mask)
        counted = counted & mask
    weights = counted.astype(jnp.float32)
    if jnp.ndim(predictions) == 2 and jnp.shape(predictions)[1] != num_classes:
        raise ValueError(
            f"predictions: got shape {jnp.shape(predictions)}, expected (N, "
            f"{num_classes}) probabilities"
        )
    if jnp.ndim(predictions) == 2 and not checks.is_traced(predictions):
        checks.finite("predictions", predictions)
        lowest = float(jnp.min(predictions))
        if soft and lowest < 0:
            raise ValueError(
                f"predictions: got {lowest:g}, expected none below 0 where soft is "
                "True; are these logits?"
            )
    if soft:
        if jnp.ndim(predictions) != 2:
            raise ValueError(
                "predictions: got classes, expected probabilities where soft is True"
            )
        shares = jnp.asarray(predictions, jnp.float32) * weights[:, None]
        counts = jax.ops.segment_sum(shares, given, num_classes).T
    else:
        if jnp.ndim(predictions) == 2:
            predictions = jnp.argmax(predictions, axis=-1)
        predicted = _classes("predictions", predictions, num_classes)
        cells = jax.ops.segment_sum(
            weights, predicted * num_classes + given, num_classes**2
        )
        counts = cells.reshape(num_classes, num_classes)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / jnp.where(totals > 0, totals, 1.0)
    identity = jnp.eye(num_classes, dtype=jnp.float32)
    return jnp.log(jnp.where(totals > 0, shares, identity) + _TINY)


def _classes(name: str, values: jax.Array, num_classes: int) -> jax.Array:
    if not checks.is_traced(values):
        checks.labels(name, values, num_classes)
    return jnp.asarray(values, jnp.int32)


def fallback_bias(
    key: jax.Array, num_classes: int, *, noise_rate: float = 0.46
) -> jax.Array:
    """The initial bias without a classifier to start from.

    `log(1 - r)` on the diagonal, `log(r / (K - 1))` elsewhere, plus 0.01 times a
    uniform draw from [0, 1); r = 0.46 in the authors' code.

    Args:
      key: PRNG key.
      num_classes: K >= 2.
      noise_rate: r, the expected share of wrong labels, in (0, 1).

    Returns:
      (K, K) float32.

    Raises:
      ValueError: fewer than two classes, or a rate outside its range.
    """
    checks.at_least("num_classes", num_classes, 2)
    checks.in_range("noise_rate", noise_rate, 0, 1, low_open=True, high_open=True)
    shape = (num_classes, num_classes)
    rate = jnp.float32(noise_rate)
    on, off = jnp.log1p(-rate), jnp.log(rate / (num_classes - 1))
    diagonal = jnp.eye(num_classes, dtype=bool)
    return jnp.where(diagonal, on, off) + 0.01 * jax.random.uniform(key, shape)


class NoiseAdaptation(nn.Module):
    """Clean logits to logarithms of noisy probabilities.

    Simple: `theta_ij = softmax_j(b_ij)`, one matrix for all inputs. Complex:
    `theta_ij(x) = softmax_j(u_ij · h(x) + b_ij)` with h(x) the features; u starts at
    zero, which makes it the simple one.

    Parameters are `bias` (K, K), which starts as `fallback_bias` and is meant to be
    replaced by `confusion_bias` (see `replace_bias`), and for the complex layer
    `kernel` (K, d, K).

    Attributes:
      num_classes: K.
      kind: "simple" or "complex".
      noise_rate: see `fallback_bias`.

    Raises:
      ValueError: an unknown kind, or numbers out of range.
    """

    num_classes: int
    kind: Kind = "simple"
    noise_rate: float = 0.46

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the layer is first applied."""
        checks.at_least("num_classes", self.num_classes, 2)
        checks.one_of("kind", self.kind, KINDS)
        checks.in_range(
            "noise_rate", self.noise_rate, 0, 1, low_open=True, high_open=True
        )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, logits: jax.Array, features: jax.Array | None = None
    ) -> jax.Array:
        """Logarithms of the noisy probabilities.

        Args:
          logits: (B, K) of the true classes.
          features: (B, d) floats; the complex layer needs them.

        Returns:
          (B, K) float32 whose exponentials sum to one.

        Raises:
          ValueError: logits of another shape, or missing features.
        """
        if logits.ndim != 2 or logits.shape[1] != self.num_classes:
            raise ValueError(
                f"logits: got shape {logits.shape}, expected (B, {self.num_classes})"
            )
        scores = self.param(
            "bias",
            lambda key: fallback_bias(
                key, self.num_classes, noise_rate=self.noise_rate
            ),
        )[None]
        if self.kind == "complex":
            if features is None:
                raise ValueError("features: got None, expected (B, d) floats")
            kernel = self.param(
                "kernel",
                nn.initializers.zeros,
                (self.num_classes, features.shape[-1], self.num_classes),
            )
            features = features.astype(jnp.float32)
            scores = scores + jnp.einsum("bd,idj->bij", features, kernel)
        log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
        joint = log_p[:, :, None] + jax.nn.log_softmax(scores)
        return jax.nn.logsumexp(joint, axis=1)


class NoiseAdaptedClassifier(nn.Module):
    """Any network with `features`, a dense head, and a noise adaptation layer.

    In training the outputs are those of the noise adaptation layer, to be fed to a
    cross-entropy as if they were logits; in prediction they are the logits of the
    true classes. The published way to train it: first with `adapt=False`, the same
    parameters but no layer, then `replace_bias`, then with `adapt=True`.

    Attributes:
      backbone: a module with `features(inputs, train, mask) -> (B, d)`; its own head
        is not used and gets no parameters.
      num_classes: K.
      kind: see `NoiseAdaptation`.
      noise_rate: see `NoiseAdaptation`.
      adapt: whether to apply the layer in training.
    """

    backbone: nn.Module
    num_classes: int
    kind: Kind = "simple"
    noise_rate: float = 0.46
    adapt: bool = True

    def setup(self) -> None:
        """Creates the layers."""
        self.head = nn.Dense(self.num_classes)
        self.noise_adaptation = NoiseAdaptation(
            self.num_classes, self.kind, self.noise_rate
        )

    def features(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The backbone's features, (B, d) float32."""
        features = self.backbone.features(inputs, train=train, mask=mask)
        return features.astype(jnp.float32)

    def both(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """(B, K) clean logits and (B, K) logarithms of noisy probabilities.

        For a loss that mixes the cross-entropies of both.
        """
        features = self.features(inputs, train=train, mask=mask)
        logits = self.head(features)
        return logits, self.noise_adaptation(logits, features)

    def __call__(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """Noisy log-probabilities in training, clean logits else; (B, K) float32."""
        logits, noisy = self.both(inputs, train=train, mask=mask)
        return noisy if train and self.adapt else logits


def replace_bias(params: Mapping[str, Any], bias: jax.Array) -> dict[str, Any]:
    """Parameters of a `NoiseAdaptedClassifier` with a new bias of its layer.

    Args:
      params: of the classifier; also stacked ones, with the bias stacked alike.
      bias: (K, K), from `confusion_bias`.

    Raises:
      ValueError: a bias of another shape.
    """
    layer = dict(params["noise_adaptation"])
    if jnp.shape(bias) != layer["bias"].shape:
        raise ValueError(
            f"bias: got shape {jnp.shape(bias)}, expected {layer['bias'].shape}"
        )
    layer["bias"] = jnp.asarray(bias, layer["bias"].dtype)
    return {**params, "noise_adaptation": layer}
