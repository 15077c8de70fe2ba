"""TAUFE with adversarial training, MixMatch and SimCLR: flags, measures, continuing."""

from __future__ import annotations

import csv
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies.features import combinations, setup
from experiments.studies.features.adversarial import AdversarialClassification
from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.normalized import frozen, normalized
from experiments.studies.features.presets import PRESETS, TRAINING_PRESETS, resolve
from experiments.studies.features.pretraining import (
    Pretraining,
    build_fine_tuning,
    make_pretraining_optimizer,
)
from experiments.studies.features.programs import build_network, build_training
from experiments.studies.features.semi_supervised import _optimizer, build_mix_match
from experiments.studies.features.study import STUDY
from experiments.study.journal import Journal
from experiments.study.records import read_cells
from experiments.study.run import Request, run_study
from experiments.study.table import Table
from robustjax import data, models
from robustjax.data import make_dataset, save_npz
from robustjax.training import InterruptedRunError, StopRequest, init_variables

FLAGS = {
    "network": "mlp",
    "hidden": (6,),
    "num_examples": (16,),
    "epochs": 2,
    "repeats": 2,
    "parallel_repeats": 2,
    "batch_size": 16,
    "watch_every_epochs": 1,
    "checkpoint_every_epochs": 1,
    "ood_count": 24,
    "ood_test_count": 8,
}
ATTACK = {
    "training": "adversarial",
    "options": ("adversarial.steps=2",),
    "test_attack_steps": 3,
}
MIX = {"training": "mix_match", "options": ("mix_match.ramp_up_steps=4",)}
SIMCLR = {
    "training": "pretrained",
    "pretraining_epochs": 2,
    "pretraining_batch_size": 24,
    "options": ("simclr.projection=4",),
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """A target with a bright row per class, and other images, as .npz files."""
    folder = tmp_path_factory.mktemp("sets")
    for seed, name in enumerate(("target", "other")):
        splits = {}
        for number, split in enumerate(("train", "test")):
            rng = np.random.default_rng([seed, number])
            labels = np.arange(48) % 3
            pixels = rng.integers(0, 80, (48, 8, 8, 3), np.uint8)
            if name == "target":
                pixels[np.arange(48), 2 * labels] += 150
            names = [f"{name}{c}" for c in "xyz"]
            splits[split] = make_dataset(pixels, labels, class_names=names)
        save_npz(folder / f"{name}.npz", **splits)
    return {name: str(folder / f"{name}.npz") for name in ("target", "other")}


def fields_of(sets, given):
    return {"dataset": sets["target"], "ood": (sets["other"],), **FLAGS, **given}


class Stop(StopRequest):
    """Ends a run after so many epochs, or never."""

    def __init__(self, epochs=-1):
        super().__init__()
        self._left = epochs

    def check(self):
        self._left -= 1
        if self._left == 0:
            self.signal_name = "SIGTERM"
        super().check()


def run(folder, sets, methods=(), stop=None, **given):
    methods = given.pop("methods", methods)
    fields = fields_of(sets, given)
    request = Request(methods, None, fields, run_dir=str(folder), name="run")
    return run_study(STUDY, request, stop or Stop())


def study_of(sets, **given):
    study = setup.prepare(FeatureDebiasingConfig(**fields_of(sets, given)))
    return study, build_network(study)


def begun(training, study, repeats):
    keys = study.repeat_keys[repeats]
    return training.begin(training.program.init(keys, study.pool[:1]), repeats)


def read_rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"training": "mixmatch"}, "training: unknown 'mixmatch' .*mean 'mix_match'"),
        (
            {"training": "mix_match", "task": "boxes"},
            "training: got mix_match with task=boxes, expected task=classification",
        ),
        ({"attack_test_count": 7}, "attack_test_count: got 7 with training=plain, exp"),
        (
            {"options": ("adversarial.steps=7",)},
            "options: unknown 'adversarial'; known: standard, oat, taufe",
        ),
        (
            {**MIX, "fine_tune": "all"},
            "fine_tune: got all with training=mix_match, expected training=pretrained",
        ),
        (
            {**ATTACK, "options": ("adversarial.radius=-1/255",)},
            "options .adversarial.radius.: got -0.0039",
        ),
        (
            {**ATTACK, "options": ("adversarial.step_size=0",)},
            "options .adversarial.step_size.: got 0.0",
        ),
        (
            {**ATTACK, "options": ("adversarial.radios=0",)},
            "options: adversarial has no 'radios' .did you mean 'radius'",
        ),
        ({**ATTACK, "test_attack_steps": 0}, "test_attack_steps: got 0"),
        ({**ATTACK, "attack_test_count": 0}, "attack_test_count: got 0"),
        ({**ATTACK, "methods": ("joint",)}, "methods: unknown 'joint'"),
        ({**MIX, "num_examples": (0,)}, r"num_examples: got 0 \(all\) with training=m"),
        ({**MIX, "num_examples": (48,)}, "num_examples: got 48 .*fewer than the 48"),
        ({**MIX, "standard_batch": "full"}, "standard_batch: got full with training=m"),
        *(
            (
                {**MIX, "options": (f"mix_match.{name}={value:g}",)},
                rf"options .mix_match.{name}.: got {value}",
            )
            for name, value in (
                ("lambda_u", -1.0),
                ("temperature", 0.0),
                ("average_decay", 1.5),
            )
        ),
        ({**MIX, "kernel_decay": 0.1}, "kernel_decay: got 0.1 with optimizer=sgd"),
        (
            {**SIMCLR, "methods": ("taufe",)},
            "methods: got taufe with fine_tune=head, expected fine_tune=all, or joint",
        ),
        ({**SIMCLR, "fine_tune": "last"}, "fine_tune: unknown 'last'"),
        (
            {**SIMCLR, "options": ("simclr.projection=0",)},
            "options .simclr.projection.: got 0",
        ),
        (
            {**SIMCLR, "pretraining_warmup_epochs": 2},
            "pretraining_warmup_epochs: got 2",
        ),
        (
            {**SIMCLR, "pretraining_batch_size": 49},
            "pretraining_batch_size: got 49, expected at most .* 48",
        ),
        ({**SIMCLR, "pretraining_optimizer": "sgd"}, "pretraining_optimizer: unknown"),
        (
            {**SIMCLR, "options": ("simclr.temperature=0",)},
            "options .simclr.temperature.: got 0.0",
        ),
    ],
)
def test_bad_flags_are_named_before_any_training(tmp_path, sets, given, message):
    with pytest.raises(ValueError, match=message) as caught:
        run(tmp_path, sets, **given)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir()), "a run folder was left behind"


def test_an_attack_needs_pixels(tmp_path, sets):
    target = data.load(sets["target"], "train")
    labels = target.labels
    pixels = target.inputs.astype(np.float32)
    splits = {
        f"{split}_{key}": value
        for split in ("train", "test")
        for key, value in (("inputs", pixels), ("labels", labels))
    }
    np.savez(tmp_path / "wide.npz", **splits)
    with pytest.raises(ValueError, match=r"dataset: got pixels from 0 to 2\d\d with"):
        run(
            tmp_path / "runs",
            sets,
            dataset=str(tmp_path / "wide.npz"),
            ood=("textures",),
            **ATTACK,
        )
    assert not (tmp_path / "runs").exists()


def test_mix_match_compares_methods(tmp_path, sets, capsys):
    folder = run(tmp_path, sets, ("standard", "taufe"), **MIX)
    rows = read_rows(folder / "summary.csv")
    assert [row["method"] for row in rows] == ["standard", "taufe"]
    printed = capsys.readouterr().out
    assert "test accuracy (%), N =" in printed
    assert "taufe against standard, test accuracy" in printed
    examples = read_rows(folder / "examples.csv")
    mine = [row for row in examples if row["repeat"] == "0"]
    roles = [row["role"] for row in mine]
    # All 48 target images are trained on, and all 24 OOD images are drawn from.
    assert {role: roles.count(role) for role in roles} == {
        "target": 16,
        "unlabeled": 32,
        "ood": 24,
    }
    for row in mine:
        assert bool(row["given"]) == (row["role"] == "target")
        assert bool(row["taufe.predicted"]) == (row["role"] != "ood")


def test_killed_pretraining_continues_to_the_same_results(tmp_path, sets):
    given = {**SIMCLR, "checkpoint_every_epochs": 2, "parallel_repeats": 1}
    methods = ("standard", "joint")
    whole = run(tmp_path / "whole", sets, methods, **given)
    stopped = 0
    while True:
        try:
            # In the fine-tuning, in the pre-training of joint, in its fine-tuning.
            folder = run(tmp_path / "killed", sets, methods, stop=Stop(5), **given)
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


def test_an_attack_is_measured_after_the_last_epoch_alone(tmp_path, sets, capsys):
    methods = ("standard", "taufe")
    options = ("adversarial.steps=2", "adversarial.radius=1")
    folder = run(tmp_path, sets, methods, **{**ATTACK, "options": options})
    first, last, *_ = Table.read(folder).records("epoch")
    assert "adversarial_accuracy" not in first["of_repeats"]
    assert len(last["of_repeats"]["adversarial_accuracy"]) == 2
    row = read_rows(folder / "summary.csv")[0]
    found = 100 * np.array(last["of_repeats"]["adversarial_accuracy"])
    assert float(row["adversarial_accuracy_mean"]) == pytest.approx(found.mean())
    printed = capsys.readouterr().out
    assert "accuracy under attack (%), N =" in printed
    assert "taufe against standard, accuracy under attack" in printed


def test_accuracy_under_an_attack(sets):
    """Of a linear network of two classes, whose best attack is one step of signs."""
    options = ("adversarial.radius=0.04", "adversarial.step_size=0.02")
    given = {**ATTACK, "hidden": (), "options": options}
    study, network = study_of(sets, **given, attack_test_count=30)
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


def test_training_is_the_same_with_the_normalisation_inside(sets):
    study, network = study_of(sets, training="plain")
    assert type(network.model) is models.MLP
    same, own = study_of(sets, **ATTACK)
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


def test_mix_match_has_labels_of_its_repeat_alone(sets):
    study, network = study_of(
        sets, **{**MIX, "options": ("mix_match.average_decay=0.5",)}
    )
    for method in ("standard", "oat", "taufe"):
        training = build_mix_match(study, network, method, 16)
        state = begun(training, study, slice(1, 2))
        rows = state.loss_state.rows
        np.testing.assert_array_equal(rows["labeled"][0, :72], study.roles[16][1] == 0)
        np.testing.assert_array_equal(rows["ood"][0, :72], np.arange(72) >= 48)
        params, model_state = training.variables(state.params, state.model_state)
        chex.assert_trees_all_equal(params, state.params)
        assert model_state == {}
        moved = state.model_state["average"] | {"head": 0}
        changed = {**state.model_state, "average": moved}
        assert training.variables(state.params, changed)[0]["head"] == 0


def test_decay_of_kernels():
    config = FeatureDebiasingConfig(
        optimizer="adam",
        schedule="constant",
        learning_rate=0.5,
        weight_decay=0.0,
        kernel_decay=0.1,
    )
    params = {"a": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}, "scale": jnp.ones(2)}
    optimizer = _optimizer(config, 3)
    nothing = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(nothing, optimizer.init(params), params)
    np.testing.assert_allclose(updates["a"]["kernel"], -0.05, rtol=1e-6)
    assert not np.any(updates["a"]["bias"])
    assert not np.any(updates["scale"])


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
def pretrained(sets, tmp_path_factory):
    """A study, its networks before fine-tuning, and what was logged."""
    study, network = study_of(sets, **SIMCLR, pretraining_flip=False)
    pretraining, states = Pretraining(study, network), {}
    folder = tmp_path_factory.mktemp("pretrained")
    with Journal(folder, tensorboard=False) as journal:
        for method in ("standard", "joint", "oat"):
            training = build_fine_tuning(study, network, method, 16)
            training = pretraining.before(training, method, journal, Stop())
            labels = np.broadcast_to(study.labels, (2, len(study.labels)))
            inputs = training.program.make_data(study.pool, labels)
            state = begun(training, study, slice(0, 2))
            first = jax.device_get(state.params)
            state, _ = training.program.at(0).epoch(state, inputs)
            states[method] = first, jax.device_get(state.params)
    return states, [r for cell in read_cells(folder).values() for r in cell]


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


def test_the_whole_network_can_be_tuned(tmp_path, sets):
    given = {**SIMCLR, "fine_tune": "all", "repeats": 1, "epochs": 1}
    folder = run(tmp_path, sets, ("joint", "taufe"), **given)
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


def test_presets_of_combinations():
    for training, name in TRAINING_PRESETS.items():
        assert resolve(None, {"training": training})[0] == name
        for preset in (name, name.removesuffix("_small")):
            found, config, _ = resolve(preset, {})
            setup.check(config)
            assert (found, config.training) == (preset, training)
            assert combinations.check_methods((), config)
        # What belongs to the preset's training is no error without it.
        assert resolve(name, {"training": "plain"})[1].training == "plain"
    others = set(PRESETS) - {
        preset
        for name in TRAINING_PRESETS.values()
        for preset in (name, name.removesuffix("_small"))
    }
    assert {resolve(name, {})[1].training for name in others} == {"plain"}
