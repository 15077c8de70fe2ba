"""Batches from what the commands have: questions of a round, and ranked labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robustjax import answers, checks, data
from robustjax.pages._batch import Batch, Card, Neighbor
from robustjax.pages._media import Media
from robustjax.pages._neighbors import nearest_labeled


def questions_batch(
    asked: answers.Asked,
    dataset: data.Dataset,
    labels: np.ndarray,
    media: Media,
    *,
    title: str,
    neighbors: int = 4,
) -> Batch:
    """The questions of an exchange's round.

    Args:
      asked: see `LabelExchange.waiting`.
      dataset: its inputs say what is near.
      labels: (N,) labels by now, those outside 0 … C-1 for none: as the exchanges'.
      media: see `dataset_media`.
      title: of the page.
      neighbors: labelled examples to show beside each; 0 for none.

    Raises:
      ValueError: lengths that differ, or neighbours below 0.
    """
    row_of = {identity: row for row, identity in enumerate(dataset.ids.tolist())}
    rows = np.array([row_of[question.id] for question in asked.questions], np.int64)
    near = _neighbors(dataset, rows, labels, media, neighbors)
    cards = []
    for question, row, around in zip(asked.questions, rows.tolist(), near):
        text, picture = media(row)
        score = float(question.score) if question.score else None
        cards.append(
            Card(
                question.id,
                question.current,
                question.suggested,
                score,
                text,
                picture,
                around,
            )
        )
    return Batch(title, dataset.class_names, cards, score_name="uncertainty")


def issues_batch(
    dataset: data.Dataset,
    rows: np.ndarray,
    suggested: np.ndarray,
    scores: np.ndarray,
    media: Media,
    *,
    title: str,
    labels: np.ndarray | None = None,
    drawn: np.ndarray | None = None,
    neighbors: int = 4,
) -> Batch:
    """Labels that are suspected to be wrong.

    Args:
      dataset: whose labels are in question.
      rows: (Q,) of the suspects, the least trusted first.
      suggested: (N,) labels that are suggested instead.
      scores: (N,) label quality, low where a label is suspicious.
      media: see `dataset_media`.
      title: of the page.
      labels: (N,) by now; by default the data set's.
      drawn: (D,) other rows, drawn at random, to estimate how many wrong labels are not
        among the suspects; by default none.
      neighbors: labelled examples to show beside each; 0 for none.

    Raises:
      ValueError: lengths that differ, rows that are listed twice, or neighbours below
        0.
    """
    labels = dataset.labels if labels is None else np.asarray(labels)
    checks.same_length(
        labels=labels, suggested=suggested, scores=scores, ids=dataset.ids
    )
    extra = np.zeros(0, np.int64) if drawn is None else np.asarray(drawn, np.int64)
    listed, is_drawn = _mixed(np.asarray(rows, np.int64), extra)
    near = _neighbors(dataset, listed, labels, media, neighbors)
    names = dataset.class_names
    cards = []
    for row, around, chance in zip(listed.tolist(), near, is_drawn.tolist()):
        text, picture = media(row)
        cards.append(
            Card(
                dataset.ids[row].item(),
                names[labels[row]],
                names[suggested[row]],
                float(scores[row]),
                text,
                picture,
                around,
                drawn=chance,
            )
        )
    return Batch(
        title,
        names,
        cards,
        score_name="label quality",
        ranked=True,
        others=len(dataset) - len(listed),
    )


def _mixed(rows: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Suspects in their order, what was drawn spread evenly among them."""
    places = np.concatenate(
        [
            np.arange(len(rows)),
            (np.arange(len(drawn)) + 0.5) * len(rows) / max(1, len(drawn)),
        ]
    )
    order = np.argsort(places, kind="stable")
    is_drawn = np.arange(len(places)) >= len(rows)
    return np.concatenate([rows, drawn])[order], is_drawn[order]


def _neighbors(
    dataset: data.Dataset,
    rows: np.ndarray,
    labels: np.ndarray,
    media: Media,
    count: int,
) -> Sequence[tuple[Neighbor, ...]]:
    checks.at_least("neighbors", count, 0)
    if not count:
        return [()] * len(rows)
    labels = np.asarray(labels)
    labeled = (labels >= 0) & (labels < dataset.num_classes)
    found, distances = nearest_labeled(dataset.inputs, rows, labeled, count)
    near = []
    for some, far in zip(found.tolist(), distances.tolist()):
        around = []
        for row, distance in zip(some, far):
            name = dataset.class_names[labels[row]]
            identity = dataset.ids[row].item()
            around.append(Neighbor(identity, name, distance, *media(row)))
        near.append(tuple(around))
    return near
