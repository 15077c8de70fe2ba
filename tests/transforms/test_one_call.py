"""What a foreign training loop calls, under guards and with k microbatches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj

N, C, B = 12, 3, 4
SPEC = rj.ExampleSpec(N, C)
INDEX = jnp.array([7, 0, 9, 3])
LABELS = jnp.array([0, 1, 2, 1])
LOGITS = jnp.sin(jnp.arange(B * C, dtype=jnp.float32)).reshape(B, C)


def test_value_is_start_update_reduce():
    tx = rj.chain(rj.alpha_weights(), rj.ce(), rj.elr())
    state = tx.init(SPEC)
    mask = jnp.array([True, True, True, False])
    batch = {"index": INDEX, "label": LABELS, "mask": mask}
    terms, want = tx.update(rj.start(batch), state, batch, logits=LOGITS)
    loss, got = rj.value(tx, state, LOGITS, LABELS, INDEX, mask)
    assert loss == rj.reduce(terms)
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_value_without_memory_needs_no_index():
    tx = rj.gce()
    loss, _ = rj.value(tx, tx.init(SPEC), LOGITS, LABELS)
    assert loss == jnp.mean(rj.losses.gce(LOGITS, LABELS))
    with pytest.raises(TypeError, match="expected .* with 'index'"):
        rj.value(rj.sop(), rj.sop().init(SPEC), LOGITS, LABELS)


def test_extra_arguments_are_entries_of_the_batch():
    tx = rj.box_head()
    boxes = jnp.array([[0.0, 0, 2, 2], [1, 1, 3, 3]])
    labels = jnp.zeros(2, int)
    got, _ = rj.value(tx, tx.init(SPEC), None, labels, boxes=boxes, box=boxes + 1)
    want = jnp.mean(rj.losses.smooth_l1(boxes, boxes + 1))
    np.testing.assert_allclose(got, want)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: rj.chain(rj.ce(), rj.elr()), "logits"),
        (
            lambda: rj.chain(rj.transforms.relative_difficulty(), rj.ce()),
            "biased_logits",
        ),
        (lambda: rj.chain(rj.ce(), rj.consistency()), "strong_logits"),
        (lambda: rj.chain(rj.ce(), rj.oat()), "ood_logits"),
    ],
)
def test_a_common_level_of_float64_logits_is_taken_out(make, name):
    tx, far = make(), np.asarray(LOGITS, np.float64)
    given = {
        "logits": far,
        "biased_logits": far[::-1],
        "strong_logits": far[::-1],
        "ood_logits": far,
    }

    def run(extra):
        batch = {"index": INDEX, "label": LABELS}
        terms, state = tx.update(rj.start(batch), tx.init(SPEC), batch, **extra)
        return rj.reduce(terms), state

    got = run(given | {name: given[name] + 1e9})
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, run(given)
    )


@pytest.mark.parametrize("soft", [False, True])
def test_sop_takes_distributions(soft):
    """One-hot labels equal indices; smoothed ones are the formula on distributions."""
    one_hot = jax.nn.one_hot(LABELS, C)
    given = 0.7 * one_hot + 0.1 if soft else one_hot
    tx = rj.sop(5.0, 3.0)
    state = tx.init(SPEC)
    state = state._replace(rows=jax.tree.map(lambda leaf: 5e7 * leaf, state.rows))
    loss, new = rj.value(tx, state, LOGITS, given, INDEX)
    if not soft:
        want, after = rj.value(tx, state, LOGITS, LABELS, INDEX)
        np.testing.assert_allclose(loss, want, rtol=1e-6)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), new, after
        )
    u, v = (np.asarray(state.rows[k], np.float64)[np.asarray(INDEX)] for k in "uv")
    Y, z = np.asarray(given, np.float64), np.asarray(LOGITS, np.float64)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    U, V = np.clip(u**2, 0, 1) * Y, np.clip(v**2, 0, 1) * (1 - Y)
    q = np.maximum(p + U - V, 1e-4)
    q = np.clip(q / q.sum(1, keepdims=True), 1e-4, 1)
    hit = np.eye(C)[z.argmax(1)]
    want = -(Y * np.log(q)).sum(1) + ((hit + U - V - Y) ** 2).sum(1)
    np.testing.assert_allclose(loss, want.mean(), rtol=1e-5)


def test_smoothing_before_sop():
    tx = rj.chain(rj.label_smoothing(0.3), rj.sop())
    loss, _ = rj.value(tx, tx.init(SPEC), LOGITS, LABELS, INDEX)
    smooth = rj.losses.smooth_labels(LABELS, C, smoothing=0.3)
    want, _ = rj.value(rj.sop(), rj.sop().init(SPEC), LOGITS, smooth, INDEX)
    np.testing.assert_allclose(loss, want, rtol=1e-6)


@pytest.mark.slow
def test_microbatches_move_the_rows_as_one_batch_does():
    tx = rj.sop(5.0, 3.0)
    state = tx.init(SPEC)
    state = state._replace(rows=jax.tree.map(lambda leaf: 5e7 * leaf, state.rows))
    whole, want = rj.value(tx, state, LOGITS, LABELS, INDEX)
    halves = []
    for part in (slice(0, 2), slice(2, 4)):
        loss, state = rj.value(
            tx, state, LOGITS[part], LABELS[part], INDEX[part], microbatches=2
        )
        halves.append(loss)
    np.testing.assert_allclose(np.mean(halves), whole, rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.rows, want.rows
    )
    with pytest.raises(ValueError, match="microbatches: got 0"):
        rj.value(tx, state, LOGITS, LABELS, INDEX, microbatches=0)


CHAINS = {
    "alpha": lambda: rj.chain(rj.alpha_weights(), rj.truncated_gce(), rj.elr()),
    "sop": lambda: rj.sop(balance=0.1),
    "clean": lambda: rj.chain(rj.clean_probability(1), rj.ce()),
    "record": lambda: rj.chain(
        rj.ce(), rj.small_loss(0.2), rj.accumulate_losses(), rj.learning_record()
    ),
    "injected": lambda: rj.chain(
        rj.inject_hyperparams(rj.gce, per="epoch")(q=lambda epoch: 0.7 / (1 + epoch)),
        rj.inject_hyperparams(rj.elr)(strength=2.0),
    ),
    "by steps": lambda: rj.epoch_every(rj.chain(rj.clean_probability(1), rj.ce()), 2),
}


@pytest.mark.parametrize("name", CHAINS)
def test_nothing_moves_to_the_device_unasked(name):
    """Eager `init` and `epoch` beside compiled steps, under JAX's guard."""
    make = CHAINS[name]
    losses = jnp.linspace(0, 2, N)

    @jax.jit
    def step(state, logits, labels, index):
        return rj.value(make(), state, logits, labels, index)

    with jax.transfer_guard("disallow"):
        tx = make()
        state = tx.init(SPEC)
        for _ in range(2):
            loss, state = step(state, LOGITS, LABELS, INDEX)
            state = tx.epoch(state, losses=losses)
        rj.repad(tx, state, rj.ExampleSpec(N, C, pad_to=8))
    assert np.isfinite(loss)


@pytest.mark.slow
def test_misspelt_names_have_a_hint():
    with pytest.raises(AttributeError, match="'elrr'; did you mean 'elr'"):
        rj.elrr  # noqa: B018
