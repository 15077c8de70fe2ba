"""Every example is predicted by a network that never saw it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import data, methods, scores
from robustjax.methods.label_correction import (
    cross_validated_probabilities,
    stratified_folds,
)
from robustjax.methods.label_correction._cross_validation import _without_held_out
from robustjax.models import BatchNorm
from robustjax.training import Algorithm

KEY = jax.random.key(0)


class Normalised(nn.Module):
    """A network with batch statistics."""

    @nn.compact
    def __call__(self, inputs, *, train=False, mask=None):
        x = nn.Dense(16)(inputs.reshape(inputs.shape[0], -1))
        return nn.Dense(3)(nn.relu(BatchNorm()(x, train=train, mask=mask)))


def settings(**changes):
    """Of small networks that memorise what they are shown."""
    kept = {"hidden": (64,), "epochs": 60, "batch_size": 16, "learning_rate": 0.05}
    return methods.ClassifierSettings(**(kept | {"drop_epochs": ()} | changes))


@pytest.fixture(scope="module")
def nonsense():
    """Random labels of random points: nothing to learn, everything to memorise."""
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(60, 20)).astype(np.float32)
    return inputs, rng.permutation(np.arange(60) % 3), np.arange(60) % 4


@pytest.mark.parametrize(("count", "folds"), [(100, 5), (103, 4), (7, 7)])
def test_folds_are_alike(rng, count, folds):
    labels = rng.choice(3, count, p=[0.7, 0.2, 0.1])
    fold_of = stratified_folds(labels, folds, KEY)
    for part in (labels >= 0, *(labels == k for k in range(3))):
        sizes = np.bincount(fold_of[part], minlength=folds)
        assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(fold_of, stratified_folds(labels, folds, KEY))
    if folds < count:
        assert (fold_of != stratified_folds(labels, folds, jax.random.key(1))).any()


@pytest.mark.slow
def test_a_memorising_network_does_not_reveal_held_out_labels(nonsense):
    inputs, labels, fold_of = nonsense
    learned = {}

    def predict(labels):
        return cross_validated_probabilities(
            (inputs, labels),
            key=KEY,
            folds=fold_of,
            settings=settings(),
            on_epoch=lambda kind, epoch, metrics: learned.update(metrics),
        )

    first = predict(labels)
    assert learned["accuracy"].shape == (4,)
    # All four networks have memorised all they were shown.
    np.testing.assert_array_equal(learned["accuracy"], 1)
    assert (first.argmax(1) == labels).mean() < 0.6
    # Other labels of fold 0 change all predictions but those of fold 0.
    changed = np.where(fold_of == 0, (labels + 1) % 3, labels)
    second = predict(changed)
    np.testing.assert_array_equal(second[fold_of == 0], first[fold_of == 0])
    assert (second != first).any(axis=1)[fold_of != 0].all()


@pytest.mark.slow
def test_held_out_inputs_do_not_enter_batch_statistics(nonsense):
    """Nor does the last row, which fills up the last batch and is held out, too."""
    inputs, labels, fold_of = nonsense
    fold_of = fold_of[::-1]
    assert fold_of[-1] == 0
    elsewhere = np.flatnonzero(fold_of == 0)[1:]
    row = np.flatnonzero(fold_of == 0)[0]
    moved = inputs.copy()
    moved[elsewhere] += 100

    def predict(inputs):
        # 45 training examples in batches of 16: the last one has padding.
        return cross_validated_probabilities(
            (inputs, labels),
            key=KEY,
            folds=fold_of,
            settings=settings(epochs=3),
            model=Normalised(),
        )

    first, second = predict(inputs), predict(moved)
    np.testing.assert_array_equal(second[row], first[row])
    assert (second != first).any(axis=1)[fold_of != 0].all()


def test_epochs_visit_every_training_example_once_and_no_other():
    weights = jnp.asarray(np.arange(23) % 4 != 1, jnp.float32)
    nothing = [None] * 5
    order = _without_held_out(Algorithm(*nothing), 3).order

    class State:
        class loss_state:  # noqa: N801
            rows = ({"weight": weights}, ())

    orders = [
        np.asarray(order(jax.random.key(epoch), State, 23, 7, 23)) for epoch in (0, 1)
    ]
    for found in orders:
        assert found.shape == (3, 7)
        kept = found.ravel()[found.ravel() < 23]
        np.testing.assert_array_equal(np.sort(kept), np.flatnonzero(weights))
        np.testing.assert_array_equal(found.ravel()[len(kept) :], 23)
    assert (orders[0] != orders[1]).any()


@pytest.mark.slow
def test_wrong_labels_of_digits_are_found():
    whole = data.take(data.load("digits", "train"), np.arange(450))
    rng = np.random.default_rng(3)
    wrong = rng.random(450) < 0.1
    labels = np.where(
        wrong, (whole.labels + rng.integers(1, 10, 450)) % 10, whole.labels
    )
    dataset = data.make_dataset(whole.inputs, labels, ids=whole.ids)
    p = cross_validated_probabilities(
        dataset, key=KEY, folds=3, settings=settings(epochs=15, batch_size=32)
    )
    assert p.shape == (450, 10)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert (p.argmax(1) == whole.labels).mean() > 0.88
    flagged = scores.find_label_issues(labels, p)
    assert wrong[flagged].mean() > 0.7
    assert flagged[wrong].mean() > 0.7


@pytest.mark.slow
def test_defaults_fit_a_small_data_set(nonsense):
    """Batches shrink to the training sets."""
    inputs, labels, _ = nonsense
    p = cross_validated_probabilities((inputs[:9], labels[:9]), key=KEY, folds=3)
    assert p.shape == (9, 3)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("folds", "changes", "message"),
    [
        (1, {}, "folds: got 1, expected an integer >= 2"),
        (61, {}, "folds: got 61, expected at most the number of examples, 60"),
        (np.zeros(60, int), {}, "folds: got 1, expected an integer >= 2"),
        (np.repeat([0, 2], 30), {}, "folds: class.es. 1 have no example"),
        (np.arange(30) % 2, {}, "folds: lengths differ"),
        (4, {"batch_size": 46}, "batch_size: got 46, expected at most .*, 45"),
    ],
)
def test_bad_arguments(nonsense, folds, changes, message):
    inputs, labels, _ = nonsense
    with pytest.raises(ValueError, match=message):
        cross_validated_probabilities(
            (inputs, labels), key=KEY, folds=folds, settings=settings(**changes)
        )
