"""Initialisers of published networks."""

from __future__ import annotations

import flax.linen as nn

he_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
"""He-normal by the outgoing connections, that of torchvision's residual networks."""

torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
"""Uniform in ±1 / sqrt(fan_in), PyTorch's own for convolutions and dense layers."""
