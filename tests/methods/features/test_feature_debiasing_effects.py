"""What training beside out-of-distribution examples, or under attack, does."""

import functools

import jax
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import scores, training, transforms
from robustjax.methods.features import (
    TARGET,
    UNUSED,
    adversarial_accuracy,
    feature_debiasing,
    pgd,
)
from robustjax.models import MLP
from tests.methods import feature_problem, recipe_problem


@functools.cache
def trained(name):
    """(OOD features' mean squares, cosines between classes) of three repeats."""
    x, y, roles = feature_problem.background_problem()
    ce, model = transforms.ce(), MLP(3, (16,))
    transform = {
        "standard": ce,
        "taufe": transforms.chain(ce, transforms.taufe(1.0)),
        "oat": transforms.chain(ce, transforms.oat(1.0)),
    }[name]
    recipe = feature_debiasing(
        model,
        transform,
        optax.adam(1e-2),
        epochs=20,
        roles=roles,
        use_ood=name != "standard",
    )
    program = training.RecipeProgram(
        recipe,
        rj.ExampleSpec(len(y), 3),
        batch_size=32,
        execution=recipe_problem.EXECUTION,
    )
    held = program.make_data(x, np.stack([y] * 3))
    state = program.init(jax.random.split(jax.random.key(0), 3), held.inputs)
    state = training.fit(program, state, held, epochs=20)
    target = roles == TARGET

    def cosine(params):
        features = model.apply({"params": params}, x[target], method="features")
        return scores.cross_class_cosine(features, y[target])

    squares = feature_problem.mean_square_features(model, state, x[roles == UNUSED])
    return squares, np.asarray(jax.vmap(cosine)(state.params))


@pytest.mark.slow
def test_taufe_silences_features_of_unseen_ood_examples_and_oat_does_not():
    standard, taufe, oat = (trained(name)[0] for name in ("standard", "taufe", "oat"))
    assert (taufe < 0.1 * standard).all()
    assert (oat > 0.5 * standard).all()


def test_taufe_does_not_bring_classes_together():
    standard, taufe, oat = (trained(name)[1] for name in ("standard", "taufe", "oat"))
    assert (taufe < standard).all()
    assert taufe.mean() < oat.mean()


@pytest.mark.slow
def test_training_under_attack_withstands_attacks():
    """One dimension tells the class by far; twenty tell it by less than the attack."""
    rng = np.random.default_rng(0)

    def draw(size):
        labels = rng.integers(0, 2, size)
        sign = 2 * labels - 1
        far = sign + 0.5 * rng.normal(size=size)
        near = 0.1 * sign[:, None] + 0.1 * rng.normal(size=(size, 20))
        return np.concatenate([far[:, None], near], 1).astype(np.float32), labels

    (x, y), (test_x, test_y) = draw(200), draw(200)
    model = MLP(2, (16,))
    options = {"radius": 0.2, "step_size": 0.1, "clip": None}

    def robust_accuracy(attack):
        recipe = feature_debiasing(
            model,
            transforms.ce(),
            optax.adam(1e-2),
            epochs=10,
            roles=np.full(200, TARGET),
            use_ood=False,
            attack=attack,
        )
        program = training.RecipeProgram(
            recipe,
            rj.ExampleSpec(200, 2),
            batch_size=40,
            execution=recipe_problem.EXECUTION,
        )
        held = program.make_data(x, y[None])
        state = program.init(jax.random.key(0)[None], held.inputs)
        state = training.fit(program, state, held, epochs=10)
        params = jax.tree.map(lambda leaf: leaf[0], state.params)
        return adversarial_accuracy(
            lambda rows: model.apply({"params": params}, rows),
            test_x,
            test_y,
            jax.random.key(1),
            pgd(steps=20, **options),
        )

    plain, hardened = robust_accuracy(None), robust_accuracy(pgd(steps=3, **options))
    assert hardened > plain + 0.1, (plain, hardened)
    assert hardened > 0.7
