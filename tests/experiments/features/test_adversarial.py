"""TAUFE with adversarial training: the attack, and networks that normalise."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies.features.adversarial import AdversarialClassification
from experiments.studies.features.normalized import frozen, normalized
from experiments.studies.features.programs import build_training
from experiments.study.table import Table
from robustjax import data, models
from robustjax.training import init_variables
from tests.experiments.features.combined_runs import (
    ATTACK,
    begun,
    run,
    study_of,
)
from tests.experiments.features.feature_runs import read_rows


@pytest.mark.slow
def test_an_attack_is_measured_after_the_last_epoch_alone(tmp_path, two_sets, capsys):
    methods = ("standard", "taufe")
    options = ("adversarial.steps=2", "adversarial.radius=1")
    folder = run(tmp_path, two_sets, methods, **{**ATTACK, "options": options})
    first, last, *_ = Table.read(folder).records("epoch")
    assert "adversarial_accuracy" not in first["of_repeats"]
    assert len(last["of_repeats"]["adversarial_accuracy"]) == 2
    row = read_rows(folder / "summary.csv")[0]
    found = 100 * np.array(last["of_repeats"]["adversarial_accuracy"])
    assert float(row["adversarial_accuracy_mean"]) == pytest.approx(found.mean())
    printed = capsys.readouterr().out
    assert "accuracy under attack (%), N =" in printed
    assert "taufe against standard, accuracy under attack" in printed


def test_accuracy_under_an_attack(two_sets):
    """Of a linear network of two classes, whose best attack is one step of signs."""
    options = ("adversarial.radius=0.04", "adversarial.step_size=0.02")
    given = {**ATTACK, "hidden": (), "options": options}
    study, network = study_of(two_sets, **given, attack_test_count=30)
    test = study.target.test
    rng = np.random.default_rng(0)
    kernel = rng.normal(scale=0.01, size=(8, 8, 3, 3)).astype(np.float32)
    for label in range(3):
        kernel[2 * label, ..., label] += 0.01
    kernel = kernel.reshape(-1, 3)
    kernel[:, 2] = 0
    bias = np.array([0.0, 0.0, -1e4], np.float32)
    params = {"head": {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}}
    measure = AdversarialClassification(study, network)
    found = measure.at_end(params, {})["adversarial_accuracy"]

    rows = np.sort(np.random.default_rng([0, 41]).choice(len(test), 30, replace=False))
    pixels, labels = test.inputs[rows] / 255, test.labels[rows]

    def right(pixels):
        inputs = (pixels - network.model.mean) / np.array(network.model.deviation)
        return (inputs.reshape(30, -1) @ kernel + bias).argmax(axis=1) == labels

    away = np.sign(kernel[:, 1] - kernel[:, 0]).reshape(1, 8, 8, 3)
    away = np.where(labels == 0, 1, -1)[:, None, None, None] * away
    moved = np.clip(pixels + 0.04 * away, 0, 1)
    # Three steps of half the radius end, from anywhere in the ball, between half the
    # radius and all of it.
    moved_less = np.clip(pixels + 0.02 * away, 0, 1)
    assert right(moved).mean() <= found <= right(moved_less).mean()
    assert right(moved).mean() < right(pixels).mean()


@pytest.mark.slow
def test_training_is_the_same_with_the_normalisation_inside(two_sets):
    study, network = study_of(two_sets, training="plain")
    assert type(network.model) is models.MLP
    same, own = study_of(two_sets, **ATTACK)
    plain = build_training(study, network, "taufe", 16)
    inside = build_training(same, own, "taufe", 16)
    states = []
    for training, of in ((plain, study), (inside, same)):
        labels = np.broadcast_to(of.labels, (2, len(of.labels)))
        inputs = training.program.make_data(of.pool, labels)
        state = begun(training, of, slice(0, 2))
        state, _ = training.program.at(0).epoch(state, inputs)
        states.append(state.params)
    chex.assert_trees_all_close(*states, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "small_cnn"])
def test_a_normalized_network_has_the_same_variables(kind):
    model = models.MLP(3, (5,))
    if kind == "small_cnn":
        model = models.SmallCNN(3, ((4,),), (), pooling="average")
    pixels = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
    mean, deviation = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    inputs = data.normalize(mean, deviation)(pixels)
    network = normalized(model, mean, deviation)
    variables, state = init_variables(model, jax.random.key(1), inputs)
    again, _ = init_variables(network, jax.random.key(1), pixels)
    chex.assert_trees_all_equal(variables, again)
    del state

    def outputs(network, inputs, method=None):
        return network.apply({"params": variables}, inputs, method=method)

    for method in ("__call__", "features"):
        want = outputs(model, inputs, method)
        for own in (network, frozen(network)):
            np.testing.assert_allclose(
                outputs(own, pixels, method), want, rtol=1e-5, atol=1e-6
            )
    assert hasattr(network, "feature_map") == (kind == "small_cnn")
    if kind == "small_cnn":
        maps = outputs(network, pixels, "feature_map")
        np.testing.assert_allclose(maps, outputs(model, inputs, "feature_map"))

    def total(params):
        logits = frozen(network).apply({"params": params}, pixels, train=True)
        return jnp.sum(logits**2)

    gradient = jax.grad(total)(variables)
    for name, leaves in gradient.items():
        moves = any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(leaves))
        assert moves == (name == "head")


@pytest.mark.slow
def test_a_frozen_network_keeps_its_running_statistics():
    model = models.ResNet(18, 3, stem="small", width=2)
    network = normalized(model, [0.1] * 3, [0.5] * 3)
    pixels = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
    key = jax.random.key(0)
    plain, own = (
        jax.eval_shape(lambda x, net=net: net.init(key, x), pixels)
        for net in (model, network)
    )
    chex.assert_trees_all_equal_shapes(plain, own)

    def changed(variables, x):
        return frozen(network).apply(
            variables, x, train=True, mutable=["batch_stats"], method="features"
        )[1]

    given = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.5), own)
    after = changed(given, jnp.ones((2, 8, 8, 3)))
    chex.assert_trees_all_equal(after["batch_stats"], given["batch_stats"])
