"""Heteroscedastic heads: logits with input-dependent Gaussian noise.

Source: Collier et al., "Correlated Input-Dependent Label Noise in Large-Scale Image
Classification" (CVPR 2021). With features h(x),
`u = mu(x) + V(x) e + d(x) ⊙ e'`, e ~ N(0, I_R) and e' ~ N(0, I_K), and the predicted
distribution is the mean of softmax(u / tau) over draws.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks

STREAM = "heteroscedastic"

_LEAST_SCALE = 1e-3


class LogitDistribution(NamedTuple):
    """A Gaussian over logits: mean, and covariance `V V^T + diag(d^2)`.

    Attributes:
      mean: (B, K), mu.
      factor: (B, K, R), V; R may be 0.
      scale: (B, K), d > 0.
    """

    mean: jax.Array
    factor: jax.Array
    scale: jax.Array


class Noise(NamedTuple):
    """Standard normal draws, shared by all examples of a batch.

    Attributes:
      factor: (S, R).
      classes: (S, K); one number per class, else the diagonal part of the covariance
        would have rank one.
    """

    factor: jax.Array
    classes: jax.Array


def draw_noise(key: jax.Array, num_samples: int, rank: int, num_classes: int) -> Noise:
    """S draws for R factors and K classes; see `Noise`."""
    both = jax.random.normal(key, (num_samples, rank + num_classes))
    return Noise(both[:, :rank], both[:, rank:])


def sample_logits(distribution: LogitDistribution, noise: Noise) -> jax.Array:
    """Draws of the logits, (S, B, K)."""
    mean, factor, scale = distribution
    logits = mean[None] + scale[None] * noise.classes[:, None]
    if factor.shape[-1]:
        logits = logits + jnp.einsum("bkr,sr->sbk", factor, noise.factor)
    return logits


def mean_log_probabilities(
    distribution: LogitDistribution,
    noise: Noise,
    temperature: jax.Array | float,
    *,
    chunk: int,
) -> jax.Array:
    """The logarithm of the mean over draws of softmax(u / tau), (B, K).

    Draws are taken in chunks, forwards and backwards, with a running log-sum-exp:
    (S, B, K) is never in memory, only (chunk, B, K).

    Args:
      distribution: of the logits.
      noise: S draws.
      temperature: tau > 0.
      chunk: draws at a time, >= 1; the result does not depend on it.
    """
    num_samples = noise.classes.shape[0]
    chunk = min(chunk, num_samples)
    count = -(-num_samples // chunk)
    padding = count * chunk - num_samples

    def divide(draws: jax.Array) -> jax.Array:
        padded = jnp.pad(draws, ((0, padding), (0, 0)))
        return padded.reshape(count, chunk, draws.shape[1])

    real = (jnp.arange(count * chunk) < num_samples).reshape(count, chunk)

    @jax.checkpoint
    def total(noise: Noise, real: jax.Array) -> jax.Array:
        logits = sample_logits(distribution, noise) / temperature
        log_p = jax.nn.log_softmax(logits)
        return jax.nn.logsumexp(
            log_p, axis=0, b=real.astype(log_p.dtype)[:, None, None]
        )

    def add(running: jax.Array, part: tuple[Noise, jax.Array]) -> tuple[Any, None]:
        return jnp.logaddexp(running, total(*part)), None

    parts = jax.tree.map(divide, noise), real
    # The first chunk starts the sum: from -inf on, derivatives would be NaN.
    running = total(*jax.tree.map(lambda x: x[0], parts))
    if count > 1:
        rest = jax.tree.map(lambda x: x[1:], parts)
        running, _ = jax.lax.scan(add, running, rest)
    return running - jnp.log(jnp.float32(num_samples))


class HeteroscedasticHead(nn.Module):
    """Log mean probabilities from features, for a cross-entropy as if logits.

    Layers from the features: mu is Dense(K); V is Dense(K R); d is softplus(Dense(K))
    + 0.001. Parameter-efficient: V e = v(x) ⊙ (V0 e) with v Dense(K) and V0 a K by R
    matrix, so d K + K R weights in place of d K R.

    Published settings: R = 6, tau = 1.3 and 10,000 samples for CIFAR with `minimum`
    1e-5 (Wide ResNet 28-10); R = 15, tau = 1.5 and 5,000 for ImageNet (ResNet-50).

    Draws come from the stream "heteroscedastic". Where `train` is False and
    `seed` is not None they come from that seed, so that predictions need no stream
    and are the same every time.

    Attributes:
      num_classes: K.
      rank: R; 0 leaves the diagonal, K allows any covariance.
      parameter_efficient: see above; needs a rank of at least one.
      temperature: tau > 0, to be chosen on validation data.
      temperature_range: (low, high); if given, tau is learned between them, starting
        in the middle: low + (high - low) sigmoid(a).
      num_samples: S, draws in training and in prediction.
      chunk: draws at a time; results do not depend on it, memory does.
      minimum: probabilities below it count as it, and have no gradient.
      seed: of the draws in prediction, or None to use the stream there, too.

    Raises:
      ValueError: numbers out of range.
    """

    num_classes: int
    rank: int = 6
    parameter_efficient: bool = False
    temperature: float = 1.3
    temperature_range: tuple[float, float] | None = None
    num_samples: int = 1000
    chunk: int = 500
    minimum: float = 0.0
    seed: int | None = 0

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the head is first applied."""
        checks.at_least("num_classes", self.num_classes, 2)
        checks.at_least("rank", self.rank, 1 if self.parameter_efficient else 0)
        checks.in_range("temperature", self.temperature, 0, low_open=True)
        if self.temperature_range is not None:
            low, high = self.temperature_range
            checks.in_range("temperature_range", low, 0, high, low_open=True)
        checks.at_least("num_samples", self.num_samples, 1)
        checks.at_least("chunk", self.chunk, 1)
        checks.in_range("minimum", self.minimum, 0, 1, high_open=True)
        super().__post_init__()

    def setup(self) -> None:
        """Creates the layers."""
        self.mean_layer = nn.Dense(self.num_classes)
        self.scale_layer = nn.Dense(self.num_classes)
        if self.parameter_efficient:
            self.factor_layer = nn.Dense(self.num_classes)
            self.shared_factor = self.param(
                "shared_factor",
                nn.initializers.lecun_normal(in_axis=1, out_axis=0),
                (self.num_classes, self.rank),
            )
        elif self.rank:
            self.factor_layer = nn.Dense(self.num_classes * self.rank)
        if self.temperature_range is not None:
            self.raw_temperature = self.param(
                "raw_temperature", nn.initializers.zeros, ()
            )

    def distribution(self, features: jax.Array) -> LogitDistribution:
        """The distribution of the logits of features (B, d)."""
        checks.rank("features", features, 2)
        features = features.astype(jnp.float32)
        shape = (features.shape[0], self.num_classes, self.rank)
        if self.parameter_efficient:
            factor = self.factor_layer(features)[:, :, None] * self.shared_factor[None]
        elif self.rank:
            factor = self.factor_layer(features).reshape(shape)
        else:
            factor = jnp.zeros(shape, jnp.float32)
        scale = jax.nn.softplus(self.scale_layer(features)) + _LEAST_SCALE
        return LogitDistribution(self.mean_layer(features), factor, scale)

    def current_temperature(self) -> jax.Array:
        """tau, () float32."""
        if self.temperature_range is None:
            return jnp.float32(self.temperature)
        low, high = self.temperature_range
        return low + (high - low) * jax.nn.sigmoid(self.raw_temperature)

    def __call__(self, features: jax.Array, *, train: bool = False) -> jax.Array:
        """Log mean probabilities.

        Args:
          features: (B, d) floats.
          train: whether this is training, see `seed`.

        Returns:
          (B, K) float32, <= 0; the exponentials sum to one (to more, where `minimum`
          raised some).

        Raises:
          ValueError: features of another rank.
        """
        if self.seed is None or train:
            key = self.make_rng(STREAM)
        else:
            key = jax.random.key(self.seed)
        noise = draw_noise(key, self.num_samples, self.rank, self.num_classes)
        log_p = mean_log_probabilities(
            self.distribution(features),
            noise,
            self.current_temperature(),
            chunk=self.chunk,
        )
        if not self.minimum:
            return log_p
        return jnp.maximum(log_p, jnp.log(jnp.float32(self.minimum)))


class HeteroscedasticClassifier(nn.Module):
    """Any network with `features`, and a heteroscedastic head.

    Attributes:
      backbone: a module with `features(inputs, train, mask) -> (B, d)`; its own head
        is not used and gets no parameters.
      head: a `HeteroscedasticHead`.
    """

    backbone: nn.Module
    head: HeteroscedasticHead

    def features(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The backbone's features, (B, d) float32."""
        features = self.backbone.features(inputs, train=train, mask=mask)
        return features.astype(jnp.float32)

    def __call__(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """Log mean probabilities, (B, K) float32; see `HeteroscedasticHead`."""
        return self.head(self.features(inputs, train=train, mask=mask), train=train)
