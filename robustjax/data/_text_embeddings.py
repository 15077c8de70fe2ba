"""Texts as vectors: a default that needs no model, and a cache for any embedding."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from robustjax import checks
from robustjax.files import atomic_file

Embed = Callable[[Sequence[str]], np.ndarray]
"""Texts to vectors (len(texts), d)."""

_FEATURES = 2**15
_POWER_ITERATIONS = 4


def tfidf_embeddings(
    texts: Sequence[str], dims: int = 256, *, seed: int = 0
) -> np.ndarray:
    """Hashed TF-IDF, brought to few dimensions by a truncated SVD (latent semantics).

    Deerwester et al., "Indexing by latent semantic analysis" (1990); words are hashed
    (Weinberger et al., 2009), so that no vocabulary is kept. What a text becomes
    depends on all texts.

    Args:
      texts: two or more.
      dims: at most; fewer where there are fewer texts.
      seed: of the randomised SVD (Halko, Martinsson, Tropp, 2011).

    Returns:
      (N, d) float32 rows of length 1; zero where a text has no word.

    Raises:
      ValueError: scikit-learn is not installed, fewer than two texts, no words.
    """
    checks.at_least("dims", dims, 1)
    checks.at_least("number of texts", len(texts), 2)
    try:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    except ImportError:
        raise ValueError(
            "texts: TF-IDF needs scikit-learn, "
            "expected `pip install robustjax[instructions]`"
        ) from None
    hashed = HashingVectorizer(n_features=_FEATURES, alternate_sign=False, norm=None)
    counts = hashed.transform(texts)
    if not counts.nnz:
        raise ValueError("texts: there is no word in any of them")
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    svd = TruncatedSVD(
        min(dims, len(texts) - 1), n_iter=_POWER_ITERATIONS, random_state=seed
    )
    # All texts equal: the shares of variance, which nobody reads, are 0 / 0.
    with np.errstate(invalid="ignore"):
        vectors = svd.fit_transform(weights)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0).astype(
        np.float32
    )


def embed_texts(
    texts: Sequence[str],
    embed: Embed = tfidf_embeddings,
    *,
    name: str | None = None,
    batch_size: int | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> np.ndarray:
    """Embeds texts batch by batch, each only once.

    Args:
      texts: N of them.
      embed: what embeds a batch.
      name: of the embedding and its settings, in the cache; "tfidf" of the default. Of
        another one it must be given if there is a cache, which tells embeddings apart
        by it alone.
      batch_size: texts at once; None for all, as an embedding such as TF-IDF needs,
        in which texts depend on each other: what parts of them become cannot be
        compared.
      cache: a folder, made if it is missing, with a file per batch, named by its
        content: the same texts are not embedded twice, and a stopped run goes on.

    Returns:
      (N, d) float32.

    Raises:
      ValueError: no texts, a cache for an embedding without a name, TF-IDF of less than
        all texts at once, or an embedding of another shape, or not finite.
    """
    if name is None:
        if cache is not None and embed is not tfidf_embeddings:
            raise ValueError(
                "name: got None with a cache, expected a name of the embedding and its "
                "settings"
            )
        name = "tfidf" if embed is tfidf_embeddings else "the embedding"
    checks.at_least("number of texts", len(texts), 1)
    size = len(texts) if batch_size is None else batch_size
    checks.at_least("batch_size", size, 1)
    if embed is tfidf_embeddings and size < len(texts):
        raise ValueError(
            f"batch_size: got {size} for {len(texts)} texts, expected None with "
            "TF-IDF, by which texts of other batches cannot be compared"
        )
    folder = None if cache is None else pathlib.Path(cache)
    parts = []
    for start in range(0, len(texts), size):
        batch = list(texts[start : start + size])
        path = None if folder is None else folder / f"{_digest(batch, name)}.npy"
        found = None if path is None else _read(path, len(batch))
        if found is None:
            found = _checked(embed(batch), len(batch), name)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_file(path) as file:
                    np.save(file, found)
        parts.append(found)
    if len({part.shape[1] for part in parts}) > 1:
        raise ValueError(
            f"embed: {name} gave vectors of different lengths, expected one length"
        )
    return np.concatenate(parts)


def _digest(batch: Sequence[str], name: str) -> str:
    hasher = hashlib.sha256(repr(name).encode())
    for text in batch:
        raw = text.encode("utf-8")
        hasher.update(f"{len(raw)};".encode())
        hasher.update(raw)
    return hasher.hexdigest()


def _read(path: pathlib.Path, size: int) -> np.ndarray | None:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    good = found.ndim == 2 and len(found) == size and found.dtype == np.float32
    return found if good and np.isfinite(found).all() else None


def _checked(vectors: np.ndarray, size: int, name: str) -> np.ndarray:
    array = np.asarray(vectors, np.float32)
    if array.ndim != 2 or len(array) != size:
        raise ValueError(
            f"embed: {name} gave shape {array.shape} for {size} texts, expected "
            f"({size}, d)"
        )
    checks.finite(f"embed: {name}", array)
    return array
