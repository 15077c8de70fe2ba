"""Group DRO and JTT's weights, against plain NumPy over several steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax import transforms

C, B, G = 3, 6, 4
SPEC = rj.ExampleSpec(20, C)


def batches(steps=4):
    rng = np.random.default_rng(0)
    for step in range(steps):
        mask = np.arange(B) < (B if step % 2 else B - 1)
        group = rng.integers(0, G - 1 if step < 2 else G, B)
        yield {
            "index": np.where(mask, rng.choice(20, B, replace=False), 20),
            "mask": mask,
            "label": rng.integers(0, C, B),
            "group": np.where(mask, group, 99),
            "logits": rng.normal(size=(B, C)).astype(np.float32),
        }


def ce(batch):
    p = np.exp(batch["logits"])
    return -np.log(p[np.arange(B), batch["label"]] / p.sum(1))


def step_of(tx):
    @jax.jit
    def step(state, batch):
        def loss(logits):
            terms, new = tx.update(rj.start(batch), state, batch, logits=logits)
            return rj.reduce(terms), new

        (value, new), slope = jax.value_and_grad(loss, has_aux=True)(batch["logits"])
        return value, slope, new

    return step


@pytest.mark.parametrize(("eta", "K"), [(0.5, 0.0), (0.5, 2.0), (0.0, 0.0)])
def test_group_weights_and_loss_equal_numpy(eta, K):
    counts = np.array([3, 7, 5, 5])
    tx = rj.chain(
        rj.ce(), transforms.group_dro(G, eta, adjustment=K, group_counts=counts)
    )
    step, state = step_of(tx), tx.init(SPEC)
    q = np.full(G, 1 / G)
    for batch in batches():
        values, mask = ce(batch), batch["mask"]
        means = np.zeros(G)
        for g in range(G):
            here = mask & (batch["group"] == g)
            if here.any():
                means[g] = values[here].mean()
        q = q * np.exp(eta * (means + K / np.sqrt(counts)))
        q /= q.sum()
        loss, slope, state = step(state, batch)
        np.testing.assert_allclose(loss, q @ means, rtol=1e-5)
        np.testing.assert_allclose(state.shared[1]["group_weight"], q, rtol=1e-5)
        np.testing.assert_allclose(np.sum(state.shared[1]["group_weight"]), 1, 1e-6)
        # No gradient goes through q: an example's is that of its share.
        p = np.exp(batch["logits"])
        error = p / p.sum(1, keepdims=True) - np.eye(C)[batch["label"]]
        size = [max((mask & (batch["group"] == g)).sum(), 1) for g in range(G)]
        share = np.where(mask, (q / size)[np.where(mask, batch["group"], 0)], 0)
        np.testing.assert_allclose(slope, share[:, None] * error, atol=1e-6)


@pytest.mark.parametrize("per_example", [False, True])
def test_of_many_labels_an_example_the_groups_means_are_means(per_example):
    """Not sums over the positions, of which there are as many as there happen to be."""
    rng = np.random.default_rng(0)
    shape = (5, 4)
    logits = rng.normal(size=(*shape, C)).astype(np.float32)
    label, mask = rng.integers(0, C, shape), rng.random(shape) < 0.7
    mask[3] = False
    group = np.array([0, 1, 1, 1, 0])
    values = np.asarray(rj.losses.cross_entropy(logits, label))
    means = []
    for g in range(2):
        examples = [v[m] for v, m, h in zip(values, mask, group) if h == g and m.any()]
        each = [one.mean() for one in examples]
        means.append(np.mean(each) if per_example else np.concatenate(examples).mean())
    tx = rj.chain(rj.ce(), transforms.group_dro(2, 0.5))
    got, state = rj.value(
        tx,
        tx.init(rj.ExampleSpec(5, C, positions=(4,))),
        jnp.asarray(logits),
        label,
        mask=mask,
        group=group,
        per_example=per_example,
    )
    q = np.exp(0.5 * np.array(means))
    q /= q.sum()
    np.testing.assert_allclose(state.shared[1]["group_weight"], q, rtol=1e-5)
    np.testing.assert_allclose(got, q @ means, rtol=1e-5)


def test_groups_means_are_over_the_weights_where_these_make_the_mean():
    """Or a group of which much is left out would seem to be learned."""
    batch = next(iter(batches(1)))
    given = np.random.default_rng(1).random(SPEC.padded_examples) ** 2
    given[batch["index"][0]] = 0
    tx = rj.chain(rj.given_weights(), rj.ce(), transforms.group_dro(G, 0.5))
    state = tx.init(SPEC)
    rows = ({"weight": jnp.asarray(given)}, *state.rows[1:])
    loss, _, state = step_of(tx)(state._replace(rows=rows), batch)
    weight = np.where(batch["mask"], given[np.minimum(batch["index"], 19)], 0)
    values, means = ce(batch), np.zeros(G)
    for g in range(G):
        here = weight * (batch["group"] == g)
        means[g] = (here * values).sum() / here.sum() if here.any() else 0
    q = np.exp(0.5 * means)
    q /= q.sum()
    np.testing.assert_allclose(state.shared[2]["group_weight"], q, rtol=1e-5)
    np.testing.assert_allclose(loss, q @ means, rtol=1e-5)
    literal = rj.alpha_weights(weighting="literal")
    tx = rj.chain(literal, rj.ce(), transforms.group_dro(G))
    with pytest.raises(ValueError, match="group_dro: got terms .* wants summed"):
        tx.update(rj.start(batch), tx.init(SPEC), batch, logits=batch["logits"])


def test_one_group_is_the_mean():
    tx = rj.chain(rj.ce(), transforms.group_dro(1, 0.3))
    for batch in batches(2):
        batch["group"] = 0 * batch["group"]
        loss, _, _ = step_of(tx)(tx.init(SPEC), batch)
        np.testing.assert_allclose(loss, ce(batch)[batch["mask"]].mean(), rtol=1e-5)


def test_a_wrong_group_is_found():
    tx = rj.chain(rj.ce(), transforms.group_dro(G))
    batch = next(iter(batches(1)))
    batch["group"] = np.where(np.arange(B) == 1, G, 0)
    loss, _, _ = step_of(tx)(tx.init(SPEC), batch)
    assert np.isnan(loss)
    terms, state = rj.start(batch), tx.init(SPEC)
    with pytest.raises(ValueError, match="group.*1 of 5 out of range .first: 4"):
        tx.update(terms, state, batch, logits=batch["logits"])
    batch["group"] = np.zeros(B)
    with pytest.raises(TypeError, match="group.*float"):
        tx.update(terms, state, batch, logits=batch["logits"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_groups": 0}, "num_groups: got 0"),
        ({"step_size": -1.0}, "step_size: got -1.0"),
        ({"adjustment": 1.0}, "group_counts: got None"),
        ({"group_counts": [1, 2]}, "group_counts: got shape"),
        ({"group_counts": [1, 2, 0, 4]}, "group_counts: group 2 has 0 examples"),
        ({"group_counts": [0.1, 0.2, 0.3, 0.4]}, "group_counts: got float64, exp"),
        ({"group_counts": np.ones(4, bool)}, "group_counts: got bool, expected int"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        transforms.group_dro(**{"num_groups": G, **options})


def test_errors_count_from_the_next_epoch_on():
    """Two epochs find the errors of their last visit, the third one weighs them."""
    tx = rj.chain(transforms.up_weight_errors(5.0, epochs=2), rj.ce())
    state, step = tx.init(SPEC), step_of(tx)
    made = list(batches(4))
    for epoch in range(2):
        for batch in made[2 * epoch : 2 * epoch + 2]:
            loss, _, state = step(state, batch)
            want = ce(batch)[batch["mask"]].mean()
            np.testing.assert_allclose(loss, want, rtol=1e-5)
        state = tx.epoch(state)
    error = np.zeros(20, bool)
    for batch in made:
        wrong = batch["logits"].argmax(1) != batch["label"]
        error[batch["index"][batch["mask"]]] = wrong[batch["mask"]]
    np.testing.assert_array_equal(state.rows[0]["error"], error)
    assert error.any()
    for batch in made[:2]:
        mask = batch["mask"]
        weight = np.where(error[batch["index"][mask]], 5.0, 1.0)
        loss, _, after = step(state, batch)
        want = (weight * ce(batch)[mask]).sum() / weight.sum()
        np.testing.assert_allclose(loss, want, rtol=1e-5)
        jax.tree.map(np.testing.assert_array_equal, after, state)


def test_a_factor_of_one_is_the_cross_entropy():
    tx = rj.chain(transforms.up_weight_errors(1.0, epochs=0), rj.ce())
    state = tx.init(SPEC)
    rows = ({"error": jnp.ones(20, bool)}, *state.rows[1:])
    batch = next(iter(batches(1)))
    loss, _, _ = step_of(tx)(state._replace(rows=rows), batch)
    np.testing.assert_allclose(loss, ce(batch)[batch["mask"]].mean(), rtol=1e-5)


def test_bad_factors():
    with pytest.raises(ValueError, match="factor: got -1.0"):
        transforms.up_weight_errors(-1.0)
    with pytest.raises(ValueError, match="epochs: got -1"):
        transforms.up_weight_errors(epochs=-1)
