"""What TAUFE does to the features of real images of foreign classes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import data, models, scores, training
from robustjax.methods.features import OOD, TARGET, feature_debiasing

CLASSES, EPOCHS = 6, 30


def divided(split):
    """(inputs of the first classes, their labels, inputs of the others)."""
    digits = data.load("digits", split)
    inside = digits.labels < CLASSES
    inputs = digits.inputs.astype(np.float32) / 255
    return inputs[inside], digits.labels[inside], inputs[~inside]


def trained(transform, use_ood, seed):
    """(test accuracy, norm of foreign activations, cosine between classes)."""
    inputs, labels, foreign = divided("train")
    everything = np.concatenate([inputs, foreign])
    given = np.concatenate([labels, np.zeros(len(foreign), np.int32)])
    model = models.MLP(CLASSES, (128, 64))
    program = training.RecipeProgram(
        feature_debiasing(
            model,
            transform,
            optax.sgd(0.05, momentum=0.9),
            epochs=EPOCHS,
            roles=np.repeat([TARGET, OOD], [len(inputs), len(foreign)]),
            use_ood=use_ood,
        ),
        rj.ExampleSpec(len(everything), CLASSES),
        batch_size=64 if use_ood else 32,
        execution=training.choose_execution(convolutional=False),
    )
    state = program.init(jax.random.split(jax.random.key(seed), 1), everything)
    train_data = program.make_data(everything, given[None])
    state = training.fit(program, state, train_data, epochs=EPOCHS)
    params = jax.tree.map(lambda leaf: leaf[0], state.params)

    def features(x):
        return training.apply_prediction(
            model, params, {}, jnp.asarray(x), method="features"
        )

    test, test_labels, unseen = divided("test")
    predicted = jnp.argmax(program.predict(state, jnp.asarray(test))[0], axis=-1)
    return (
        float((predicted == test_labels).mean()),
        float(scores.mean_activation_norm(features(unseen))),
        float(scores.cross_class_cosine(features(test), test_labels)),
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_foreign_activations_fall_by_an_order_of_magnitude(seed):
    """Park et al. (2021), Section 5: and classes do not come closer to each other."""
    plain = trained(rj.chain(rj.ce()), False, seed)
    taufe = trained(rj.chain(rj.ce(), rj.taufe(0.1)), True, seed)
    assert taufe[1] < plain[1] / 8
    assert taufe[2] < plain[2]
    assert taufe[0] > plain[0] - 0.01
    print("accuracy, norm, cosine:", plain, taufe)
