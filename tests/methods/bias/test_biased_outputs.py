"""A biased and a debiased network's outputs for all examples, in one call."""

import jax
import numpy as np
import pytest

from robustjax import data, scores
from robustjax.methods import bias
from robustjax.models import MLP

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def digits():
    """700 digits, one in twenty of a colour that is not its class's."""
    plain = data.take(data.load("digits", "train"), np.arange(700))
    return data.colored_mnist(plain, 0.95, KEY, assignment="random")


@pytest.mark.slow
def test_all_scores_find_conflicting_digits(digits):
    epochs = []
    found = bias.biased_outputs(
        digits.dataset,
        key=KEY,
        batch_size=64,
        epochs=15,
        report=lambda epoch, metrics: epochs.append((epoch, sorted(metrics))),
    )
    assert [epoch for epoch, _ in epochs] == list(range(15))
    assert found.features.shape == (700, 100)
    judged = scores.bias_conflict_scores(digits.dataset.labels, **found._asdict())
    truth = ~digits.is_aligned
    for name in scores.CONFLICT_SCORES:
        score = getattr(judged, name)
        ranked = scores.ood_detection_metrics(score[~truth], score[truth])
        assert ranked.auroc > 0.8, (name, ranked.auroc)
    # Chance would be one in twenty.
    assert truth[judged.ranking[:20]].mean() > 0.7


def test_outputs_are_those_of_the_network(digits):
    """Probabilities follow from the features by one linear layer."""
    small = data.take(digits.dataset, np.arange(60))
    network = MLP(10, (11,))
    found = bias.biased_outputs(
        small, key=KEY, debiased=False, epochs=1, batch_size=20, model=network
    )
    assert found.debiased_probabilities is None
    assert found.features.shape == (60, 11)
    assert found.features.min() == 0
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    # Centred log-probabilities are centred logits, whose rank is that of features.
    logits = np.log(found.probabilities)
    logits -= logits.mean(axis=1, keepdims=True)
    design = np.c_[found.features, np.ones(60)]
    fitted = design @ np.linalg.lstsq(design, logits, rcond=None)[0]
    np.testing.assert_allclose(fitted, logits, atol=1e-4)
    again = bias.biased_outputs(
        (small.inputs, small.labels),
        key=KEY,
        debiased=False,
        epochs=1,
        batch_size=20,
        model=network,
    )
    np.testing.assert_array_equal(again.probabilities, found.probabilities)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: got 0"),
        ({"batch_size": 701}, "batch_size: got 701, expected at most"),
        ({"q": 0.0}, "q: got 0.0"),
    ],
)
def test_bad_arguments(digits, options, message):
    with pytest.raises(ValueError, match=message):
        bias.biased_outputs(digits.dataset, key=KEY, **options)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (1.7e12 + np.eye(4), "inputs: got numbers from .* expected a range"),
        (2**32 * np.eye(4, dtype=np.int64), "inputs: got 4294967296, expected integ"),
    ],
)
def test_inputs_that_would_be_others_on_the_device_are_refused(inputs, message):
    with pytest.raises(ValueError, match=message):
        bias.biased_outputs((inputs, [0, 1, 0, 1]), key=KEY)
