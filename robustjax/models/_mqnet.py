"""MQNet's meta-model: a score that grows with purity and with informativeness.

Park et al., "Meta-Query-Net: Resolving Purity-Informativeness Dilemma in Open-set
Active Learning" (NeurIPS 2022).
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks


class MQNet(nn.Module):
    """`ReLU(W2)^T sigmoid(ReLU(W1)^T z + b1) + b2`, non-decreasing in every input.

    The ReLU is on the weights alone: biases are free and the output is linear. An
    example that is at least as good as another in every input never scores lower (the
    skyline constraint), whatever the parameters; equal scores are possible. The paper
    prints biases that are non-negative and an inequality that is strict; the first is
    not needed and the second not given.

    All parameters start uniform on [0, 1), as in the authors' code. A weight that a
    step has taken below 0 gets no gradient any more and stays there.

    Attributes:
      hidden: units of the hidden layer.
      monotone: False takes the ReLU off the weights, which is the paper's ablation
        without the skyline constraint; the start is the same.

    Raises:
      ValueError: fewer than one hidden unit.
    """

    hidden: int = 64
    monotone: bool = True

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        checks.at_least("hidden", self.hidden, 1)
        super().__post_init__()

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Scores of inputs.

        Args:
          inputs: (B, n) floats; in MQNet n = 2, purity and informativeness, both
            positive.

        Returns:
          (B,) float32.

        Raises:
          ValueError: inputs of another rank.
        """
        checks.rank("inputs", inputs, 2)
        start = nn.initializers.uniform(1.0)
        first = self.param("first_kernel", start, (inputs.shape[1], self.hidden))
        first_bias = self.param("first_bias", start, (self.hidden,))
        second = self.param("second_kernel", start, (self.hidden,))
        second_bias = self.param("second_bias", start, ())
        if self.monotone:
            first, second = nn.relu(first), nn.relu(second)
        # Scores of neighbours are close: a GPU's short products would blur them.
        with jax.default_matmul_precision("highest"):
            units = nn.sigmoid(inputs.astype(jnp.float32) @ first + first_bias[None])
            return units @ second + second_bias


class LossPredictor(nn.Module):
    """Predicts the loss of a network from its feature maps.

    Yoo and Kweon, "Learning Loss for Active Learning" (CVPR 2019): every map gives its
    mean over positions, a dense layer and a ReLU; a dense layer on all of them
    together gives one number. Train it by `losses.loss_prediction`.

    Published settings: the four stages of a ResNet-18, width 128. From 60 % of the
    training on no gradient goes from it into the network.

    Attributes:
      width: of the layer of every map.

    Raises:
      ValueError: a width below 1.
    """

    width: int = 128

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the module is first applied."""
        checks.at_least("width", self.width, 1)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        feature_maps: tuple[jax.Array, ...],
        *,
        detach: jax.Array | bool = False,
    ) -> jax.Array:
        """Predicted losses, up to their scale.

        Args:
          feature_maps: each (B, ..., c) floats, with any axes of positions or none.
          detach: whether to stop gradients into the maps; possibly traced.

        Returns:
          (B,) float32.

        Raises:
          ValueError: no maps, or one without a batch and a channel axis.
        """
        if not feature_maps:
            raise ValueError("feature_maps: got none, expected at least one")
        parts = []
        for number, one in enumerate(feature_maps):
            if one.ndim < 2:
                raise ValueError(
                    f"feature_maps[{number}]: got shape {one.shape}, expected (B, …, c)"
                )
            positions = tuple(range(1, one.ndim - 1))
            pooled = jnp.mean(one.astype(jnp.float32), axis=positions)
            pooled = jnp.where(detach, jax.lax.stop_gradient(pooled), pooled)
            parts.append(nn.relu(nn.Dense(self.width, name=f"map{number}")(pooled)))
        return nn.Dense(1, name="head")(jnp.concatenate(parts, axis=1))[:, 0]
