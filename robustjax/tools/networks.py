"""From flags to a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from robustjax import checks, models
from robustjax.tools.options.groups import NetworkFlags

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

# Name -> builder from (classes, common options).
_CONVOLUTIONAL: dict[str, Callable[..., nn.Module]] = {
    "nine_layer_cnn": models.NineLayerCNN,
    # Of Colored MNIST (PGD) and of corrupted CIFAR-10 (LfF).
    "four_by_four_cnn": lambda num_classes, width=8, **options: models.FourByFourCNN(
        num_classes, (width, 4 * width, 8 * width), **options
    ),
    "cifar_resnet20": lambda num_classes, **options: models.CifarResNet(
        20, num_classes, **options
    ),
    "resnet18": lambda num_classes, **options: models.ResNet(
        18, num_classes, stem="small", **options
    ),
    "resnet18_imagenet": lambda num_classes, **options: models.ResNet(
        18, num_classes, stem="imagenet", **options
    ),
    "resnet34": lambda num_classes, **options: models.ResNet(
        34, num_classes, stem="small", **options
    ),
    "resnet50": lambda num_classes, **options: models.ResNet(
        50, num_classes, stem="imagenet", **options
    ),
    "preact_resnet18": lambda num_classes, **options: models.PreActResNet(
        18, num_classes, **options
    ),
    # The network of MixMatch.
    "wrn28_2": lambda num_classes, **options: models.WideResNet(
        28, 2, num_classes, negative_slope=0.1, norm_decay=0.999, **options
    ),
    "wrn28_10": lambda num_classes, **options: models.WideResNet(
        28, 10, num_classes, **options
    ),
}
NETWORKS = ("mlp", "small_cnn", *_CONVOLUTIONAL)


def network_of_flags(
    config: NetworkFlags,
    num_classes: int,
    *,
    inputs_rank: int,
    convolution: Any,
    **options: Any,
) -> nn.Module:
    """The network that flags name.

    Args:
      config: with the flags of the network.
      num_classes: C.
      inputs_rank: 2 for vectors, 4 for images.
      convolution: "native" or "patches".
      **options: further ones of `make_network`.

    Raises:
      ValueError: as `make_network`.
    """
    return make_network(
        config.network,
        num_classes,
        inputs_rank=inputs_rank,
        channels=config.channels,
        hidden=config.hidden,
        downsampling=config.downsampling,
        pooling=config.pooling,
        dtype=config.dtype,
        convolution=convolution,
        **options,
    )


def make_network(
    name: str,
    num_classes: int,
    *,
    inputs_rank: int,
    channels: tuple[int, ...],
    hidden: tuple[int, ...],
    downsampling: str,
    dtype: str,
    convolution: Any,
    pooling: str = "flatten",
    input_scale: float = 1.0,
    initialization: Any = "he_normal",
) -> nn.Module:
    """A network by name.

    resnet50 and resnet18_imagenet have the stem for images of 224 pixels, the others
    are for those of 32.
    wrn28_2 is that of MixMatch, whose BatchNorm averages over thousands of steps: no
    choice for a few hundred.

    Args:
      name: one of `NETWORKS`.
      num_classes: C.
      inputs_rank: 2 for vectors, 4 for images.
      channels: of small_cnn's blocks; of the others, the first is the width and none
        is the published one.
      hidden: widths of the dense layers of mlp and small_cnn.
      downsampling: of small_cnn, see `SmallCNN`.
      dtype: one of `DTYPES`; what it computes in.
      convolution: "native" or "patches".
      pooling: of small_cnn, see `SmallCNN`.
      input_scale: of mlp, see `MLP`.
      initialization: of mlp, see `MLP`.

    Raises:
      ValueError: an unknown name, or a network that does not fit the inputs.
    """
    checks.one_of("network", name, NETWORKS)
    checks.one_of("dtype", dtype, DTYPES)
    for width in (*channels, *hidden):
        checks.at_least("channels and hidden", width, 1)
    options: dict[str, Any] = {"dtype": DTYPES[dtype]}
    if name == "mlp":
        return models.MLP(
            num_classes,
            hidden,
            input_scale=input_scale,
            initialization=initialization,
            **options,
        )
    if inputs_rank != 4:
        raise ValueError(f"network: {name!r} needs images, got vectors; use mlp")
    options["convolution"] = convolution
    if name == "small_cnn":
        blocks = tuple((width,) for width in channels) or ((32, 64),)
        return models.SmallCNN(
            num_classes,
            blocks,
            hidden,
            downsampling=downsampling,
            pooling=pooling,
            **options,
        )
    if channels:
        options["width"] = channels[0]
    return _CONVOLUTIONAL[name](num_classes, **options)
