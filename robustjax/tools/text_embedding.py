"""Embeddings of texts by the name of a flag."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from robustjax import checks, data, models
from robustjax.output_paths import check_output_folder
from robustjax.tools.options.groups import EMBEDDINGS
from robustjax.training import StopRequest, progress_bar

# Texts of a file of the cache: what a stopped run may lose.
_AT_ONCE = 256

EmbedAll = Callable[[Sequence[str], StopRequest], np.ndarray]
"""All texts (N,) to (N, d); asked to stop, between batches."""


def check_embedding(name: str, model: str | None, cache: str | None) -> None:
    """Raises `ValueError` for flags that do not fit, before any file is read."""
    checks.one_of("embedding", name, EMBEDDINGS)
    if (name == "minilm") is (model is None):
        expected = "none" if model else "a folder or wheel with the model"
        raise ValueError(
            f"embedding_model: got {model!r} with embedding={name}, expected {expected}"
        )
    if cache is not None:
        check_output_folder("cache", cache)


def embedding_of(name: str, model: str | None, cache: str | None) -> EmbedAll:
    """The embedding of that name; a model is loaded at once.

    Args:
      name: "tfidf" or "minilm".
      model: of minilm: its folder or wheel.
      cache: folder in which embeddings are kept, or None.

    Raises:
      ValueError: a path that holds no such model.
    """
    if name == "tfidf":

        def tfidf(texts: Sequence[str], stop: StopRequest) -> np.ndarray:
            del stop
            return data.embed_texts(texts, name="tfidf-256", cache=cache)

        return tfidf
    assert model is not None
    with checks.errors_name(path="embedding_model"):
        found = models.sentence_embeddings(model)

    def embed(texts: Sequence[str], stop: StopRequest) -> np.ndarray:
        with progress_bar(len(texts), "embeddings", unit="text") as bar:

            def batch(some: Sequence[str]) -> np.ndarray:
                stop.check()
                vectors = found.embed(some)
                bar.update(len(some))
                return vectors

            return data.embed_texts(
                texts, batch, name=found.name, batch_size=_AT_ONCE, cache=cache
            )

    return embed
