"""The static geometry of a two-dimensional convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jax import lax

from robustjax import checks


class Window(NamedTuple):
    """How a kernel moves over images; pairs are (height, width).

    Attributes:
      size: of the inputs.
      kernel: its extent.
      strides: each >= 1.
      padding: (low, high) zeros for height and width.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]

    @property
    def out(self) -> tuple[int, int]:
        """The extent of the outputs."""
        height, width = (
            (n + low + high - k) // s + 1
            for n, k, s, (low, high) in zip(
                self.size, self.kernel, self.strides, self.padding
            )
        )
        return height, width

    @property
    def taps(self) -> list[tuple[int, int]]:
        """All (row, column) offsets of the kernel, row by row."""
        return [(i, j) for i in range(self.kernel[0]) for j in range(self.kernel[1])]


def make_window(
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
) -> Window:
    """Checks and completes the geometry of a convolution.

    Args:
      size: (H, W) of the inputs.
      kernel: (k_h, k_w).
      strides: each >= 1.
      padding: "SAME", "VALID", or (low, high) for height and width, each >= 0.

    Raises:
      ValueError: values out of range, or a kernel larger than the padded inputs.
    """
    for name, pair in (("strides", strides), ("padding", padding)):
        if not isinstance(pair, str) and len(pair) != 2:
            raise ValueError(f"{name}: got {pair}, expected one entry per dimension")
    for stride in strides:
        checks.at_least("strides", stride, 1)
    if isinstance(padding, str):
        checks.one_of("padding", padding, ("SAME", "VALID"))
        padding = lax.padtype_to_pads(size, kernel, strides, padding)
    for low, high in padding:
        checks.at_least("padding", min(low, high), 0)
    window = Window(
        (size[0], size[1]),
        (kernel[0], kernel[1]),
        (strides[0], strides[1]),
        ((padding[0][0], padding[0][1]), (padding[1][0], padding[1][1])),
    )
    if min(window.out) < 1:
        raise ValueError(
            f"kernel: got extent {window.kernel}, expected at most that of the inputs "
            f"{window.size} padded by {window.padding}"
        )
    return window
