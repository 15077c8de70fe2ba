"""The layout that residual networks share: stages of blocks that halve and widen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import flax.linen as nn


def residual_stages(
    make_block: Callable[..., nn.Module], counts: Sequence[int], width: int
) -> list[nn.Module]:
    """The blocks of all stages, in order; to be called in a module's `setup`.

    Every stage but the first halves the image in its first block and has twice the
    channels of the one before.

    Args:
      make_block: `(*, channels, stride, name) -> block`.
      counts: blocks per stage.
      width: channels of the first stage.
    """
    return [
        make_block(
            channels=width * 2**stage,
            stride=2 if stage > 0 and block == 0 else 1,
            name=f"stage{stage + 1}_block{block + 1}",
        )
        for stage, count in enumerate(counts)
        for block in range(count)
    ]
