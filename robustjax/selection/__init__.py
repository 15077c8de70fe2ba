"""Scores and embeddings in, indices out."""

from robustjax.selection.entropy_propagation import (
    propagate_entropy as propagate_entropy,
)
from robustjax.selection.top import fast_argmax as fast_argmax
from robustjax.selection.top import top_available as top_available
