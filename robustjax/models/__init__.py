"""Linen models, with explicit variables and pure `apply`."""

from robustjax.models.mlp import MLP as MLP
