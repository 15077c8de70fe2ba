"""Scores of examples from a file, such as that of `find-issues`, and their costs."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks, data
from robustjax.data._label_files import need_columns
from robustjax.files import digest_of
from robustjax.methods.label_correction._correction_baselines import ScoreMethod
from robustjax.selection._within_budget import check_costs


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


def read_order(
    path: str, dataset: data.Dataset, costs: np.ndarray | None = None
) -> ScoreMethod:
    """A method of label correction that asks by a file.

    Args:
      path: CSV with columns id and score, a row for every example; low is suspicious.
      dataset: whose examples are meant.
      costs: (N,) by which what a score lacks to 1 is divided; None for the order of
        the scores.

    Raises:
      ValueError: a file that cannot be read, lacks a column or an example, or has a
        score that is no finite number; with costs, scores outside [0, 1].
    """
    found = _read_column(path, dataset, "score", "scores")
    first = found
    if costs is not None:
        # Another scale has no zero, and with that no ratio.
        checks.in_range("scores", found.min(), 0, 1)
        checks.in_range("scores", found.max(), 0, 1)
        first = (found - 1) / (costs / costs.min())
    # Ranks: two doubles can be one float32.
    ranks = np.empty(len(found), np.float32)
    ranks[np.lexsort((found, first))] = np.arange(len(found), 0, -1)
    return ScoreMethod("scores", GivenScores(ranks))


def read_costs(path: str, dataset: data.Dataset) -> np.ndarray:
    """What the label of every example costs.

    Args:
      path: CSV with columns id and cost, a row for every example.
      dataset: whose examples are meant.

    Returns:
      (N,) float64, finite and above 0, in the order of the data set.

    Raises:
      ValueError: a file that cannot be read, lacks a column or an example, or has a
        cost that is no finite number above 0.
    """
    return check_costs(_read_column(path, dataset, "cost", "costs"))


def _read_column(
    path: str, dataset: data.Dataset, column: str, name: str
) -> np.ndarray:
    """(N,) finite numbers by id."""
    rows = data.read_csv(path, name=name)
    need_columns(rows, ("id", column), path=path, name=name)
    try:
        values = np.array([float(row[column]) for row in rows])
    except ValueError as error:
        raise ValueError(f"{name}: {path!r}: {error}") from None
    checks.finite(name, values)
    ids = np.array([row["id"] for row in rows])
    if dataset.ids.dtype.kind in "iu":
        known = {str(identity): identity for identity in dataset.ids.tolist()}
        ids = np.array([known.get(identity, -1) for identity in ids.tolist()])
    return data.join(dataset, ids, values, name=name)
