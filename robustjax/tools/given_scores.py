"""Questions in the order of scores from a file, such as that of `find-issues`."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks, data
from robustjax.data._label_files import need_columns
from robustjax.files import digest_of
from robustjax.methods.label_correction._correction_baselines import ScoreMethod


@dataclasses.dataclass(frozen=True, eq=False)
class GivenScores:
    """What to ask first, whatever the classifier says.

    Attributes:
      values: (N,) the highest first.
    """

    values: np.ndarray

    def __repr__(self) -> str:
        # The same for the same file, in every process.
        return f"GivenScores({digest_of(self.values)})"

    def __call__(
        self, logits: jax.Array, labels: jax.Array, key: jax.Array
    ) -> jax.Array:
        """The values."""
        del logits, labels, key
        return jnp.asarray(self.values)


def read_order(path: str, dataset: data.Dataset) -> ScoreMethod:
    """A method of label correction that asks by a file.

    Args:
      path: CSV with columns id and score, a row for every example; low is suspicious.
      dataset: whose examples are meant.

    Raises:
      ValueError: a file that cannot be read, lacks a column or an example, or has a
        score that is no finite number.
    """
    rows = data.read_csv(path, name="scores")
    need_columns(rows, ("id", "score"), path=path, name="scores")
    try:
        scores = np.array([float(row["score"]) for row in rows])
    except ValueError as error:
        raise ValueError(f"scores: {path!r}: {error}") from None
    checks.finite("scores", scores)
    ids = np.array([row["id"] for row in rows])
    if dataset.ids.dtype.kind in "iu":
        known = {str(identity): identity for identity in dataset.ids.tolist()}
        ids = np.array([known.get(identity, -1) for identity in ids.tolist()])
    found = data.join(dataset, ids, scores, name="scores")
    # Ranks: two doubles can be one float32.
    ranks = np.empty(len(found), np.float32)
    ranks[np.argsort(found, kind="stable")] = np.arange(len(found), 0, -1)
    return ScoreMethod("scores", GivenScores(ranks))
