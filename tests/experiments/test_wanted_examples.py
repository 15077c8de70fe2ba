"""Pools of which a fifth is wanted, and what is counted of them."""

from __future__ import annotations

import csv
from collections import Counter

import numpy as np
import pytest

from experiments import wanted_examples
from robustjax import data


@pytest.mark.parametrize("images", [False, True])
def test_a_fifth_of_a_pool_is_wanted(tmp_path, monkeypatch, images):
    labels = np.arange(300) % 10
    values = np.zeros((300, 8, 8, 1), np.uint8) + labels[:, None, None, None] * 20
    inputs = values.astype(np.uint8) if images else values.reshape(300, -1)[:, :5]
    whole = data.make_dataset(inputs, labels)
    monkeypatch.setattr(wanted_examples, "load", lambda *_, **__: whole)
    path, truth = wanted_examples.make_pool("x", 3, 100, tmp_path)
    assert Counter(truth.values()) == {"first": 10, "second": 10, "ood": 80}
    if images:
        pool = data.load_unlabeled_images(path)
    else:
        with np.load(path) as file:
            pool = data.make_dataset(
                file["inputs"], np.zeros(100, int), ids=file["ids"]
            )
    # A class has one value, which no other of the pool has.
    first = pool.inputs.reshape(100, -1)[:, 0]
    value = {str(i): int(v) for i, v in zip(pool.ids.tolist(), first.tolist())}
    kinds = {
        text: {value[i] for i, t in truth.items() if t == text}
        for text in truth.values()
    }
    assert len(kinds["first"]) == len(kinds["second"]) == 1
    assert len(kinds["ood"]) == 8
    assert not (kinds["first"] | kinds["second"]) & kinds["ood"]


def test_what_is_wanted_is_counted(tmp_path):
    (tmp_path / "to_label.csv").write_text("id,new_label\na,\nb,\nc,\n")
    truth = {"a": "first", "b": "ood", "c": "second"}
    assert wanted_examples.answered(tmp_path, truth) == (3, 2)
    with open(tmp_path / "labeled.csv", newline="") as file:
        assert {r["id"]: r["new_label"] for r in csv.DictReader(file)} == truth
