"""Every published method is registered once, and is what its entry says."""

from __future__ import annotations

import dataclasses
import inspect

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest

from robustjax import methods, selection
from robustjax.methods import (
    Entry,
    active_learning,
    bias,
    label_correction,
    label_noise,
)
from robustjax.models import MLP, SmallCNN, TwoEncoderClassifier
from robustjax.training import Recipe
from robustjax.transforms import LossTransform

ENTRIES = methods.entries()
# Needed where an option has no default.
REQUIRED = {"forget_rate": 0.2, "noise_rate": 0.3, "weight": 0.1}


def all_of(family, role=None):
    return pytest.mark.parametrize(
        "entry", methods.entries(family, role), ids=lambda each: each.name
    )


def required(entry):
    return {name: REQUIRED[name] for name in entry.required}


@pytest.mark.parametrize(
    "entry", ENTRIES, ids=lambda each: f"{each.family}-{each.name}"
)
def test_conformance(entry):
    assert methods.entry(entry.name, entry.family) is entry
    assert methods.REGISTRY[entry.family, entry.name] is entry
    assert entry in methods.entries(entry.family, entry.role)
    assert entry.name.isidentifier()
    assert entry.description
    assert "\n" not in entry.description + entry.source
    assert len(entry.source) > 5
    signature = inspect.signature(entry.make).parameters
    assert set(entry.options) <= set(signature)
    assert not set(entry.options) & (entry.setting_arguments | entry.unused)
    assert entry.unused <= set(signature)
    for name, option in entry.options.items():
        assert option.hint is not inspect.Parameter.empty, name
        assert not isinstance(option.hint, str), name
    for setting, options in entry.published.items():
        assert set(options) <= set(entry.options), setting


@all_of("label_noise")
def test_label_noise_entries_make_recipes(entry):
    class WithClasses(MLP):
        """A network of which every method finds what it needs."""

    given = {"epochs": 30, **required(entry)}
    recipe = entry.make(WithClasses(3, (8,)), optax.sgd(0.1), **given)
    assert isinstance(recipe, Recipe)
    assert recipe.epochs == 30
    with pytest.raises(TypeError):
        entry.make(WithClasses(3, (8,)), optax.sgd(0.1), nothing=1, **given)


@all_of("bias")
def test_bias_entries_make_recipes(entry):
    model = MLP(3, (8,))
    if "two_encoders" in entry.needs:
        model = TwoEncoderClassifier(model, 3)
    if "class_maps" in entry.needs:
        with pytest.raises(ValueError, match="model: got MLP, which has no class act"):
            entry.make(model, optax.sgd(0.1), epochs=30)
        model = SmallCNN(3, hidden=(), pooling="average")
    attributes = {name: [0, 1, 1] for name in ("groups", "bias") if name in entry.needs}
    if "conflicting" in entry.needs:
        attributes["conflicting"] = np.array([False, True, True])
    given = {"epochs": 30, **attributes}
    recipe = entry.make(model, optax.sgd(0.1), **given)
    assert isinstance(recipe, Recipe)
    assert recipe.epochs == 30
    with pytest.raises(TypeError):
        entry.make(model, optax.sgd(0.1), nothing=1, **given)


def test_options_reach_a_loss():
    make = methods.entry("gce").make
    with pytest.raises(ValueError, match="q: got 2"):
        make(MLP(3, (8,)), optax.sgd(0.1), epochs=1, q=2.0)
    kept = methods.entry("elr").options["strength"]
    assert (kept.hint, kept.default, kept.required) == (float, 3.0, False)


@all_of("label_correction")
def test_label_correction_entries_make_methods(entry):
    given = required(entry)
    made = entry.make(**given)
    assert made.name == entry.name
    assert entry.make(name="mine", **given).name == "mine"
    assert methods.make_correction_method(entry.name, **given) == made
    assert ("noise_rate" in entry.needs) is bool(entry.required)
    if entry.required:
        with pytest.raises(ValueError, match="noise_rate: got nothing, expected"):
            methods.make_correction_method(entry.name)
    with pytest.raises(ValueError, match="option of .*: unknown 'nothing'"):
        methods.make_correction_method(entry.name, nothing=1, **given)


def test_options_of_alc_are_those_of_its_parts():
    made = methods.make_correction_method(
        "alc", diffusion_mode="delta", neighbors=5, candidates_per_query=None
    )
    assert made.propagation == methods.Propagation(mode="delta", neighbors=5)
    assert made.candidates_per_query is None
    default = methods.ActiveLabelCorrection()
    assert methods.make_correction_method("alc") == default
    robust = methods.make_correction_method("robust", weight_step=0.3)
    assert (robust.robust, robust.propagation) == (True, None)
    assert robust.weight_step == 0.3
    diffusion = methods.make_correction_method("diffusion")
    assert (diffusion.robust, diffusion.propagation) == (False, default.propagation)
    for options, message in (
        ({"diffusion_mode": "both"}, "diffusion_mode: unknown 'both'"),
        ({"graph_space": "pixel"}, "graph_space: unknown 'pixel'"),
        ({"diffusion_steps": -1}, "diffusion_steps: got -1"),
        ({"diffusion_step_size": 2.0}, "diffusion_step_size: got 2"),
        ({"weight_step": 2.0}, "weight_step: got 2"),
        # Without a graph, neighbours changed nothing.
        ({"diffusion_mode": None, "neighbors": 3}, "neighbors: got 3 with diffusion_"),
    ):
        with pytest.raises(ValueError, match=message):
            methods.make_correction_method("alc", **options)


@all_of("active_learning", "strategy")
def test_active_learning_entries_make_strategies(entry):
    made = entry.make()
    assert (made.name, made.wants) == (entry.name, entry.needs)
    assert entry.make(name="mine").name == "mine"
    fields = {field.name for field in dataclasses.fields(made)}
    assert set(entry.options) <= fields


@all_of("features", "penalty")
def test_feature_entries_make_penalties(entry):
    penalty = entry.make(**required(entry))
    if entry.name in ("standard", "joint"):
        assert penalty is None
    else:
        assert isinstance(penalty, LossTransform)
        assert "ood_images" in entry.needs


@all_of("pruning")
def test_pruning_entries_select(entry):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), 40).astype(np.float32)
    given = {
        "features": rng.normal(size=(40, 4)).astype(np.float32),
        "probabilities": probabilities,
        "labels": np.arange(40) % 3,
        "key": jax.random.key(0),
        "forgetting": rng.integers(0, 4, 40),
        "learned": rng.random(40) < 0.8,
        "hardness": rng.normal(size=40),
    }
    fraction = 1.0 if entry.name == "full" else 0.5
    found = entry.make(**given, fraction=fraction)
    assert found.indices.shape == (round(40 * fraction),)
    # What the entry names is enough.
    least = {
        "features": None,
        "probabilities": None,
        **{name: given[name] for name in entry.needs if name in given},
    }
    if "training_record" in entry.needs:
        least |= {k: given[k] for k in ("forgetting", "learned", "hardness")}
    least.setdefault("labels", given["labels"])
    again = entry.make(**least, fraction=fraction)
    assert set(again.indices) == set(
        entry.make(**{**given, "key": least.get("key")}, fraction=fraction).indices
    )


def _exported(face, wanted):
    return {n for n, x in vars(face).items() if n[0] != "_" and wanted(x)}


def test_everything_published_is_registered():
    """What the public faces offer as a method has an entry; parts of one are named."""

    def makes_recipe(value):
        function = inspect.isfunction(value)
        return function and value.__annotations__.get("return") == "Recipe"

    names = {
        family: {each.name for each in methods.entries(family)}
        for family in methods.FAMILIES
    }
    recipes = _exported(label_noise, makes_recipe)
    # `robust_loss` trains any loss, `transition_training` either correction.
    parts = {"robust_loss", "transition_training"}
    assert recipes - names["label_noise"] == parts
    assert set(label_noise.ROBUST_LOSSES) <= names["label_noise"]
    assert {"forward", "backward"} <= names["label_noise"]

    # Named by its abbreviation.
    assert _exported(bias, makes_recipe) - names["bias"] == {"hex_projection"}

    def asks(value):
        return inspect.isclass(value) and {"select", "wants"} <= set(dir(value))

    strategies = methods.entries("active_learning", "strategy")
    made = {type(each.make()) for each in strategies}
    found = {getattr(active_learning, n) for n in _exported(active_learning, asks)}
    assert found - {active_learning.QueryStrategy} <= made

    def corrects(value):
        return inspect.isclass(value) and {"train", "select"} <= set(dir(value))

    made = {type(e.make(**required(e))) for e in methods.entries("label_correction")}
    # An option of ALC makes another class.
    made |= {type(label_correction.make_correction_method("alc", forward=True))}
    found = {
        getattr(label_correction, n) for n in _exported(label_correction, corrects)
    }
    assert found - {label_correction.CorrectionMethod} <= made

    assert set(selection.PRUNING_METHODS) <= names["pruning"]


def test_names_and_families_are_checked():
    assert {each.family for each in ENTRIES} == set(methods.FAMILIES)
    assert len(ENTRIES) == len(methods.REGISTRY)
    with pytest.raises(ValueError, match="name: unknown 'elrr' .did you mean 'elr'"):
        methods.entry("elrr")
    with pytest.raises(ValueError, match="family: unknown 'pruned' .*'pruning'"):
        methods.entries("pruned")
    with pytest.raises(ValueError, match="role: unknown 'recipee' .*'recipe'"):
        methods.entries(role="recipee")
    with pytest.raises(ValueError, match="family: got None for 'random', .*learning"):
        methods.entry("random")
    with pytest.raises(ValueError, match="needs: unknown 'noise' .*known: noise_rate"):
        Entry(
            "x",
            "pruning",
            "selection",
            nn.Module,
            "x",
            "x",
            needs=frozenset({"noise"}),
        )
    with pytest.raises(ValueError, match="family: unknown"):
        Entry("x", "nothing", "selection", nn.Module, "x", "x")
    with pytest.raises(ValueError, match="role: unknown 'nothing'; known: recipe"):
        Entry("x", "pruning", "nothing", nn.Module, "x", "x")
    with pytest.raises(TypeError):
        methods.REGISTRY["pruning", "x"] = ENTRIES[0]
