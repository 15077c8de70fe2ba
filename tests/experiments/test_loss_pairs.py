"""The study of pairs: every chain builds, trains and is reported with its repeats."""

from __future__ import annotations

import csv
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from experiments.studies.label_noise import pairs
from robustjax import data, losses


def test_every_pair_is_a_chain():
    transition = jnp.full((10, 10), 0.05) + 0.5 * jnp.eye(10)
    for head, partner in itertools.product(pairs.HEADS, pairs.PARTNERS):
        tx = pairs.make_chain(head, partner, transition)
        assert rj.Stage.HEAD in tx.stages
        assert len(tx.stages) == 1 + (head == "smoothed_ce") + (partner != "none")


def test_a_pair_is_trained_and_measured():
    train = data.take(data.load("digits", "train"), np.arange(300))
    given = np.stack([train.labels, (train.labels + 1) % 10])
    found = pairs.train_pair(
        rj.ce(),
        optax.adam(1e-2),
        train,
        train,
        given,
        epochs=15,
        key=jax.random.key(0),
    )
    right, shifted = found
    assert right.accuracy > 0.9
    assert right.classes == 10
    # No label of the first repeat is wrong, and every one of the second.
    assert np.isnan(right.memorised)
    assert shifted.accuracy < 0.1
    assert shifted.memorised > 0.9


def test_rows_of_other_heads_stay(tmp_path):
    path = tmp_path / "none.csv"
    row = ["gce", "adam", "0", "0.5000", "10", "0.1000"]
    other = ["ce", "sgd", "0", "0.6000", "10", "0.2000"]
    pairs.write_rows(path, [row])
    pairs.write_rows(path, [other])
    better = [*row[:3], "0.7000", *row[4:]]
    pairs.write_rows(path, [better])
    with path.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header[:4] == ["head", "optimizer", "repeat", "accuracy"]
    assert rows == [other, better]


def test_rows_of_other_settings_are_no_company(tmp_path):
    own = dict(pairs.SETTINGS)
    short = {**own, "epochs": 2}
    pairs.check_settings(tmp_path / "none", short)
    pairs.check_settings(tmp_path, short)
    # Of a file without its settings these are the study's.
    pairs.write_rows(tmp_path / "none.csv", [["ce", "sgd", "0", "0.6", "10", "0.2"]])
    pairs.check_settings(tmp_path, own)
    with pytest.raises(ValueError, match="epochs: got 2 for .*rows are with 20; pass"):
        pairs.check_settings(tmp_path, short)
    pairs.keep_settings(tmp_path, {**own, "seed": 1})
    with pytest.raises(ValueError, match="seed: got 0 for .*whose rows are with 1"):
        pairs.check_settings(tmp_path, own)
    pairs.check_settings(tmp_path, {**own, "seed": 1})


@pytest.mark.parametrize("num_classes", [3, 100])
def test_what_bounded_heads_leave_of_the_gradient(num_classes):
    """At a uniform prediction; ELR's strength was tuned to cross-entropy's gradient."""
    logits, label = jnp.zeros(num_classes), jnp.int32(1)

    def size(loss, **options):
        gradient = jax.grad(lambda z: loss(z, label, **options))(logits)
        return float(jnp.linalg.norm(gradient))

    whole = size(losses.cross_entropy)
    assert whole == pytest.approx(np.sqrt(1 - 1 / num_classes))
    assert size(losses.gce, q=0.7) == pytest.approx(whole * num_classes**-0.7, rel=1e-4)
    assert size(losses.mae) == pytest.approx(whole * 2 / num_classes, rel=1e-4)
