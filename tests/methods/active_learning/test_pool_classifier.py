"""The classifier of open-set active learning: what trains it, and what does not."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import spearmanr

from robustjax import models
from robustjax.methods.active_learning import UNASKED, NetworkPoolClassifier
from robustjax.methods.active_learning._pool_classifier import VARIANTS
from robustjax.models import BatchNorm
from robustjax.training import as_float
from tests.methods.feature_problem import NormalizedFeatures

N, K = 120, 3
KEY = jax.random.key(0)


@functools.cache
def pool():
    """(inputs, true labels): three classes, and OOD examples (label 3) elsewhere."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, K + 1, N)
    centers = np.array([[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0], [-2, -2, -2, 3]])
    inputs = centers[labels] + 0.7 * rng.normal(size=(N, 4))
    return inputs.astype(np.float32), labels


def answers(count, seed=1, classes=range(K + 1)):
    """Labels of some examples; the others are not asked for."""
    _, truth = pool()
    allowed = np.flatnonzero(np.isin(truth, [*classes]))
    rows = np.random.default_rng(seed).permutation(allowed)[:count]
    labels = np.full(N, UNASKED)
    labels[rows] = truth[rows]
    return labels


def make(inputs=None, make_model=lambda outputs: models.MLP(outputs, (16,)), **options):
    options = {
        "epochs": 5,
        "steps_per_epoch": 8,
        "batch_size": 16,
        "block_size": 50,
        **options,
    }
    inputs = pool()[0] if inputs is None else inputs
    optimizer = optax.sgd(0.1, momentum=0.9)
    return NetworkPoolClassifier(make_model, inputs, K, optimizer, **options)


def compiled(classifier):
    """How many programs there are, of epochs and of looks."""
    programs = classifier._program.programs
    return [p._scan._cache_size() for p in programs] + [classifier._look._cache_size()]


def in_accuracy(observation):
    _, truth = pool()
    guess = np.argmax(observation.logits[:, :K], axis=1)
    return np.mean((guess == truth)[truth < K])


CASES = {
    **{variant: {"variant": variant} for variant in VARIANTS},
    "ood_output": {"ood_output": True},
    "loss_prediction": {"loss_prediction": True},
    "loss_prediction_taufe": {"loss_prediction": True, "variant": "taufe"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_kind_learns_and_compiles_once(name):
    """More and fewer labels than a batch, with OOD examples and without."""
    classifier = make(**CASES[name])
    outputs = K + (name in ("ood_class", "ood_class_taufe", "ood_output"))
    assert classifier.num_outputs == outputs
    for labels in (answers(60), answers(9), answers(40, classes=range(K))):
        fitted = classifier.fit(KEY, labels)
        seen = classifier.observe(fitted)
        assert in_accuracy(seen) > 0.85
    phases = 2 if name.startswith("loss_prediction") else 1
    assert compiled(classifier) == [1] * (phases + 1)

    assert seen.logits.shape == (N, outputs)
    assert seen.features.shape == (N, 16)
    kernel, bias = seen.head
    np.testing.assert_allclose(
        seen.logits, seen.features @ kernel + bias[None], rtol=1e-4, atol=1e-4
    )
    predicted = classifier.predict(fitted, pool()[0][:7])
    np.testing.assert_allclose(predicted, seen.logits[:7], rtol=1e-4, atol=1e-4)
    if phases == 2:
        assert seen.predicted_losses.shape == (N,)
        assert np.std(seen.predicted_losses) > 0
    else:
        assert seen.predicted_losses is None


@pytest.mark.slow
def test_what_labeled_ood_examples_do():
    _, truth = pool()
    labels, is_ood = answers(80), truth == K
    seen = {}
    for name, options in CASES.items():
        if "loss" not in name:
            classifier = make(**options, taufe_weight=1.0)
            seen[name] = classifier.observe(classifier.fit(KEY, labels))
    found = {
        name: np.mean(np.argmax(each.logits, axis=1)[is_ood] == K)
        for name, each in seen.items()
    }
    assert found["ood_class"] > 0.9
    assert found["ood_class_taufe"] > 0.9
    # Its output has seen negatives alone.
    assert found["ood_output"] == 0
    # TAUFE takes features away from OOD examples.
    share = {
        name: np.mean(each.features[is_ood] ** 2) / np.mean(each.features[~is_ood] ** 2)
        for name, each in seen.items()
    }
    assert share["taufe"] < 0.5 * share["in_only"]
    assert share["ood_class_taufe"] < 0.5 * share["ood_class"]


@pytest.mark.parametrize("variant", ["in_only", "taufe", "ood_class"])
def test_examples_without_a_role_have_no_influence(variant):
    labels = answers(30)
    classifier = make(variant=variant)
    unused = labels == UNASKED
    if variant == "in_only":
        # To train on IN examples alone, an OOD answer is like none.
        unused |= labels == K
    inputs = np.where(unused[:, None], np.float32(1e6), pool()[0])
    want = classifier.fit(KEY, labels)
    got = classifier.on(inputs).fit(KEY, np.where(unused, UNASKED, labels))
    chex.assert_trees_all_equal(got, want)
    assert compiled(classifier)[0] == 1
    # An answer that is used does make a difference.
    row = np.flatnonzero(labels == 0)[0]
    other = classifier.fit(KEY, np.where(np.arange(N) == row, 1, labels))
    leaves = zip(jax.tree.leaves(other), jax.tree.leaves(want), strict=True)
    assert max(float(jnp.abs(a - b).max()) for a, b in leaves) > 1e-4


@pytest.mark.slow
def test_taufe_without_ood_answers_is_half_a_batch_of_the_others():
    """With fewer answers than places, either batch holds all of them."""
    few = answers(6, classes=range(K))
    # Its running averages would notice a batch of padding.
    options = {"epochs": 1, "steps_per_epoch": 3, "make_model": NormalizedFeatures}
    taufe = make(variant="taufe", batch_size=32, **options).fit(KEY, few)
    plain = make(batch_size=16, **options).fit(KEY, few)
    chex.assert_trees_all_close(taufe, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_predicted_losses_are_ordered_as_losses_are():
    """In one half of the space labels are noise, so that losses are large there."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(400, 4)).astype(np.float32)
    hard = inputs[:, 0] > 0
    truth = np.where(hard, rng.integers(0, K, 400), (inputs[:, 1] > 0).astype(int))
    labels = np.where(np.arange(400) < 200, truth, UNASKED)
    classifier = make(
        inputs,
        loss_prediction=True,
        batch_size=32,
        epochs=10,
        make_model=lambda outputs: models.MLP(outputs, (16, 16)),
    )
    seen = classifier.observe(classifier.fit(KEY, labels))
    log_p = np.asarray(jax.nn.log_softmax(seen.logits))
    losses = -log_p[np.arange(400), truth]
    correlation = spearmanr(seen.predicted_losses[200:], losses[200:]).statistic
    assert correlation > 0.4, correlation
    predicted = np.asarray(seen.predicted_losses)[200:]
    assert predicted[hard[200:]].mean() > predicted[~hard[200:]].mean()


@pytest.mark.slow
def test_detachment_after_its_share_of_the_epochs():
    """A detached module, whatever its width, leaves the network as it is."""
    labels = answers(40)
    recipe = make(epochs=5, loss_prediction=True).recipe
    assert [phase.epochs for phase in recipe.phases] == [3, 2]

    def network(detach_after, width):
        classifier = make(
            epochs=2,
            loss_prediction=True,
            detach_after=detach_after,
            predictor_width=width,
        )
        return classifier.fit(KEY, labels).params["classifier"]

    def distance(first, second):
        leaves = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
        return max(float(jnp.abs(a - b).max()) for a, b in leaves)

    assert distance(network(0.0, 128), network(0.0, 3)) < 1e-6
    assert distance(network(1.0, 128), network(1.0, 3)) > 1e-3


class Biasless(NormalizedFeatures):
    def setup(self):
        self.first, self.norm = nn.Dense(self.width), BatchNorm()
        self.head = nn.Dense(self.num_classes, use_bias=False)


@pytest.mark.slow
def test_bytes_through_a_network_with_running_averages_and_no_biases():
    inputs = np.clip(40 * pool()[0] + 128, 0, 255).astype(np.uint8)
    classifier = make(inputs, Biasless, variant="taufe")
    fitted = classifier.fit(KEY, answers(40))
    seen = classifier.observe(fitted)
    assert in_accuracy(seen) > 0.7
    np.testing.assert_array_equal(seen.head[1], np.zeros(K))
    want = seen.features @ seen.head[0]
    np.testing.assert_allclose(seen.logits, want, rtol=1e-4, atol=1e-4)
    # Examples are seen as they are, whatever block they are in.
    model, variables = Biasless(K), {"params": fitted.params, **fitted.model_state}
    want = model.apply(variables, inputs.astype(np.float32) / 255)
    np.testing.assert_allclose(seen.logits, want, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_images():
    rng = np.random.default_rng(0)
    labels = np.arange(24) % K
    images = rng.integers(0, 100, (24, 6, 6, 1)).astype(np.uint8)
    images[np.arange(24), 2 * labels] += 150
    classifier = NetworkPoolClassifier(
        lambda outputs: models.SmallCNN(
            outputs, ((8,),), hidden=(16,), convolution="patches"
        ),
        images,
        K,
        optax.adam(2e-2),
        epochs=2,
        steps_per_epoch=25,
        batch_size=8,
        loss_prediction=True,
        augment=lambda key, images: as_float(images),
        block_size=24,
    )
    given = np.where(np.arange(24) < 15, labels, UNASKED)
    seen = classifier.observe(classifier.fit(KEY, given))
    assert np.mean(np.argmax(seen.logits, axis=1) == labels) > 0.8
    assert seen.features.shape == (24, 16)
    assert seen.predicted_losses.shape == (24,)


def test_bad_arguments():
    for options, message in [
        ({"variant": "ood"}, "variant: unknown 'ood'"),
        ({"variant": "taufe", "batch_size": 15}, "batch_size: got 15, expected an ev"),
        ({"batch_size": N + 1}, "batch_size: got 121, expected at most"),
        ({"steps_per_epoch": 0}, "steps_per_epoch: got 0"),
        ({"epochs": 0, "loss_prediction": True}, "epochs: got 0"),
        ({"detach_after": 2.0, "loss_prediction": True}, "detach_after: got 2"),
        ({"make_model": lambda outputs: models.MLP(7)}, "make_model: got a network wi"),
        (
            {
                "make_model": lambda outputs: models.PreActResNet(18, outputs),
                "loss_prediction": True,
            },
            "classifier: got PreActResNet",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            make(**options)
    classifier = make()
    for labels, message in [
        (answers(20, classes=[K]), "labels: got no labelled IN example"),
        (np.full(N, UNASKED), "labels: got no labelled IN example"),
        (np.full(N, K + 1), "labels: got 4 at row 0, expected -1"),
        (np.full(N, -2), "labels: got -2 at row 0"),
        (np.zeros(N), "labels: got float64, expected integers"),
        (np.zeros(N - 1, int), r"labels: got shape \(119,\), expected"),
    ]:
        with pytest.raises(ValueError, match=message):
            classifier.fit(KEY, labels)
    with pytest.raises(ValueError, match="inputs: got float32 .119, 4., expected"):
        classifier.on(pool()[0][1:])


@pytest.mark.slow
def test_a_classifier_without_a_pool_waits_for_one():
    classifier = make(epochs=1, steps_per_epoch=1)
    fitted = classifier.fit(KEY, answers(20))
    empty = classifier.without_pool()
    for call in (lambda: empty.fit(KEY, answers(20)), lambda: empty.observe(fitted)):
        with pytest.raises(ValueError, match="inputs: got a classifier without a pool"):
            call()
    chex.assert_trees_all_equal(empty.on(pool()[0]).fit(KEY, answers(20)), fitted)
    with pytest.raises(ValueError, match="inputs: got float32 .119, 4., expected"):
        empty.on(pool()[0][1:])
