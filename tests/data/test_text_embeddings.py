"""Embeddings of texts: by TF-IDF, and any other once only."""

from __future__ import annotations

import numpy as np
import pytest

from robustjax import data

TEXTS = [
    "the cat sat on the mat",
    "a cat on a mat",
    "stock markets fell sharply",
    "markets and stock prices fell",
]


def test_tfidf_tells_topics_apart_and_has_unit_rows():
    vectors = data.tfidf_embeddings(TEXTS, 3)
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, 3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    cosine = vectors @ vectors.T
    assert cosine[0, 1] > cosine[0, 2:].max()
    assert cosine[2, 3] > cosine[2, :2].max()
    np.testing.assert_array_equal(vectors, data.tfidf_embeddings(TEXTS, 3))


def test_tfidf_against_its_definition():
    """All dimensions kept: inner products are those of the weighted counts."""
    words = sorted({word for text in TEXTS for word in text.split() if len(word) > 1})
    counts = np.array([[t.split().count(w) for w in words] for t in TEXTS], float)
    frequency = (counts > 0).sum(axis=0)
    idf = np.log((1 + len(TEXTS)) / (1 + frequency)) + 1
    weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * idf
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    left, values, _ = np.linalg.svd(weights, full_matrices=False)
    expected = (left * values)[:, :3]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = data.tfidf_embeddings(TEXTS, 3)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)


def test_texts_without_words_are_zero_or_refused():
    vectors = data.tfidf_embeddings([*TEXTS, "…"], 2)
    assert vectors[-1].tolist() == [0, 0]
    with pytest.raises(ValueError, match="no word"):
        data.tfidf_embeddings(["…", "!"], 2)
    with pytest.raises(ValueError, match="number of texts: got 1"):
        data.tfidf_embeddings(["one text"])
    equal = data.tfidf_embeddings(["one text"] * 3)
    np.testing.assert_allclose(equal @ equal.T, 1, rtol=1e-5)


def test_texts_are_embedded_batch_by_batch_and_once(tmp_path):
    asked = []

    def lengths(batch):
        if len(asked) == 1 and stop:
            raise KeyboardInterrupt
        asked.append(list(batch))
        return np.array([[len(text), 1] for text in batch], np.float64)

    stop, given = True, {"name": "len", "batch_size": 3, "cache": tmp_path / "c"}
    with pytest.raises(KeyboardInterrupt):
        data.embed_texts(TEXTS, lengths, **given)
    stop = False
    found = data.embed_texts(TEXTS, lengths, **given)
    assert found[:, 0].tolist() == [len(text) for text in TEXTS]
    assert asked == [TEXTS[:3], TEXTS[3:]]
    data.embed_texts(TEXTS, lengths, **given)
    assert len(asked) == 2
    data.embed_texts(TEXTS, lengths, **{**given, "name": "other"})
    assert len(asked) == 4

    # A file that was damaged is made anew.
    for file in (tmp_path / "c").iterdir():
        file.write_bytes(b"nothing")
    np.testing.assert_array_equal(data.embed_texts(TEXTS, lengths, **given), found)
    assert len(asked) == 6


def test_bad_embeddings_are_refused():
    with pytest.raises(ValueError, match=r"embed: x gave shape \(4,\)"):
        data.embed_texts(TEXTS, lambda batch: np.ones(len(batch)), name="x")
    with pytest.raises(ValueError, match="NaN"):
        data.embed_texts(TEXTS, lambda batch: np.full((len(batch), 2), np.nan))
    # Each batch would have axes of its own.
    with pytest.raises(ValueError, match="batch_size: got 2 for .* None with TF-IDF"):
        data.embed_texts(TEXTS, batch_size=2)
    with pytest.raises(ValueError, match="number of texts: got 0"):
        data.embed_texts([])


def test_a_cache_does_not_take_one_embedding_for_another(tmp_path):
    def lengths(batch):
        return np.array([[len(text), 1] for text in batch], np.float64)

    data.embed_texts(TEXTS, cache=tmp_path)
    with pytest.raises(
        ValueError, match="name: got None with a cache, expected a name"
    ):
        data.embed_texts(TEXTS, lengths, cache=tmp_path)
    named = data.embed_texts(TEXTS, lengths, name="lengths", cache=tmp_path)
    np.testing.assert_array_equal(named, lengths(TEXTS))
    np.testing.assert_array_equal(data.embed_texts(TEXTS, lengths), lengths(TEXTS))
