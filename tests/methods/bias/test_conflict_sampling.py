"""Batches with a given share of conflicting examples, of a given number of them."""

import jax
import numpy as np
import optax
import pytest

from robustjax.methods import bias
from tests.methods.bias import problem

X, Y, BIAS = problem.arrays()
CONFLICTING = Y[0] != BIAS
SIZE = int(CONFLICTING.sum())


def make(conflicting=CONFLICTING, epochs=1, **options):
    return bias.conflict_sampling(
        problem.MODEL,
        optax.adam(3e-2),
        epochs=epochs,
        conflicting=conflicting,
        **options,
    )


@pytest.mark.parametrize("diversity", [None, 3 / problem.N, 0.1])
@pytest.mark.parametrize("sampling", [0.01, 0.5])
def test_draws_are_those_of_a_group_chosen_first(diversity, sampling):
    algorithm = make(sampling_ratio=sampling, diversity_ratio=diversity)
    algorithm = algorithm.phases[0].algorithm
    state = problem.first_state(algorithm)
    draws = np.asarray(state.loss_state.rows["draws"]["draws_per_epoch"])
    count = SIZE if diversity is None else round(diversity * problem.N)
    seen = CONFLICTING & (draws > 0)
    assert seen.sum() == count
    # At even distances: between two of them are as many others, or one more.
    gaps = np.diff(np.flatnonzero(seen[CONFLICTING]))
    assert np.ptp(gaps) <= 1
    want = np.where(seen, sampling / count, 0)
    want[~CONFLICTING] = (1 - sampling) / (problem.N - SIZE)
    np.testing.assert_allclose(draws / problem.N, want, rtol=1e-6)

    @jax.jit
    def drawn(key):
        return algorithm.order(key, state, problem.N, problem.BATCH, problem.N)

    keys = jax.random.split(jax.random.key(0), 60)
    index = np.concatenate([np.ravel(drawn(key)) for key in keys])
    index = index[index < problem.N]
    assert index.size == 60 * problem.N
    found = np.bincount(index, minlength=problem.N)
    assert not found[want == 0].any()
    for expected, number in (
        (sampling, found[CONFLICTING].sum()),
        *zip(want, found, strict=True),
    ):
        deviation = np.sqrt(expected * (1 - expected) / index.size)
        assert abs(number / index.size - expected) <= 4.5 * deviation


def test_what_is_seen_often_is_learned():
    """The bias is trusted less, the more often it is contradicted."""
    x, labels = X, Y[0]
    losses = []
    for sampling in (0.02, 0.5):
        program, states = problem.run(make(epochs=25, sampling_ratio=sampling))
        state = states[-1]._replace(key=jax.random.split(jax.random.key(0), 2))
        logits = np.asarray(program.predict(state, x))[0]
        peak = logits.max(-1, keepdims=True)
        logits = logits - peak
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        losses.append(-logs[np.arange(problem.N), labels][CONFLICTING].mean())
    assert losses[1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"conflicting": [0, 1]}, "conflicting: got int64 of shape .2,., expected b"),
        ({"conflicting": [[True], [False]]}, "conflicting: got bool of shape .2, 1."),
        ({"conflicting": [False] * 4}, "conflicting: got 0 of 4 examples, expected s"),
        ({"conflicting": [True] * 4}, "conflicting: got 4 of 4 examples"),
        ({"sampling_ratio": 0.0}, r"sampling_ratio: got 0.0, expected .* \(0, 1\)"),
        ({"sampling_ratio": 1.0}, "sampling_ratio: got 1.0"),
        ({"diversity_ratio": 1.0}, "diversity_ratio: got 1.0"),
        ({"diversity_ratio": 0.01}, "diversity_ratio: got 0.01, which is 0 of 44 ex"),
        (
            {"diversity_ratio": 0.5},
            f"diversity_ratio: got 0.5, which is 22 of 44 examples, expected 1 to the "
            f"{SIZE} that conflict",
        ),
    ],
)
def test_bad_arguments(given, message):
    with pytest.raises(ValueError, match=message) as caught:
        make(**given)
    assert "\n" not in str(caught.value)


def test_groups_of_another_number_of_examples():
    algorithm = make(np.array([True, False])).phases[0].algorithm
    with pytest.raises(ValueError, match="conflicting: got 2 for 44 examples"):
        problem.first_state(algorithm)
