"""Two-dimensional convolution, natively or as patches and matrix products.

On CPU, XLA's own derivative of a convolution is several times slower than a matrix
product of the same size, and hundreds of times inside a loop such as an epoch's
`scan`. The second implementation runs at the speed of matrix products in both
places. Results are the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from robustjax import checks
from robustjax.models._patches import conv_by_patches
from robustjax.models._window import make_window

Implementation = Literal["native", "patches"]
IMPLEMENTATIONS: tuple[Implementation, ...] = get_args(Implementation)

Padding = str | Sequence[tuple[int, int]]


def conv2d(
    inputs: jax.Array,
    kernel: jax.Array,
    *,
    strides: Sequence[int] = (1, 1),
    padding: Padding = "SAME",
    implementation: str = "native",
) -> jax.Array:
    """Cross-correlates images with a kernel.

    Args:
      inputs: (B, H, W, C_in) floats.
      kernel: (k_h, k_w, C_in, C_out) of the same dtype.
      strides: along height and width, each >= 1.
      padding: "SAME", "VALID", or (low, high) zeros for height and width, each >= 0.
      implementation: "native" for `lax.conv_general_dilated`, or "patches" for
        derivatives made of patches and matrix products, reverse mode only, of any
        order. Between 32 channels and more, 3×3 kernels of stride 1 then take
        Winograd's products: a value that is not finite spoils up to three more outputs
        beside those that it belongs to (more in derivatives).

    Returns:
      (B, H', W', C_out) of the inputs' dtype.

    Raises:
      ValueError: an unknown implementation or padding, or shapes that do not match.
    """
    checks.one_of("implementation", implementation, IMPLEMENTATIONS)
    checks.rank("inputs", inputs, 4)
    checks.rank("kernel", kernel, 4)
    if inputs.shape[3] != kernel.shape[2]:
        raise ValueError(
            f"kernel: got {kernel.shape[2]} input channels, expected those of the "
            f"inputs, {inputs.shape[3]}"
        )
    window = make_window(inputs.shape[1:3], kernel.shape[:2], strides, padding)
    if any(max(pair) >= k for pair, k in zip(window.padding, window.kernel)):
        # Its derivative would have negative padding on one side and positive on the
        # other, for which XLA on CPU reads beyond the array.
        inputs = jnp.pad(inputs, ((0, 0), *window.padding, (0, 0)))
        window = make_window(inputs.shape[1:3], kernel.shape[:2], strides, "VALID")
    if implementation == "patches":
        return conv_by_patches(inputs, kernel, window)
    return lax.conv_general_dilated(
        inputs,
        kernel,
        window.strides,
        window.padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


class Conv(nn.Module):
    """A convolution layer with the parameters of `flax.linen.Conv`.

    Attributes:
      features: C_out.
      kernel_size: (k_h, k_w).
      strides: along height and width.
      padding: see `conv2d`.
      use_bias: whether to add a bias per output channel.
      implementation: see `conv2d`.
      kernel_init: initialiser of the kernel; by default that of `flax.linen.Conv`.
      bias_init: initialiser of the bias.
    """

    features: int
    kernel_size: Sequence[int]
    strides: Sequence[int] = (1, 1)
    padding: Padding = "SAME"
    use_bias: bool = True
    implementation: str = "native"
    kernel_init: Any = nn.initializers.lecun_normal()
    bias_init: Any = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Convolves (B, H, W, C_in) to (B, H', W', features)."""
        checks.rank("inputs", inputs, 4)
        shape = (*self.kernel_size, inputs.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        outputs = conv2d(
            inputs,
            kernel.astype(inputs.dtype),
            strides=self.strides,
            padding=self.padding,
            implementation=self.implementation,
        )
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,))
            outputs = outputs + jnp.broadcast_to(
                bias.astype(outputs.dtype), outputs.shape
            )
        return outputs


def square_conv(
    features: int,
    kernel: int,
    stride: int = 1,
    *,
    implementation: str,
    kernel_init: Any,
    name: str | None = None,
) -> Conv:
    """A `Conv` without bias that is padded by `kernel // 2` on every side.

    That is PyTorch's habit; "SAME" would put the odd zero of a strided convolution
    on one side and shift every feature map.
    """
    edge = (kernel // 2, kernel // 2)
    return Conv(
        features,
        kernel_size=(kernel, kernel),
        strides=(stride, stride),
        padding=(edge, edge),
        use_bias=False,
        implementation=implementation,
        kernel_init=kernel_init,
        name=name,
    )
