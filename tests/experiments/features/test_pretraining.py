"""TAUFE with networks pre-trained by SimCLR: what moves, and continuing."""

from __future__ import annotations

import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.pretraining import (
    Pretraining,
    build_fine_tuning,
    make_pretraining_optimizer,
)
from experiments.study.journal import Journal
from experiments.study.records import read_cells
from experiments.study.table import Table
from robustjax.training import InterruptedRunError, StopRequest
from tests.experiments.features.combined_runs import (
    SIMCLR,
    begun,
    run,
    study_of,
)
from tests.harness.stops import AfterChecks


@pytest.mark.slow
def test_killed_pretraining_continues_to_the_same_results(tmp_path, two_sets):
    given = {**SIMCLR, "checkpoint_every_epochs": 2, "parallel_repeats": 1}
    methods = ("standard", "joint")
    whole = run(tmp_path / "whole", two_sets, methods, **given)
    stopped = 0
    while True:
        try:
            # In the fine-tuning, in the pre-training of joint, in its fine-tuning.
            stop = AfterChecks(5)
            folder = run(tmp_path / "killed", two_sets, methods, stop=stop, **given)
            break
        except InterruptedRunError:
            stopped += 1
            lost = tmp_path / "killed" / "features" / "run" / "pretraining_target"
            shutil.rmtree(lost / "repeats_1-1" / "checkpoints", ignore_errors=True)
    assert stopped == 4
    for name in ("summary.csv", "repeats.csv", "examples.csv"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    records = [Table.read(each).records("epoch") for each in (whole, folder)]
    timeless = [[{**r, "seconds": 0, "sum": ""} for r in each] for each in records]
    assert timeless[0] == timeless[1]
    assert len(records[0]) == 2 * 2 * (2 + 2)


def test_lars_leaves_biases_to_sgd():
    config = FeatureDebiasingConfig(
        pretraining_optimizer="lars",
        pretraining_learning_rate=2.0,
        pretraining_warmup_epochs=1,
        pretraining_weight_decay=0.5,
        pretraining_epochs=3,
    )
    optimizer = make_pretraining_optimizer(config, 1)
    params = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.ones(2)}
    gradient = jax.tree.map(jnp.ones_like, params)
    state = optimizer.init(params)
    updates, state = optimizer.update(gradient, state, params)
    # The rise begins at zero.
    chex.assert_trees_all_equal(updates, jax.tree.map(jnp.zeros_like, params))
    updates, _ = optimizer.update(gradient, state, params)
    direction = 1 + 0.5 * 3.0
    ratio = 0.001 * 3.0 / direction
    np.testing.assert_allclose(updates["kernel"], -2 * ratio * direction, rtol=1e-5)
    np.testing.assert_allclose(updates["bias"], -2.0, rtol=1e-6)


@pytest.fixture(scope="module")
def pretrained(two_sets, tmp_path_factory):
    """A study, its networks before fine-tuning, and what was logged."""
    study, network = study_of(two_sets, **SIMCLR, pretraining_flip=False)
    pretraining, states = Pretraining(study, network), {}
    folder = tmp_path_factory.mktemp("pretrained")
    with Journal(folder, tensorboard=False) as journal:
        for method in ("standard", "joint", "oat"):
            training = build_fine_tuning(study, network, method, 16)
            training = pretraining.before(training, method, journal, StopRequest())
            labels = np.broadcast_to(study.labels, (2, len(study.labels)))
            inputs = training.program.make_data(study.pool, labels)
            state = begun(training, study, slice(0, 2))
            first = jax.device_get(state.params)
            state, _ = training.program.at(0).epoch(state, inputs)
            states[method] = first, jax.device_get(state.params)
    return states, [r for cell in read_cells(folder).values() for r in cell]


@pytest.mark.slow
def test_pretraining_is_shared_and_only_the_head_moves(pretrained):
    states, records = pretrained
    assert [(r["cell"], r["event"], r.get("epoch")) for r in records] == [
        (f"pretraining_{images}/repeats_{repeat}-{repeat}", event, epoch)
        for images in ("target", "joint")
        for repeat in (0, 1)
        for event, epoch in (("epoch", 0), ("epoch", 1), ("finished", None))
    ]
    for before, after in states.values():
        kernel = before["hidden0"]["kernel"]
        np.testing.assert_array_equal(after["hidden0"]["kernel"], kernel)
        assert np.abs(after["head"]["kernel"] - before["head"]["kernel"]).max() > 1e-3
        assert np.abs(kernel[0] - kernel[1]).max() > 1e-3
    target, joint, oat = (states[name][0] for name in ("standard", "joint", "oat"))
    chex.assert_trees_all_equal(joint, oat)
    np.testing.assert_array_equal(target["head"]["kernel"], joint["head"]["kernel"])
    difference = target["hidden0"]["kernel"] - joint["hidden0"]["kernel"]
    assert np.abs(difference).max() > 1e-3


@pytest.mark.slow
def test_the_whole_network_can_be_tuned(tmp_path, two_sets):
    given = {**SIMCLR, "fine_tune": "all", "repeats": 1, "epochs": 1}
    folder = run(tmp_path, two_sets, ("joint", "taufe"), **given)
    records = Table.read(folder).records("epoch")
    assert [r["method"] for r in records] == [
        *["pretraining_joint"] * 2,
        "joint",
        "taufe",
    ]
    assert "ood_norm" in records[3]
    assert "ood_norm" not in records[2]
    norms = [r["of_repeats"]["heldout_ood_norm"] for r in records[2:]]
    assert norms[0] != norms[1]
