"""ALC's selection against plain NumPy, and its flags."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import graph, methods
from robustjax.methods.label_correction import CorrectionState
from robustjax.methods.label_correction._correction_loop import RoundModel
from tests.methods import problem

N, C = 300, 4


def fake(rng):
    """A trainer, a model and a state of one repeat, without any training."""
    points = rng.normal(size=(N, 3)).astype(np.float32)
    trainer = types.SimpleNamespace(
        inputs=jnp.asarray(points),
        points=lambda: points,
        spec=types.SimpleNamespace(num_examples=N),
        cache={},
    )
    logits = rng.normal(size=(1, N, C)) * rng.uniform(0.2, 3, (1, N, 1))
    weights = rng.permutation(np.linspace(0.1, 1.9, N))[None]
    queried = np.zeros((1, N), bool)
    queried[0, rng.choice(N, 30, replace=False)] = True
    model = RoundModel(
        fitted=None,
        logits=jnp.asarray(logits, jnp.float32),
        weights=jnp.asarray(weights, jnp.float32),
    )
    state = CorrectionState(None, jnp.asarray(queried), None, None, ())
    return points, trainer, model, state


def numpy_selection(points, model, state, count, factor, mode):
    """Candidates by weight, entropies, and the diffusion, in float64."""
    logits = np.asarray(model.logits[0], np.float64)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    e = -(p * np.log(p)).sum(1)
    weights = np.asarray(model.weights[0])
    free = [j for j in np.argsort(weights) if not state.queried[0, j]]
    free = free[: int(factor * count)]
    transition = graph.neighbor_graph(points, 10).transition
    matrix = np.asarray(transition.todense(), np.float64)
    picks = []
    for _ in range(count):
        x = max(free, key=lambda j: e[j])
        free.remove(x)
        picks.append(x)
        if mode == "literal":
            for _ in range(10):
                e[x] = 0
                e = 0.9 * e + 0.1 * matrix @ e
        elif mode == "delta":
            h = np.zeros(N)
            for _ in range(10):
                h[x] = 1
                h = 0.9 * h + 0.1 * matrix @ h
            h[x] = 1
            e = np.maximum(e - e[x] * h, 0)
    return picks


@pytest.mark.parametrize("mode", ["literal", "delta", None])
@pytest.mark.parametrize("factor", [2.0, 5.0])
def test_selection_equals_numpy(mode, factor, rng):
    points, trainer, model, state = fake(rng)
    propagation = None if mode is None else methods.Propagation(mode=mode)
    method = methods.ActiveLabelCorrection(
        propagation=propagation, candidates_per_query=factor
    )
    picks, _ = method.select(trainer, model, state, None, 12)
    want = numpy_selection(points, model, state, 12, factor, mode)
    np.testing.assert_array_equal(picks[0], want)


def test_all_candidates_and_exhausted_pool(rng):
    _, trainer, model, state = fake(rng)
    method = methods.ActiveLabelCorrection(propagation=None, candidates_per_query=None)
    picks, _ = method.select(trainer, model, state, None, N - 30)
    assert set(np.asarray(picks[0])) == set(np.flatnonzero(~state.queried[0]))


@pytest.mark.slow
def test_weights_and_flags_reach_the_training():
    trainer = problem.trainer()
    _, _, noisy = problem.digits()
    keys = jax.random.split(jax.random.key(1), problem.REPEATS)
    for flags in ({}, {"loss_pass": "training"}, {"weight_scale": 1e30}):
        method = methods.ActiveLabelCorrection(**flags)
        run = problem.make_run(method)
        model, _ = method.train(trainer, run.start(noisy), keys)
        weights = np.asarray(model.weights)
        np.testing.assert_allclose(weights.mean(1), 1, rtol=1e-4)
        wrong = noisy != problem.digits()[0].labels[None]
        if "weight_scale" in flags:
            np.testing.assert_array_equal(weights, 1)
        else:
            assert weights[wrong].mean() < weights[~wrong].mean() - 0.2


@pytest.mark.slow
def test_hidden_graph_and_warm_start_and_extra_epochs():
    method = methods.ActiveLabelCorrection(
        propagation=methods.Propagation(space="hidden", mode="delta"),
        warm_start=True,
        extra_epochs=2,
    )
    state, noisy = problem.finished(method)
    accuracy = methods.selection_accuracy(
        np.asarray(state.picks), noisy, problem.BUDGET
    )
    assert accuracy.mean() > 0.9
    assert state.accuracy[:, -1].mean() > 0.6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: methods.ActiveLabelCorrection(candidates_per_query=0.5), "got 0.5"),
        (lambda: methods.ActiveLabelCorrection(weight_step=2), "weight_step: got 2"),
        (
            lambda: methods.ActiveLabelCorrection(weight_scale="x"),
            "weight_scale: unknown",
        ),
        (lambda: methods.ActiveLabelCorrection(extra_epochs=-1), "extra_epochs"),
        (lambda: methods.Propagation(mode="both"), "mode: unknown 'both'; known: lit"),
        (lambda: methods.Propagation(space="pixel"), "space: unknown 'pixel'"),
        (lambda: methods.Propagation(neighbors=0), "neighbors: got 0"),
        (lambda: methods.ClassifierSettings(epochs=0), "epochs: got 0"),
        (lambda: methods.ClassifierSettings(learning_rate=0), "learning_rate: got 0"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()
