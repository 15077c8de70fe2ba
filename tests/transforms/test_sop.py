"""Sparse over-parameterisation against NumPy, and against joint differentiation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax.transforms._rows import gather_rows

N, C, B = 9, 4, 6
SPEC = rj.ExampleSpec(num_examples=N, num_classes=C, pad_to=4)


def problem(rng, scale=0.5):
    """A batch with one row of padding, logits, and rows far from their start."""
    batch = {
        "index": jnp.array([4, 0, 7, 2, 8, 9]),
        "label": jnp.asarray(rng.integers(0, C, B)),
        "mask": jnp.arange(B) < B - 1,
    }
    logits = jnp.asarray(2 * rng.normal(size=(B, C)), jnp.float32)
    rows = {
        "u": jnp.asarray(scale * rng.normal(size=(12, 1)), jnp.float32),
        "v": jnp.asarray(scale * rng.normal(size=(12, C)), jnp.float32),
    }
    return batch, logits, rows


@functools.partial(jax.jit, static_argnums=0)
def visit(tx, state, batch, logits):
    return tx.update(rj.start(batch), state, batch, logits=logits)


def numpy_loss(logits, labels, u, v, balance=0.0, frozen_v=None):
    """The whole loss of a batch without padding, in float64."""
    Y = np.eye(C)[labels]
    U = np.clip(u**2, 0, 1) * Y
    V = np.clip(v**2, 0, 1) * (1 - Y)
    detached = V if frozen_v is None else np.clip(frozen_v**2, 0, 1) * (1 - Y)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p = p / p.sum(1, keepdims=True)
    q = np.maximum(p + U - detached, 1e-4)
    q = np.clip(q / q.sum(1, keepdims=True), 1e-4, 1)
    fit = -np.log((q * Y).sum(1))
    residual = np.eye(C)[logits.argmax(1)] + U - V - Y
    loss = fit.mean() + (residual**2).sum() / len(labels)
    mean_q = np.clip(q.mean(0), 1e-4, 1)
    return loss - balance * np.log(mean_q).mean()


def differences(function, x, step=1e-6):
    """Central differences of a scalar function in every entry of x."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        shift = np.zeros_like(x)
        shift[place] = step
        gradient[place] = (function(x + shift) - function(x - shift)) / (2 * step)
    return gradient


@pytest.mark.parametrize("balance", [0.0, 0.4])
def test_loss_and_step_equal_numpy(balance, rng):
    batch, logits, rows = problem(rng)
    tx = rj.sop(3.0, 2.0, balance=balance)
    state = rj.LossState(rows, ())
    terms, new = visit(tx, state, batch, logits)
    real = np.asarray(batch["index"])[:-1]
    z, y = np.asarray(logits, np.float64)[:-1], np.asarray(batch["label"])[:-1]
    u, v = (np.asarray(rows[name], np.float64)[real] for name in "uv")
    np.testing.assert_allclose(
        rj.reduce(terms), numpy_loss(z, y, u, v, balance), rtol=1e-5
    )
    of_u = differences(lambda u: numpy_loss(z, y, u, v, balance), u)
    of_v = differences(lambda w: numpy_loss(z, y, u, w, balance, frozen_v=v), v)
    np.testing.assert_allclose(new.rows["u"][real], u - 3 * of_u, atol=1e-5)
    np.testing.assert_allclose(new.rows["v"][real], v - 2 * of_v, atol=1e-5)
    others = np.setdiff1d(np.arange(12), real)
    for name in "uv":
        np.testing.assert_array_equal(new.rows[name][others], rows[name][others])


def joint_loss(params, rows, batch, weight, reduction, balance):
    """Loss of network and rows together, written anew on the rows of the batch."""
    z = batch["x"] @ params
    Y = jax.nn.one_hot(batch["label"], C)
    U = jnp.clip(rows["u"] ** 2, 0, 1) * Y
    V = jnp.clip(rows["v"] ** 2, 0, 1) * (1 - Y)
    q = jnp.maximum(jax.nn.softmax(z) + U - jax.lax.stop_gradient(V), 1e-4)
    q = jnp.clip(q / q.sum(1, keepdims=True), 1e-4, 1)
    hit = jax.nn.one_hot(jnp.argmax(z, 1), C)
    value = -jnp.log((q * Y).sum(1)) + ((hit + U - V - Y) ** 2).sum(1)
    real = batch["mask"]
    weight = jnp.where(real, weight, 0)
    below = {
        rj.Reduction.MEAN: real.sum(),
        rj.Reduction.SUM: 1.0,
        rj.Reduction.WEIGHTED_MEAN: weight.sum(),
    }[reduction]
    mean_q = jnp.where(real[:, None], q, 0).sum(0) / real.sum()
    even = -jnp.log(jnp.clip(mean_q, 1e-4, 1)).mean()
    return (weight * value).sum() / below + balance * even


@pytest.mark.parametrize("reduction", list(rj.Reduction))
def test_rows_and_network_get_the_joint_gradient(reduction, rng):
    batch, _, rows = problem(rng)
    batch["x"] = jnp.asarray(rng.normal(size=(B, 3)), jnp.float32)
    params = jnp.asarray(rng.normal(size=(3, C)), jnp.float32)
    weight = jnp.asarray(rng.uniform(0, 2, B), jnp.float32)
    tx = rj.sop(1.0, 1.0, balance=0.3)

    def objective(params):
        terms = rj.start(batch).replace(weight=weight, reduction=reduction)
        terms, new = tx.update(
            terms, rj.LossState(rows, ()), batch, logits=batch["x"] @ params
        )
        return rj.reduce(terms), new

    (loss, new), of_network = jax.jit(jax.value_and_grad(objective, has_aux=True))(
        params
    )
    gathered = gather_rows(rows, batch, batch["mask"])
    joint = functools.partial(
        joint_loss, batch=batch, weight=weight, reduction=reduction, balance=0.3
    )
    want, (network, own) = jax.jit(jax.value_and_grad(joint, (0, 1)))(params, gathered)
    np.testing.assert_allclose(loss, want, rtol=1e-6)
    np.testing.assert_allclose(of_network, network, atol=1e-6)
    real = np.asarray(batch["index"])[:-1]
    for name in "uv":
        step = np.asarray(rows[name] - new.rows[name])[real]
        np.testing.assert_allclose(step, own[name][:-1], rtol=1e-6, atol=3e-7)


def test_gradient_at_the_start_is_exact_to_1e_8(rng):
    """Rows of 1e-8 lose nothing to float32: the step is the joint gradient."""
    batch, logits, _ = problem(rng)
    tx = rj.sop(1.0, 1.0)
    state = tx.init(SPEC)
    _, new = visit(tx, state, batch, logits)
    real = np.asarray(batch["index"])[:-1]
    z, y = np.asarray(logits, np.float64)[:-1], np.asarray(batch["label"])[:-1]
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    u, v = (np.asarray(state.rows[name], np.float64)[real] for name in "uv")
    Y, hit = np.eye(C)[y], np.eye(C)[z.argmax(1)]
    p_y = (p * Y).sum(1, keepdims=True)
    of_squares = 2 * ((hit - Y) * Y).sum(1, keepdims=True)
    of_u = 2 * u * (1 - 1 / p_y + of_squares) / (B - 1)
    of_v = -2 * v * (1 - Y) * 2 * (hit - Y) / (B - 1)
    np.testing.assert_allclose(new.rows["u"][real], u - of_u, atol=1e-13)
    np.testing.assert_allclose(new.rows["v"][real], v - of_v, atol=1e-13)


def test_v_moves_by_the_squares_alone_and_grows_as_published(rng):
    """4 v^3 / B where the prediction is right, 1 + 4 lr / B per visit where not."""
    batch = {"index": jnp.array([0, 1]), "label": jnp.array([1, 1])}
    logits = jnp.array([[0.0, 5, 0, 0], [0, 0, 5, 0]])
    v = 0.01 * jnp.asarray(rng.uniform(1, 2, (12, C)), jnp.float32)
    rows = {"u": jnp.zeros((12, 1)), "v": v}
    tx = rj.sop(1.0, 1.0)
    _, new = visit(tx, rj.LossState(rows, ()), batch, logits)
    away = np.array([0, 2, 3])
    np.testing.assert_allclose(
        v[0, away] - new.rows["v"][0, away], 4 * v[0, away] ** 3 / 2, atol=1e-9
    )
    assert new.rows["v"][0, 1] == v[0, 1]
    np.testing.assert_allclose(new.rows["v"][1, 2] / v[1, 2], 1 + 4 / 2, rtol=1e-3)


def test_rows_learn_to_explain_a_wrong_label():
    """A network that insists ends with q on its side of the label."""
    batch = {"index": jnp.array([3]), "label": jnp.array([0])}
    logits = jnp.array([[-2.0, 4, -2, -2]])
    tx = rj.sop(0.1, 0.1)
    start = tx.init(SPEC)

    def again(state, _):
        terms, state = visit(tx, state, batch, logits)
        return state, terms.value[0]

    end, values = jax.jit(lambda s: jax.lax.scan(again, s, length=200))(start)
    assert values[0] > 7
    assert values[-1] < 0.1
    np.testing.assert_allclose(end.rows["v"][3, 1] ** 2, 1, atol=0.05)


def test_first_rows_follow_the_key():
    tx, other = rj.sop(), rj.sop(key=jax.random.key(7))
    rows = tx.init(rj.ExampleSpec(2000, C)).rows
    assert rows["u"].shape == (2000, 1)
    assert rows["v"].shape == (2000, C)
    assert rows["u"].dtype == rows["v"].dtype == jnp.float32
    np.testing.assert_allclose(np.std(np.asarray(rows["v"])), 1e-8, rtol=0.05)
    again = tx.init(rj.ExampleSpec(2000, C)).rows
    np.testing.assert_array_equal(rows["v"], again["v"])
    differ = other.init(rj.ExampleSpec(2000, C)).rows["v"] != rows["v"]
    assert np.mean(differ) > 0.99


def test_half_precision_logits_keep_the_rows_moving():
    batch = {"index": jnp.array([3]), "label": jnp.array([0])}
    tx = rj.sop(1.0, 1.0)
    state = tx.init(SPEC)
    logits = jnp.array([[0.0, 2, 0, 0]], jnp.bfloat16)
    _, new = visit(tx, state, batch, logits)
    assert new.rows["v"].dtype == jnp.float32
    np.testing.assert_allclose(new.rows["v"][3, 1] / state.rows["v"][3, 1], 5, 1e-5)


def test_injected_hyperparameters_change_without_a_new_transform(rng):
    batch, logits, rows = problem(rng)
    tx = rj.inject_hyperparams(rj.sop)(lr_u=0.0, lr_v=0.0, balance=0.0)
    state = tx.init(SPEC)._replace(rows=rows)
    state = rj.set_hyperparams(state, lr_u=2.0, balance=0.5)
    terms, new = visit(tx, state, batch, logits)
    want_terms, want = visit(
        rj.sop(2.0, 0.0, balance=0.5), rj.LossState(rows, ()), batch, logits
    )
    np.testing.assert_allclose(rj.reduce(terms), rj.reduce(want_terms), rtol=1e-6)
    np.testing.assert_allclose(new.rows["u"], want.rows["u"], atol=1e-6)


def test_balance_of_a_batch_of_padding_is_zero(rng):
    batch, logits, rows = problem(rng)
    batch["mask"] = jnp.zeros(B, bool)
    tx = rj.sop(balance=1.0)
    terms, _ = visit(tx, rj.LossState(rows, ()), batch, logits)
    assert rj.reduce(terms) == 0


def test_consistency_is_kl_with_a_fixed_teacher(rng):
    weak, strong = rng.normal(size=(2, B, C))
    batch = {"index": jnp.arange(B), "label": jnp.zeros(B, jnp.int32)}
    tx = rj.consistency(0.9)

    def value(weak, strong):
        terms, _ = tx.update(
            rj.start(batch), tx.init(SPEC), batch, logits=weak, strong_logits=strong
        )
        return jnp.sum(terms.value), terms.value

    p, q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (weak, strong))
    inputs = [jnp.asarray(z, jnp.float32) for z in (weak, strong)]
    gradients, got = jax.jit(jax.grad(value, (0, 1), has_aux=True))(*inputs)
    np.testing.assert_allclose(got, 0.9 * (p * np.log(p / q)).sum(1), rtol=1e-4)
    np.testing.assert_array_equal(gradients[0], 0)
    np.testing.assert_allclose(gradients[1], 0.9 * (q - p), atol=1e-6)


def test_wrong_labels_and_shapes(rng):
    batch, logits, rows = problem(rng)
    with pytest.raises(ValueError, match=rf"logits: got shape \({B}, {C - 1}\)"):
        rj.sop().update(
            rj.start(batch), rj.LossState(rows, ()), batch, logits=logits[:, 1:]
        )
    outside = {**batch, "label": batch["label"].at[0].set(C)}
    terms, _ = rj.sop().update(
        rj.start(outside), rj.LossState(rows, ()), outside, logits=logits
    )
    np.testing.assert_array_equal(np.isnan(terms.value), np.arange(B) == 0)
    with pytest.raises(ValueError, match=r"strong_logits: got shape \(2, 4\)"):
        rj.consistency().update(
            rj.start(batch),
            rj.LossState((), ()),
            batch,
            logits=logits,
            strong_logits=logits[:2],
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rj.sop(lr_u=-1.0), "lr_u: got -1.0"),
        (lambda: rj.sop(lr_v=-1.0), "lr_v: got -1.0"),
        (lambda: rj.sop(balance=-0.1), "balance: got -0.1"),
        (lambda: rj.consistency(-0.1), "strength: got -0.1"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(), (1,)])
def test_only_where_leaves_the_step_of_the_chosen_as_it_was(shape, rng):
    """The mean is over the batch, whoever of it the head was chosen for."""
    spec = rj.ExampleSpec(N, C, positions=shape)
    logits = jnp.asarray(rng.normal(size=(4, *shape, C)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, C, (4, *shape)))
    moved = {}
    for chosen in (1, 4):
        tx = rj.only_where(
            rj.sop(10.0, 10.0, balance=0.0),
            lambda batch, k=chosen: batch["index"] < k,
            rj.ce(),
        )
        state = tx.init(spec)
        state = state._replace(rows=jax.tree.map(lambda x: 5e7 * x, state.rows))
        _, after = rj.value(tx, state, logits, labels, jnp.arange(4))
        moved[chosen] = jax.tree.map(lambda leaf: leaf[0], after.rows[0])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), moved[1], moved[4]
    )


@pytest.mark.slow
def test_balance_is_of_the_chosen_whatever_the_shape_of_labels(rng):
    logits = jnp.asarray(rng.normal(size=(4, C)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, C, 4))
    losses = []
    for shape in ((), (1,)):
        spec = rj.ExampleSpec(N, C, positions=shape)
        tx = rj.only_where(
            rj.sop(balance=1.0), lambda batch: batch["index"] < 1, rj.ce()
        )
        loss, _ = rj.value(
            tx,
            tx.init(spec),
            logits.reshape(4, *shape, C),
            labels.reshape(4, *shape),
            jnp.arange(4),
        )
        losses.append(loss)
    np.testing.assert_allclose(*losses, rtol=1e-6)
