"""What stands beside an example on its page."""

import types

import numpy as np
import pytest

from robustjax import data
from robustjax.pages._neighbors import nearest_labeled
from robustjax.tools import pages
from robustjax.tools.options.find_issues import FindIssuesConfig


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_the_nearest_are_so_far_from_the_origin_too(offset):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 3))
    labeled = np.arange(40) % 3 > 0
    rows = np.arange(0, 40, 5)
    found, distances = nearest_labeled(points + offset, rows, labeled, 4)
    apart = np.linalg.norm(points[rows][:, None] - points[None], axis=-1)
    apart[:, ~labeled] = np.inf
    apart[np.arange(len(rows)), rows] = np.inf
    np.testing.assert_array_equal(found, np.argsort(apart, axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(apart, axis=1)[:, :4], atol=1e-6)


def test_a_page_of_the_first_suspects_says_of_how_many(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(pages, "_MOST_CARDS", 3)
    shown = types.SimpleNamespace(
        write_page=lambda path, batch: titles.append((batch.title, len(batch.cards))),
        issues_batch=pages.pages.issues_batch,
        dataset_media=pages.pages.dataset_media,
    )
    monkeypatch.setattr(pages, "pages", shown)
    dataset = data.make_dataset(np.eye(6, dtype=np.float32), np.arange(6) % 2)
    config = FindIssuesConfig(out=str(tmp_path / "found.csv"), audit=0)
    for count in (5, 2):
        issues = np.arange(6) < count
        pages.write_issues(config, dataset, np.arange(6) / 6, issues, dataset.labels)
    assert titles == [
        ("found: the first 3 of 5 labels that are likely wrong", 3),
        ("found: 2 labels that are likely wrong", 2),
    ]
