"""Which labels look wrong, ranked by a method or by a score."""

from __future__ import annotations

import numpy as np
import pytest

from robustjax import data, methods

SETTINGS = methods.ClassifierSettings(hidden=(32, 32, 32), epochs=8, batch_size=32)


@pytest.mark.slow
def test_ranking_puts_wrong_labels_first():
    whole = data.take(data.load("digits", "train"), np.arange(800))
    rng = np.random.default_rng(3)
    wrong = rng.random(len(whole)) < 0.3
    shift = rng.integers(1, 10, len(whole))
    labels = np.where(wrong, (whole.labels + shift) % 10, whole.labels)
    dataset = data.make_dataset(whole.inputs, labels, ids=whole.ids)
    settings = methods.ClassifierSettings(hidden=(64, 64, 64), epochs=10)
    ranking = methods.rank_labels(dataset, settings=settings)
    assert sorted(ranking.rows.tolist()) == list(range(len(dataset)))
    np.testing.assert_array_equal(ranking.ids, dataset.ids[ranking.rows])
    np.testing.assert_array_equal(ranking.current_labels, labels[ranking.rows])
    assert wrong[ranking.rows[:50]].mean() > 0.8
    right = ranking.suggested_labels == whole.labels[ranking.rows]
    assert right[:50].mean() > 0.5
    assert (ranking.uncertainty >= 0).all()
    assert (ranking.uncertainty <= np.log(10) + 1e-5).all()
    np.testing.assert_allclose(ranking.weight.mean(), 1, rtol=1e-4)
    # `count` only cuts the list, and the same arguments give the same list.
    short = methods.rank_labels(dataset, 40, settings=settings)
    for part, all_of_it in zip(short, ranking):
        np.testing.assert_array_equal(part, all_of_it[:40])


def test_ranking_by_a_score(noisy):
    dataset, _ = noisy
    method = methods.make_correction_method("entropy")
    ranking = methods.rank_labels(dataset, method=method, settings=SETTINGS)
    assert sorted(ranking.rows.tolist()) == list(range(300))
    assert (np.diff(ranking.uncertainty) <= 0).all()
    assert np.isnan(ranking.weight).all()
    assert ranking.ids.dtype == dataset.ids.dtype


@pytest.mark.parametrize("count", [0, 301])
def test_bad_counts_of_a_ranking(noisy, count):
    with pytest.raises(ValueError, match=f"count: got {count}, expected"):
        methods.rank_labels(noisy[0], count, settings=SETTINGS)
