"""Chains, conditions, injected hyperparameters, rows and the reduction."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj

SPEC = rj.ExampleSpec(num_examples=6, num_classes=3)
BATCH = {"index": jnp.arange(4), "label": jnp.array([0, 1, 2, 0])}
LOGITS = jnp.array([[2.0, 0, 0], [0, 0.5, 0], [1, 1, 0], [0, 0, 3.0]])


def run(tx, batch=BATCH, state=None, **extra):
    state = tx.init(SPEC) if state is None else state
    return tx.update(rj.start(batch), state, batch, logits=LOGITS, **extra)


def additive(amount):
    return rj.stateless(
        lambda terms, batch, **extra: terms.replace(value=terms.value + amount),
        stage=rj.Stage.ADDITIVE,
        name="additive",
    )


def test_chain_composes_in_order():
    terms, _ = run(rj.chain(rj.ce(), additive(2.0)))
    want = rj.losses.cross_entropy(LOGITS, BATCH["label"]) + 2
    np.testing.assert_allclose(terms.value, want)


def test_chains_nest():
    nested = rj.chain(rj.chain(rj.alpha_weights(), rj.gce()), additive(1.0))
    flat = rj.chain(rj.alpha_weights(), rj.gce(), additive(1.0))
    np.testing.assert_allclose(
        rj.reduce(run(nested)[0]), rj.reduce(run(flat)[0]), rtol=1e-6
    )
    assert nested.needs == {"losses"}


def test_wrong_order_is_an_error_when_the_chain_is_built():
    with pytest.raises(ValueError, match=r"alpha_weights \(weights\) stands after gce"):
        rj.chain(rj.gce(), rj.alpha_weights())
    with pytest.raises(ValueError, match="2 heads"):
        rj.chain(rj.ce(), rj.gce())
    with pytest.raises(ValueError, match="stands after"):
        rj.chain(rj.chain(rj.ce(), additive(1.0)), rj.alpha_weights())


def test_named_chain_names_its_state():
    state = rj.named_chain(alpha=rj.alpha_weights(), head=rj.ce()).init(SPEC)
    assert set(state.rows) == {"alpha", "head"}
    assert state.rows["alpha"]["weight"].shape == (6,)


def test_only_where_mixes_per_example():
    tx = rj.only_where(rj.ce(), lambda batch: batch["label"] == 0, rj.mae())
    terms, _ = run(tx)
    ce = rj.losses.cross_entropy(LOGITS, BATCH["label"])
    mae = rj.losses.mae(LOGITS, BATCH["label"])
    np.testing.assert_allclose(
        terms.value, np.where([True, False, False, True], ce, mae)
    )
    np.testing.assert_array_equal(terms.mask, True)


def test_only_where_passes_the_rest_unchanged():
    double = rj.stateless(
        lambda terms, batch, **extra: terms.replace(weight=2 * terms.weight),
        stage=rj.Stage.WEIGHTS,
        name="double",
    )
    terms, _ = run(rj.only_where(double, lambda batch: batch["label"] == 0))
    np.testing.assert_array_equal(terms.weight, [2, 1, 1, 2])


def test_only_where_mixes_indices_and_distributions():
    # Six examples and as many classes: a wrong mixture would broadcast silently.
    logits = jnp.zeros((6, 6))
    batch = {"index": jnp.arange(6), "label": jnp.array([0, 1, 2, 3, 4, 5])}
    flat, exact = rj.label_smoothing(1.0), rj.label_smoothing(0.0)
    one_hot = np.eye(6)
    for other, rest in ((None, one_hot), (flat, np.full((6, 6), 1 / 6))):
        for first in (flat, exact):
            tx = rj.only_where(first, lambda batch: batch["label"] < 2, other)
            terms, _ = tx.update(
                rj.start(batch),
                tx.init(rj.ExampleSpec(6, 6)),
                batch,
                logits=logits,
            )
            want = rest.copy()
            want[:2] = 1 / 6 if first is flat else one_hot[:2]
            np.testing.assert_allclose(terms.labels, want, atol=1e-7)


def test_only_where_rejects_mixed_stages():
    with pytest.raises(ValueError, match="expected the same stages"):
        rj.only_where(rj.ce(), lambda batch: batch["label"] == 0, rj.alpha_weights())


@pytest.mark.parametrize(
    ("before", "tx", "after"),
    [
        (rj.alpha_weights(weighting="literal"), None, rj.ce()),
        (rj.alpha_weights(weighting="literal"), rj.alpha_weights(), rj.ce()),
        (rj.ce(), None, rj.transforms.group_dro(2)),
    ],
)
def test_only_where_does_not_sum_a_part_and_average_the_rest(before, tx, after):
    """What is to be summed would make a sum of the others, too."""

    def half(batch):
        return jnp.arange(2) < 1

    group_last = after.stages == (rj.Stage.SELECT,)
    parts = [before, after]
    parts[group_last] = rj.only_where(parts[group_last], half, tx)
    both = rj.chain(*parts)
    with pytest.raises(ValueError, match=r"only_where: .*some are to be summed"):
        rj.value(
            both,
            both.init(rj.ExampleSpec(2, 3)),
            jnp.zeros((2, 3)),
            jnp.arange(2),
            jnp.arange(2),
            group=jnp.arange(2),
        )


def test_only_where_writes_only_its_rows():
    tx = rj.only_where(
        rj.alpha_weights(loss_pass="training"), lambda batch: batch["label"] == 0
    )
    _, state = run(tx)
    np.testing.assert_array_equal(
        state.rows[0]["visited"], [True, False, False, True, False, False]
    )


def test_injected_hyperparameters_change_without_recompiling():
    tx = rj.inject_hyperparams(rj.gce)(q=0.7)
    traces = 0

    @jax.jit
    def value(state):
        nonlocal traces
        traces += 1
        return run(tx, state=state)[0].value

    state = tx.init(SPEC)
    for q in (0.7, 0.2, 0.0):
        state = rj.set_hyperparams(state, q=q)
        np.testing.assert_allclose(
            value(state), rj.losses.gce(LOGITS, BATCH["label"], q=q), rtol=1e-5
        )
    assert traces == 1


@pytest.mark.parametrize("per", ["step", "epoch"])
def test_schedules_count_steps_or_epochs(per):
    tx = rj.inject_hyperparams(rj.gce, per=per)(q=lambda n: 0.5 / (1 + n))
    state = tx.init(SPEC)
    values = []
    for _ in range(2):
        for _ in range(2):
            terms, state = run(tx, state=state)
            values.append(terms.value)
        state = tx.epoch(state)
    counts = [0, 1, 2, 3] if per == "step" else [0, 0, 1, 1]
    for got, count in zip(values, counts, strict=True):
        want = rj.losses.gce(LOGITS, BATCH["label"], q=0.5 / (1 + count))
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_injected_matrix_and_static_flags():
    tx = rj.inject_hyperparams(rj.forward_correction)(transition=jnp.eye(3))
    state = rj.set_hyperparams(tx.init(SPEC), transition=jnp.full((3, 3), 1 / 3))
    np.testing.assert_allclose(run(tx, state=state)[0].value, np.log(3), rtol=1e-6)
    weights = rj.inject_hyperparams(rj.alpha_weights)(step_size=0.2, scale="pairwise")
    assert set(weights.init(SPEC).shared["hyperparams"]) == {"step_size"}


def test_injected_hyperparameters_are_set_inside_chains():
    gce = rj.inject_hyperparams(rj.gce)
    limited = rj.only_where(gce(q=0.7), lambda batch: batch["label"] >= 0)
    chains = {
        (1,): rj.chain(rj.given_weights(), gce(q=0.7)),
        ("head",): rj.named_chain(w=rj.given_weights(), head=gce(q=0.7)),
        (1, 0): rj.chain(rj.given_weights(), limited),
    }
    want = rj.losses.gce(LOGITS, BATCH["label"], q=0.2)
    for path, tx in chains.items():
        state = rj.set_hyperparams(tx.init(SPEC), *path, q=0.2)
        np.testing.assert_allclose(run(tx, state=state)[0].value, want, rtol=1e-5)
    with pytest.raises(ValueError, match="path: got 'tail', expected one of: w, head"):
        rj.set_hyperparams(chains[("head",)].init(SPEC), "tail", q=0.2)
    with pytest.raises(ValueError, match="path: got 7, expected one of: 0, 1"):
        rj.set_hyperparams(chains[(1,)].init(SPEC), 7, q=0.2)
    with pytest.raises(ValueError, match="in a chain, say where"):
        rj.set_hyperparams(chains[(1,)].init(SPEC), q=0.2)


def test_injection_passes_over_what_is_no_number():
    tx = rj.inject_hyperparams(rj.given_weights)(reduction=rj.Reduction.SUM)
    assert run(tx)[0].reduction is rj.Reduction.SUM
    head = functools.partial(rj.loss_head, rj.losses.gce, name="gce")
    tx = rj.inject_hyperparams(head)(q=0.4)
    state = rj.set_hyperparams(tx.init(SPEC), q=0.1)
    want = rj.losses.gce(LOGITS, BATCH["label"], q=0.1)
    np.testing.assert_allclose(run(tx, state=state)[0].value, want, rtol=1e-5)


def test_a_batch_that_is_closed_over_works_under_jit():
    tx = rj.chain(rj.alpha_weights(loss_pass="training"), rj.ce())
    batch = {"index": BATCH["index"], "label": BATCH["label"]}

    @jax.jit
    def loss(state, logits):
        terms, _ = tx.update(rj.start(batch), state, batch, logits=logits)
        return rj.reduce(terms)

    want = rj.losses.cross_entropy(LOGITS, BATCH["label"]).mean()
    np.testing.assert_allclose(loss(tx.init(SPEC), LOGITS), want, rtol=1e-6)


def test_injection_checks_values_names_and_shapes():
    with pytest.raises(ValueError, match="q: got 3"):
        rj.inject_hyperparams(rj.gce)(q=3)
    state = rj.inject_hyperparams(rj.gce)(q=0.5).init(SPEC)
    with pytest.raises(ValueError, match="p: not an injected hyperparameter; known: q"):
        rj.set_hyperparams(state, p=1.0)
    with pytest.raises(ValueError, match=r"q: got shape \(2,\)"):
        rj.set_hyperparams(state, q=jnp.ones(2))


def terms(reduction=rj.Reduction.MEAN, penalties=()):
    return rj.start(BATCH | {"mask": jnp.array([True, True, True, False])}).replace(
        value=jnp.array([1.0, 2.0, 3.0, jnp.nan]),
        weight=jnp.array([1.0, 0.5, 0.0, 9.0]),
        reduction=reduction,
        penalties=penalties,
    )


@pytest.mark.parametrize(
    ("reduction", "want"),
    [
        (rj.Reduction.MEAN, 2.0 / 3),
        (rj.Reduction.SUM, 2.0),
        (rj.Reduction.WEIGHTED_MEAN, 2.0 / 1.5),
    ],
)
def test_reductions(reduction, want):
    np.testing.assert_allclose(rj.reduce(terms(reduction)), want, rtol=1e-6)


def test_penalties_have_a_mean_of_their_own():
    penalty = rj.Penalty(value=jnp.arange(10.0), weight=0.1)
    got = rj.reduce(terms(penalties=(penalty,)))
    np.testing.assert_allclose(got, 2.0 / 3 + 0.45, rtol=1e-6)


def test_a_batch_of_padding_has_loss_zero():
    for reduction in rj.Reduction:
        empty = terms(reduction).replace(mask=jnp.zeros(4, bool))
        assert rj.reduce(empty) == 0


def test_missing_logits_name_the_transform():
    tx = rj.gce()
    with pytest.raises(TypeError, match="gce: needs the argument 'logits', got step"):
        tx.update(rj.start(BATCH), tx.init(SPEC), BATCH, step=1)


def test_truncated_gce_prunes_and_takes_back():
    tx = rj.truncated_gce(q=0.7, k=0.5)
    p = jnp.array([0.9, 0.4, 0.6, 0.45, 1.0, 0.1])
    state = tx.epoch(tx.init(SPEC), losses=-jnp.log(p))
    np.testing.assert_array_equal(
        state.rows["kept"], [True, False, True, False, True, False]
    )
    terms, _ = run(tx, state=state)
    want = np.array(rj.losses.gce(LOGITS, BATCH["label"], q=0.7))
    want[[1, 3]] = (1 - 0.5**0.7) / 0.7
    np.testing.assert_allclose(terms.value, want, rtol=1e-5)
    state = tx.epoch(state, losses=jnp.zeros(6))
    np.testing.assert_array_equal(state.rows["kept"], True)


def test_truncated_gce_waits_for_its_start():
    tx = rj.truncated_gce(start_epoch=2)
    state = tx.epoch(tx.init(SPEC), losses=jnp.full(6, 9.0))
    assert state.rows["kept"].all()
    state = tx.epoch(state, losses=jnp.full(6, 9.0))
    assert not state.rows["kept"].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_examples": 0, "num_classes": 2}, "num_examples: got 0"),
        ({"num_examples": 5, "num_classes": 1}, "num_classes: got 1"),
        ({"num_examples": 5, "num_classes": 2, "pad_to": 0}, "pad_to: got 0"),
    ],
)
def test_bad_spec(arguments, message):
    with pytest.raises(ValueError, match=message):
        rj.ExampleSpec(**arguments)
