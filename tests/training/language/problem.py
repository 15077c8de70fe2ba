"""Seven short texts of tokens, and rows of them."""

from __future__ import annotations

import numpy as np

from robustjax.training import language
from tests.models.language import tiny


def texts(count: int = 7, seed: int = 0) -> list[language.TokenText]:
    """Of 6 or 9 tokens, the last 2 to 4 of which are the answer.

    Two lengths: programs are compiled for each.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        size, answer = int(rng.choice([6, 9])), int(rng.integers(2, 5))
        found.append(
            language.TokenText(tiny.tokens(rng, size), np.arange(size) >= size - answer)
        )
    return found


PADDED = language.padded_rows(texts(), length=10)
PACKED = language.packed_rows(texts(), length=20)


def losses(model, texts) -> np.ndarray:
    """(N,) mean loss of the answers in NumPy, of one text after the other."""
    means = []
    for text in texts:
        logits = np.asarray(
            tiny.logits(model.config, model.params, text.tokens[None])[0], np.float64
        )
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        picked = logs[np.arange(len(text.tokens) - 1), text.tokens[1:]]
        means.append(-picked[text.answers[1:]].mean())
    return np.array(means)
