"""Epoch rules by step count, and states moved to another padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj

N, C, B = 8, 3, 4
SPEC = rj.ExampleSpec(N, C)


def stream(rng, epochs):
    """Batches without end: every example once in every two."""
    index = np.concatenate([rng.permutation(N) for _ in range(epochs)]).reshape(-1, B)
    labels = rng.integers(0, C, N)[index]
    logits = rng.normal(size=(*index.shape, C)).astype(np.float32)
    return jnp.asarray(index), jnp.asarray(labels), jnp.asarray(logits)


def by_hand(tx, batches, losses=None):
    state, values = tx.init(SPEC), []
    for step, (index, labels, logits) in enumerate(zip(*batches)):
        loss, state = rj.value(tx, state, logits, labels, index)
        values.append(loss)
        if losses is not None:
            losses = losses.at[index].set(rj.losses.cross_entropy(logits, labels))
        if step % 2:
            state = tx.epoch(state, losses=losses)
    return state, jnp.stack(values)


def counted(tx, batches):
    @jax.jit
    def run(state, batches):
        def step(state, batch):
            index, labels, logits = batch
            loss, state = rj.value(tx, state, logits, labels, index)
            return state, loss

        return jax.lax.scan(step, state, batches)

    return run(tx.init(SPEC), batches)


@pytest.mark.parametrize(
    "make",
    [
        lambda: rj.chain(rj.alpha_weights(0.5, loss_pass="training"), rj.ce()),
        lambda: rj.chain(rj.ce(), rj.small_loss(lambda epoch: 0.2 * epoch)),
        lambda: rj.inject_hyperparams(rj.gce, per="epoch")(q=lambda epoch: epoch / 8),
    ],
    ids=["alpha", "small_loss", "injected"],
)
def test_the_rule_by_count_is_the_rule_by_hand(make, rng):
    batches = stream(rng, 3)
    state, want = by_hand(make(), batches)
    got_state, got = counted(rj.epoch_every(make(), 2), batches)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        rj.LossState(got_state.rows["inner"], got_state.shared["inner"]),
        state,
    )


def test_losses_are_those_of_the_last_visit(rng):
    def make():
        return rj.chain(rj.alpha_weights(0.5), rj.truncated_gce(k=0.3))

    batches = stream(rng, 3)
    state, want = by_hand(make(), batches, losses=jnp.zeros(N))
    got_state, got = counted(rj.epoch_every(make(), 2), batches)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_allclose(
        got_state.rows["inner"][0]["weight"], state.rows[0]["weight"], rtol=1e-5
    )


def test_who_was_never_visited_has_the_mean(rng):
    tx = rj.epoch_every(rj.chain(rj.alpha_weights(1.0, scale=1.0), rj.ce()), 1)
    index, labels, logits = (leaf[0] for leaf in stream(rng, 1))
    _, state = rj.value(tx, tx.init(SPEC), logits, labels, index)
    losses = np.full(N, np.nan)
    losses[np.asarray(index)] = rj.losses.cross_entropy(logits, labels)
    losses = np.where(np.isnan(losses), np.nanmean(losses), losses)
    g = np.exp(-(losses**2))
    np.testing.assert_allclose(
        state.rows["inner"][0]["weight"], g / g.mean(), rtol=1e-4
    )


def test_the_recorded_loss_is_of_the_given_label_and_may_be_infinite(rng):
    """Whatever stands before it rewrote; what is not finite is not the mean."""
    inner = rj.alpha_weights(1.0, scale=1.0)
    tx = rj.chain(rj.given_labels(1.0), rj.epoch_every(inner, 1), rj.ce())
    index, labels, logits = (leaf[0] for leaf in stream(rng, 1))
    labels = labels.at[1].set(C + 4)  # Unknown, and replaced by its row.
    state = tx.init(SPEC)
    rows = ({"label": jnp.full((N, C), 1 / C)}, *state.rows[1:])
    loss, state = rj.value(tx, state._replace(rows=rows), logits, labels, index)
    assert np.isfinite(loss)
    seen = np.asarray(rj.losses.cross_entropy(logits, labels))
    losses = np.full(N, np.nanmean(seen))
    losses[np.asarray(index)] = seen
    g = np.where(np.isnan(losses), 0, np.exp(-(losses**2)))
    np.testing.assert_allclose(
        state.rows[1]["inner"]["weight"], g / g.mean(), rtol=1e-4
    )


def test_the_epochs_of_others_do_nothing():
    tx = rj.epoch_every(rj.chain(rj.alpha_weights(), rj.ce()), 5)
    state = tx.init(SPEC)
    assert tx.epoch(state) is state
    assert not tx.needs
    with pytest.raises(ValueError, match="steps: got 0"):
        rj.epoch_every(rj.ce(), 0)


@pytest.mark.slow
def test_repad_keeps_examples_and_makes_padding_anew(rng):
    tx = rj.chain(rj.alpha_weights(0.5), rj.truncated_gce(), rj.elr())
    batches = stream(rng, 1)
    state, _ = by_hand(tx, batches, losses=jnp.zeros(N))
    wide = rj.ExampleSpec(N, C, pad_to=5)
    moved = rj.repad(tx, state, wide)
    fresh = tx.init(wide)
    jax.tree.map(
        lambda new, old, start: (
            np.testing.assert_array_equal(new[:N], old),
            np.testing.assert_array_equal(new[N:], start[N:]),
        ),
        moved.rows,
        state.rows,
        fresh.rows,
    )
    jax.tree.map(np.testing.assert_array_equal, moved.shared, state.shared)
    back = rj.repad(tx, moved, SPEC)
    jax.tree.map(np.testing.assert_array_equal, back, state)
    for other in (N + 1, N - 3):
        with pytest.raises(ValueError, match=f"spec: got num_examples {other}, expec"):
            rj.repad(tx, state, rj.ExampleSpec(other, C))
    with pytest.raises(ValueError, match=r"state: got rows of shape \(8, 3\), expecte"):
        rj.repad(tx, state, rj.ExampleSpec(N, C + 1))
