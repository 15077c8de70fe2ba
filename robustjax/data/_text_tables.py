"""Tables whose rows are texts, which an embedding makes vectors of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from robustjax.data._dataset import Dataset
from robustjax.data._table_examples import read_table_examples
from robustjax.data._text_embeddings import tfidf_embeddings


def load_text_table(
    source: Any,
    embed_column: str,
    split: str | None = None,
    *,
    embed: Callable[[Sequence[str]], np.ndarray] = tfidf_embeddings,
    label_column: str | None = None,
    id_column: str | None = None,
    skip_unlabeled: bool = False,
) -> Dataset:
    """Loads a table that says of texts what they are.

    Args:
      source: the path of a table or a data frame, see `load_table`.
      embed_column: of the texts.
      split: see `load_table`.
      embed: makes vectors (M, d) of M texts.
      label_column: see `load_table`.
      id_column: likewise.
      skip_unlabeled: leave out rows without a label, which are an error otherwise.

    Returns:
      A `Dataset` of the vectors; labels, classes and ids as by `load_table`.

    Raises:
      ValueError: a table that cannot be read, a missing or unknown column, a missing
        text or label.
      ImportError: pyarrow is not installed (extra `tools`).
    """
    found, ids, texts = read_table_examples(
        source,
        "embed_column",
        embed_column,
        split,
        label_column=label_column,
        id_column=id_column,
        skip_unlabeled=skip_unlabeled,
        names_rows=False,
    )
    return found.with_inputs(np.asarray(embed([str(text) for text in texts])), ids)
