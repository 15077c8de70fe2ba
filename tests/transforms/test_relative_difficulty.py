"""Averaged losses, and LfF's weights, against plain NumPy over several steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax import transforms

N, C, B = 9, 3, 4
SPEC = rj.ExampleSpec(N, C)
CLASSES = np.random.default_rng(1).integers(0, C, N)


def visits(steps=7, seed=0):
    """Batches without repetition, the last rows of some padded, and two networks."""
    rng = np.random.default_rng(seed)
    for step in range(steps):
        index = rng.choice(N, B, replace=False)
        mask = np.arange(B) < (B if step % 3 else B - 1)
        logits = rng.normal(size=(2, B, C)).astype(np.float32) * 2
        batch = {
            "index": np.where(mask, index, N).astype(np.int32),
            "mask": mask,
            "label": CLASSES[index].astype(np.int32),
        }
        yield batch, logits


def cross_entropy(logits, labels):
    p = np.exp(logits - logits.max(1, keepdims=True))
    return -np.log(p[np.arange(len(labels)), labels] / p.sum(1))


def reference(decay, normalize):
    """Weights of every step, by a loop over examples."""
    average, seen = np.zeros((N, 2)), np.zeros(N, bool)
    for batch, logits in visits():
        real = np.flatnonzero(batch["mask"])
        for row in real:
            i = batch["index"][row]
            for k in range(2):
                loss = cross_entropy(logits[k], batch["label"])[row]
                old = average[i, k]
                average[i, k] = decay * old + (1 - decay) * loss if seen[i] else loss
            seen[i] = True
        weights = np.zeros(B)
        for row in real:
            i = batch["index"][row]
            level = average[i].copy()
            if normalize:
                same = (CLASSES[i] == CLASSES) & seen
                level /= average[same].max(axis=0)
            weights[row] = level[0] / (level[0] + level[1] + 1e-8)
        yield batch["mask"], weights, average.copy()


def step_of(tx):
    @jax.jit
    def step(state, batch, logits):
        terms, state = tx.update(
            rj.start(batch), state, batch, biased_logits=logits[0], logits=logits[1]
        )
        return terms, state

    return step


@pytest.mark.parametrize(
    ("decay", "normalize"), [(0.7, True), (0.7, False), (0.0, False), (1.0, True)]
)
def test_weights_equal_a_loop_over_examples(decay, normalize):
    tx = transforms.relative_difficulty(decay, normalize=normalize)
    step, state = step_of(tx), tx.init(SPEC)
    for (batch, logits), (mask, want, average) in zip(
        visits(), reference(decay, normalize), strict=True
    ):
        terms, state = step(state, batch, logits)
        np.testing.assert_allclose(terms.weight[mask], want[mask], rtol=2e-5)
        np.testing.assert_allclose(state.rows["average"], average, rtol=2e-5)
        assert terms.reduction is rj.Reduction.MEAN


def test_equal_networks_give_a_half_and_old_weights_are_multiplied():
    tx = transforms.relative_difficulty()
    step, state = step_of(tx), tx.init(SPEC)
    for batch, logits in visits(3):
        terms, state = step(state, batch, np.stack([logits[0]] * 2))
        np.testing.assert_allclose(terms.weight[batch["mask"]], 0.5, rtol=1e-5)
    batch, logits = next(iter(visits(1)))

    @jax.jit
    def weighted(state):
        terms = rj.start(batch).replace(weight=jnp.full(B, 3.0))
        same = jnp.asarray(logits[1])
        return tx.update(terms, state, batch, biased_logits=same, logits=same)

    terms, _ = weighted(tx.init(SPEC))
    np.testing.assert_allclose(terms.weight[batch["mask"]], 1.5, rtol=1e-5)


def test_the_order_of_a_batch_does_not_matter():
    tx = transforms.relative_difficulty()
    step, state = step_of(tx), tx.init(SPEC)
    batch, logits = list(visits(2))[1]
    turned = {name: array[::-1] for name, array in batch.items()}
    terms, one = step(state, batch, logits)
    other_terms, other = step(state, turned, logits[:, ::-1])
    jax.tree.map(np.testing.assert_array_equal, one, other)
    np.testing.assert_array_equal(terms.weight, other_terms.weight[::-1])


def test_both_losses_zero_give_no_nan():
    tx = transforms.relative_difficulty()
    batch, _ = next(iter(visits(1)))
    sure = 80 * np.eye(C, dtype=np.float32)[batch["label"]]
    terms, _ = step_of(tx)(tx.init(SPEC), batch, np.stack([sure] * 2))
    np.testing.assert_array_equal(terms.weight, 0.0)


def test_averaged_losses_equal_a_loop_and_are_scaled_by_class():
    tx = rj.chain(rj.ce(), transforms.averaged_losses(0.7))
    state = tx.init(SPEC)

    @jax.jit
    def step(state, batch, logits):
        return tx.update(rj.start(batch), state, batch, logits=logits)[1]

    for (batch, logits), (_, _, average) in zip(visits(), reference(0.7, True)):
        state = step(state, batch, logits[1])
        np.testing.assert_allclose(state.rows[1]["average"], average[:, 1], rtol=2e-5)
    seen = np.asarray(state.rows[1]["class"]) >= 0
    got = np.asarray(transforms.read_averaged_losses(state.rows[1], N, C))
    raw = transforms.read_averaged_losses(state.rows[1], N, C, normalize=False)
    np.testing.assert_array_equal(np.isnan(got), ~seen)
    np.testing.assert_array_equal(np.isnan(raw), ~seen)
    for c in range(C):
        own = (c == CLASSES) & seen
        want = average[own, 1] / average[own, 1].max()
        np.testing.assert_allclose(got[own], want, rtol=2e-5)
        assert got[own].max() == 1


def test_class_maxima_ignore_foreign_rows():
    values = jnp.array([3.0, 5.0, 1.0, 9.0, 9.0])
    found = transforms.class_maxima(values, jnp.array([0, 0, 2, -1, 3]), 3)
    np.testing.assert_array_equal(found, [5, 0, 1])


@pytest.mark.slow
def test_bad_arguments():
    for make in (transforms.relative_difficulty, transforms.averaged_losses):
        with pytest.raises(ValueError, match="decay: got 1.5"):
            make(1.5)
    tx = transforms.relative_difficulty()
    batch = {"index": jnp.arange(2), "label": jnp.zeros(2, jnp.int32)}
    with pytest.raises(TypeError, match="needs the argument 'biased_logits'"):
        tx.update(rj.start(batch), tx.init(SPEC), batch, logits=jnp.zeros((2, C)))
    rows = transforms.averaged_losses().init(SPEC).rows
    with pytest.raises(ValueError, match="num_examples: got 10, expected at most"):
        transforms.read_averaged_losses(rows, 10, C)


def test_a_loss_that_is_not_finite_does_not_silence_its_class():
    """It shows in every weight of the class, and not as weights of 0."""
    tx = rj.chain(transforms.relative_difficulty(), rj.ce())
    state = tx.init(SPEC)
    batch, logits = next(visits())
    biased = logits[0].copy()
    biased[0] = np.nan
    terms, _ = tx.update(
        rj.start(batch), state, batch, logits=logits[1], biased_logits=biased
    )
    own = batch["label"] == batch["label"][0]
    assert np.isnan(terms.weight[own & batch["mask"]]).all()
    assert np.isfinite(terms.weight[~own & batch["mask"]]).all()
    assert not np.isfinite(rj.reduce(terms))
