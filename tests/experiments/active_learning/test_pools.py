"""Pools of the open-set study, and what is trained before their first round."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from experiments.studies.active_learning import setup
from robustjax import data
from robustjax.tools import open_set_networks as networks
from robustjax.training import InterruptedRunError, StopRequest
from tests.experiments.active_learning.open_set_runs import (
    data_of,
)


def test_pools_of_a_split(sets):
    study = data_of(sets, noise_ratio=(0.4, 0.0))
    pools = [setup.make_pool(study, 0.4, repeat) for repeat in (0, 1)]
    assert study.in_classes[0] != study.in_classes[1]
    whole = data.load(sets["target"], "train")
    for pool, classes in zip(pools, study.in_classes):
        assert pool.inputs.shape == (70, 8, 8, 3)
        assert (pool.labels == 3).sum() == 28
        rows = data.rows_of(whole, pool.ids)
        np.testing.assert_array_equal(whole.inputs[rows], pool.inputs)
        inside = np.isin(whole.labels[rows], classes)
        np.testing.assert_array_equal(inside, pool.labels < 3)
        assert len(pool.test_labels) == 20
        assert pool.test_labels.max() == 2
        assert len(pool.initial) == 8
    assert (
        jax.random.key_data(pools[0].key) != jax.random.key_data(pools[1].key)
    ).any()
    clean = setup.make_pool(study, 0.0, 0)
    assert (clean.labels < 3).all()


def test_pools_across_data_sets(sets):
    study = data_of(sets, class_split="all", ood=(sets["other"],), pool_in=0)
    pool = setup.make_pool(study, 0.4, 0)
    assert study.num_classes == 6
    assert pool.inputs.shape == (200, 8, 8, 3)
    outside = pool.labels == 6
    assert outside.sum() == 80
    assert all(sets["other"] in i for i in pool.ids[outside])
    assert len(np.unique(pool.ids)) == 200


class AfterEpochs(StopRequest):
    """Asks to stop after so many checks."""

    def __init__(self, count):
        super().__init__()
        self.left = count

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise InterruptedRunError("stopped by a test")


@pytest.mark.slow
def test_interrupted_embeddings_continue_to_the_same_bytes(tmp_path, sets):
    study = data_of(sets)
    pool = setup.make_pool(study, 0.4, 0)
    wants = {"rotations", "projections"}

    def train(folder, stop):
        key = pool.embedding_key
        return networks.train_embeddings(
            study.config, key, pool.inputs, wants, tmp_path / folder, stop
        )

    whole = train("whole", StopRequest())
    found = networks.read_embeddings(whole)
    assert found["projections"].shape == (70, 4)
    assert found["semantic"].shape == found["distinctive"].shape == (4, 70, 4)
    # After the first network, and after the second.
    for _ in range(2):
        with pytest.raises(InterruptedRunError):
            train("stopped", AfterEpochs(0))
        assert list((tmp_path / "stopped").iterdir())
    again = networks.read_embeddings(train("stopped", StopRequest()))
    for name, array in found.items():
        np.testing.assert_array_equal(again[name], array)
    assert not list(tmp_path.iterdir())
    assert networks.needs_embeddings(wants)
    assert not networks.needs_embeddings({"loss_prediction"})


@pytest.mark.slow
def test_the_first_training_serves_all_strategies(sets):
    study = data_of(sets)
    pool = setup.make_pool(study, 0.4, 0)
    made = networks.Classifiers(study.config, 3, study.train.inputs, StopRequest())
    kept = made.of(pool.inputs, (False, False), np.arange(20)[::-1])
    labels = np.where(np.arange(70) < 20, pool.labels, -1)
    # A resumed run begins with a later training, which is not kept.
    later = np.where(np.arange(70) < 30, pool.labels, -1)
    assert kept.fit(pool.key, later) is not kept.fit(pool.key, later)
    first = kept.fit(pool.key, labels)
    assert kept.fit(pool.key, labels.copy()) is first
    assert kept.observe(first) is kept.observe(first)
    labels[20] = 0
    other = kept.fit(pool.key, labels)
    assert other is not first
    assert kept.observe(other) is not kept.observe(first)


def test_random_validation_sets(sets):
    """Of what nothing is known of, as many as a round asks for."""
    study = data_of(sets)
    found = []
    for repeat in (0, 1):
        pool = setup.make_pool(study, 0.4, repeat)
        rows, labels = setup.draw_validation(study, pool)
        free = [row for row in range(70) if row not in pool.initial]
        key = jax.random.fold_in(jax.random.key(study.config.seed), repeat)
        order = np.asarray(jax.random.permutation(jax.random.fold_in(key, 6), 62))
        np.testing.assert_array_equal(rows, np.array(free)[order][:8])
        np.testing.assert_array_equal(labels, pool.labels[rows])
        found.append(rows)
    assert set(found[0]) != set(found[1])
    # Answers at half the price: a round may ask for twice as many.
    cheap = data_of(sets, cost_ood=0.5)
    pool = setup.make_pool(cheap, 0.4, 0)
    assert len(setup.draw_validation(cheap, pool).rows) == 16
