"""What every loss transform must satisfy. Cover a new one by adding a line here.

Those of the methods that are a loss alone are here by their entries in the registry.
"""

from __future__ import annotations

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import robustjax as rj
from robustjax.methods import ROBUST_LOSSES

N, C, D, BATCH = 22, 3, 4, 8
SPEC = rj.ExampleSpec(num_examples=N, num_classes=C, pad_to=8)
TRANSITION = jnp.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])


def weighted_ce(**flags):
    return rj.chain(rj.alpha_weights(0.3, **flags), rj.ce())


def sop(balance=0.0):
    """SOP whose rows are large enough to matter within two epochs."""
    tx = rj.sop(0.5, 0.5, balance=balance)

    def init(spec):
        state = tx.init(spec)
        return state._replace(rows=jax.tree.map(lambda leaf: 5e7 * leaf, state.rows))

    return tx._replace(init=init)


# What has an option without a default, or defaults that do nothing in two epochs.
OPTIONS = {
    "truncated_gce": {"k": 0.3},
    "small_loss": {"forget_rate": 0.5, "num_gradual": 3},
    "clean_probability": {"start_epoch": 1, "average_epochs": 2},
}

CASES = {
    **{
        name: functools.partial(factory, **OPTIONS.get(name, {}))
        for name, factory in ROBUST_LOSSES.items()
    },
    "gce_weighted_ce": rj.gce_weighted_ce,
    "bootstrap(hard)": lambda: rj.bootstrap(hard=True),
    "given_labels": lambda: rj.chain(given_labels(), rj.ce()),
    "backward_correction": lambda: rj.backward_correction(TRANSITION),
    "forward_correction": lambda: rj.forward_correction(TRANSITION),
    "alpha_weights": weighted_ce,
    "alpha_weights(pairwise)": lambda: weighted_ce(scale="pairwise"),
    "alpha_weights(frozen)": lambda: weighted_ce(freeze_scale=True),
    "alpha_weights(number)": lambda: weighted_ce(scale=2.0),
    "alpha_weights(training)": lambda: weighted_ce(loss_pass="training"),
    "alpha_weights(literal)": lambda: weighted_ce(weighting="literal"),
    "named_chain": lambda: rj.named_chain(
        alpha=rj.alpha_weights(), head=rj.truncated_gce(k=0.3)
    ),
    "given_weights": lambda: rj.chain(rj.given_weights(), rj.ce()),
    "accumulate_losses": lambda: rj.chain(rj.ce(), rj.accumulate_losses()),
    "learning_record": lambda: rj.chain(
        rj.gce(), rj.transforms.learning_record(features=True)
    ),
    "inject_hyperparams": lambda: rj.inject_hyperparams(rj.gce)(
        q=lambda step: 0.7 / (1 + step)
    ),
    "elr(scheduled)": lambda: rj.chain(
        rj.ce(),
        rj.inject_hyperparams(rj.elr)(
            strength=lambda step: 3.0 * step / (1 + step), decay=0.9
        ),
    ),
    "sop": lambda: sop(0.1),
    "sop(weighted)": lambda: rj.chain(rj.alpha_weights(0.3), sop()),
    "consistency": lambda: rj.chain(rj.ce(), rj.consistency()),
    "small_loss(elr)": lambda: rj.chain(
        rj.ce(), rj.small_loss(rj.forget_rate_schedule(0.5, 3)), rj.elr()
    ),
    "taufe": lambda: rj.chain(rj.ce(), rj.transforms.taufe(0.1)),
    "taufe(map)": lambda: rj.chain(
        rj.ce(), rj.transforms.taufe(0.03, tensor="feature_map", reduction="sum")
    ),
    "oat": lambda: rj.chain(rj.ce(), rj.transforms.oat()),
    "loss_prediction": lambda: rj.chain(rj.ce(), rj.transforms.loss_prediction()),
    "epoch_every": lambda: rj.epoch_every(weighted_ce(loss_pass="training"), 3),
    "epoch_every(losses)": lambda: rj.epoch_every(
        rj.chain(rj.clean_probability(0), rj.gce(), rj.elr()), 3
    ),
    "box_head": rj.transforms.box_head,
    "box_head(d_iou)": lambda: rj.chain(
        rj.transforms.box_head("d_iou"), rj.transforms.taufe(0.1)
    ),
    "only_where": lambda: rj.only_where(
        rj.ce(), lambda batch: batch["label"] == 0, rj.truncated_gce(k=0.3)
    ),
}


def given_labels():
    """Distributions for two thirds of the examples, none for the others."""
    tx = rj.given_labels(0.4)

    def init(spec):
        rows = jnp.arange(spec.padded_examples * C, dtype=jnp.float32)
        rows = jax.nn.softmax(jnp.sin(rows.reshape(-1, C)))
        unset = jnp.arange(spec.padded_examples) % 3 == 0
        return tx.init(spec)._replace(
            rows={"label": jnp.where(unset[:, None], 0.0, rows)}
        )

    return tx._replace(init=init)


@pytest.fixture(params=CASES, ids=list(CASES))
def tx(request):
    return CASES[request.param]()


@functools.cache
def problem():
    """A linear model, and one epoch of batches of which the last is padded."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(SPEC.padded_examples, D)).astype(np.float32)
    y = rng.integers(0, C, SPEC.padded_examples)
    # Column d holds examples of the d-th equal part of the rows, in any order, so that
    # eight devices can have rows of their own.
    part = SPEC.padded_examples // BATCH
    orders = [rng.permutation(part) for _ in range(BATCH)]
    # The last part holds the padding, which is to come last.
    orders[-1] = np.arange(part)
    index = np.stack([part * d + order for d, order in enumerate(orders)], axis=1)
    mask = index < N
    safe = np.minimum(index, N - 1)
    index = np.where(mask, index, SPEC.padded_examples).astype(np.int32)
    corner, size = rng.uniform(0, 3, (2, *index.shape, 2)).astype(np.float32)
    box = np.concatenate([corner, corner + size], axis=-1)
    batches = {"index": index, "mask": mask, "label": y[safe], "x": x[safe], "box": box}
    params = rng.normal(size=(D, C)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(y), jax.tree.map(jnp.asarray, batches), params


def outputs(params, batch):
    """What a network makes of the batch, and of as many examples from elsewhere."""
    logits = batch["x"] @ params
    # A different function of the inputs, as large as they are on padding.
    ood_logits = (2 - batch["x"][:, ::-1]) @ params
    features = jax.nn.relu(ood_logits)
    return {
        "logits": logits,
        "features": batch["x"] + 1,
        "strong_logits": jnp.sin(3 * batch["x"]) @ params,
        "predicted_loss": jnp.sin(logits[:, 0]),
        "boxes": jnp.concatenate([logits, logits[:, :1] + 2], axis=1),
        "ood_logits": ood_logits,
        "ood_features": features,
        "ood_feature_map": features[:, None, :, None],
        "ood_mask": batch["mask"],
    }


def objective(params, state, batch, tx, axis_name=None, local_rows=False):
    terms, new = tx.update(
        rj.start(batch),
        state,
        batch,
        **outputs(params, batch),
        step=0,
        axis_name=axis_name,
        local_rows=local_rows,
    )
    return rj.reduce(terms, axis_name), new


def step(tx, carry, batch, axis_name=None, local_rows=False):
    params, state = carry
    (loss, state), gradient = jax.value_and_grad(objective, has_aux=True)(
        params, state, batch, tx, axis_name, local_rows
    )
    if axis_name is not None:
        gradient = jax.lax.pmean(gradient, axis_name)
    return (params - 0.5 * gradient, state), loss


def end_epoch(tx, params, state, axis_name=None, local_rows=False):
    x, y, _, _ = problem()
    losses = rj.losses.cross_entropy(x @ params, y)
    if local_rows:
        part = SPEC.padded_examples // BATCH
        first = part * jax.lax.axis_index(axis_name)
        losses = jax.lax.dynamic_slice_in_dim(losses, first, part)
    return tx.epoch(state, losses=losses, axis_name=axis_name, local_rows=local_rows)


def run_epochs(tx, epochs=2):
    """The reference: eager steps, batch by batch."""
    _, _, batches, params = problem()
    state, losses = tx.init(SPEC), []
    for _ in range(epochs):
        for i in range(batches["index"].shape[0]):
            batch = jax.tree.map(lambda leaf, i=i: leaf[i], batches)
            (params, state), loss = step(tx, (params, state), batch)
            losses.append(loss)
        state = end_epoch(tx, params, state)
    return params, state, jnp.stack(losses)


@functools.cache
def reference(name):
    return run_epochs(CASES[name]())


def scanned(tx, params, state, batches, epochs=2, **layout):
    def epoch(carry, _):
        carry, losses = jax.lax.scan(
            functools.partial(step, tx, **layout), carry, batches
        )
        params, state = carry
        return (params, end_epoch(tx, params, state, **layout)), losses

    (params, state), losses = jax.lax.scan(epoch, (params, state), length=epochs)
    return params, state, losses.reshape(-1)


@pytest.fixture
def expected(request):
    return reference(request.node.callspec.params["tx"])


def test_scan_under_jit_equals_eager_loop(tx, expected):
    _, _, batches, params = problem()
    got = jax.jit(functools.partial(scanned, tx))(params, tx.init(SPEC), batches)
    chex.assert_trees_all_close(got, expected, atol=2e-6)


def test_one_trace_serves_every_batch_and_epoch(tx):
    _, _, batches, params = problem()
    traces = []

    @jax.jit
    def one_step(carry, batch):
        traces.append("step")
        return step(tx, carry, batch)

    @jax.jit
    def one_epoch(state, losses):
        traces.append("epoch")
        return tx.epoch(state, losses=losses)

    carry = (params, tx.init(SPEC))
    for _ in range(2):
        for i in range(batches["index"].shape[0]):
            batch = jax.tree.map(lambda leaf, i=i: leaf[i], batches)
            carry, _ = one_step(carry, batch)
        carry = (carry[0], one_epoch(carry[1], jnp.ones(SPEC.padded_examples)))
    assert traces == ["step", "epoch"]


def test_state_keeps_structure_shapes_and_dtypes(tx, expected):
    chex.assert_trees_all_equal_shapes_and_dtypes(tx.init(SPEC), expected[1])


def test_rows_lead_with_the_padded_axis(tx):
    for leaf in jax.tree.leaves(tx.init(SPEC).rows):
        assert leaf.shape[0] == SPEC.padded_examples


def test_vmap_over_repeats_equals_single_runs(tx, expected):
    _, _, batches, params = problem()
    scales = jnp.array([1.0, 0.3, -1.0])
    many = jax.vmap(lambda scale: scanned(tx, scale * params, tx.init(SPEC), batches))(
        scales
    )
    chex.assert_trees_all_close(
        jax.tree.map(lambda leaf: leaf[0], many), expected, atol=2e-6
    )
    alone = scanned(tx, scales[2] * params, tx.init(SPEC), batches)
    chex.assert_trees_all_close(
        jax.tree.map(lambda leaf: leaf[2], many), alone, atol=2e-6
    )


def test_sharded_over_eight_devices_equals_single_device(tx, expected, mesh):
    _, _, batches, params = problem()
    rows = NamedSharding(mesh, PartitionSpec("data"))
    split = NamedSharding(mesh, PartitionSpec(None, "data"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    state = tx.init(SPEC)
    state = state._replace(
        rows=jax.device_put(state.rows, rows),
        shared=jax.device_put(state.shared, everywhere),
    )
    got = jax.jit(functools.partial(scanned, tx))(
        jax.device_put(params, everywhere), state, jax.device_put(batches, split)
    )
    chex.assert_trees_all_close(got, expected, atol=2e-6)


def columns(batches, local_rows):
    """(8, steps, 1, ...): what each of eight devices sees of every batch."""

    def split(leaf):
        return jnp.moveaxis(leaf[:, :, None], 1, 0)

    part = SPEC.padded_examples // BATCH
    if local_rows:
        own = jnp.where(batches["mask"], batches["index"] % part, part)
        batches = batches | {"index": own}
    return jax.tree.map(split, batches)


@pytest.mark.parametrize("local_rows", [False, True], ids=["replicated", "local"])
def test_epochs_under_pmap_equal_one_device(tx, expected, local_rows):
    """Copies of all rows stay equal; rows of a device's own are parts of the whole."""
    _, _, batches, params = problem()
    state = tx.init(SPEC)
    if local_rows:
        rows = jax.tree.map(
            lambda leaf: leaf.reshape(8, -1, *leaf.shape[1:]), state.rows
        )
        state, axes = state._replace(rows=rows), rj.LossState(0, None)
    else:
        axes = rj.LossState(None, None)
    run = functools.partial(scanned, tx, axis_name="d", local_rows=local_rows)
    got = jax.pmap(run, axis_name="d", in_axes=(None, axes, 0))(
        params, state, columns(batches, local_rows)
    )
    got_params, got_state, losses = got
    for device in range(8):
        at = functools.partial(jax.tree.map, lambda leaf, d=device: leaf[d])
        mine = at((got_params, got_state.shared, losses))
        wanted = (expected[0], expected[1].shared, expected[2])
        chex.assert_trees_all_close(mine, wanted, atol=2e-6)
        if not local_rows:
            chex.assert_trees_all_close(at(got_state.rows), expected[1].rows, atol=2e-6)
            # Copies that differ in the last bit would drift apart.
            first = jax.tree.map(lambda leaf: leaf[0], got_state.rows)
            chex.assert_trees_all_equal(at(got_state.rows), first)
    if local_rows:
        whole = jax.tree.map(
            lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), got_state.rows
        )
        chex.assert_trees_all_close(whole, expected[1].rows, atol=2e-6)


@pytest.mark.parametrize("local_rows", [False, True], ids=["replicated", "local"])
def test_epochs_under_shard_map_equal_one_device(tx, expected, mesh, local_rows):
    """With JAX's own check that what is said to be replicated is."""
    _, _, batches, params = problem()
    everywhere, spread = PartitionSpec(), PartitionSpec("data")
    state_spec = rj.LossState(spread if local_rows else everywhere, everywhere)

    def run(params, state, batches):
        mine = jax.tree.map(lambda leaf: leaf[0], batches)
        return scanned(tx, params, state, mine, axis_name="data", local_rows=local_rows)

    mapped = jax.shard_map(
        run,
        mesh=mesh,
        in_specs=(everywhere, state_spec, spread),
        out_specs=(everywhere, state_spec, everywhere),
    )
    got = jax.jit(mapped)(params, tx.init(SPEC), columns(batches, local_rows))
    chex.assert_trees_all_close(got, expected, atol=2e-6)


def test_padding_is_inert(tx):
    _, _, batches, params = problem()
    last = jax.tree.map(lambda leaf: leaf[-1], batches)
    assert not last["mask"].all()
    spoilt = {
        **last,
        "label": jnp.where(last["mask"], last["label"], 10**6),
        "index": jnp.where(last["mask"], last["index"], 0),
        "x": jnp.where(last["mask"][:, None], last["x"], 1e6),
        "box": jnp.where(last["mask"][:, None], last["box"], jnp.nan),
    }
    clean = step(tx, (params, tx.init(SPEC)), last)
    chex.assert_trees_all_equal(step(tx, (params, tx.init(SPEC)), spoilt), clean)


def test_rows_outside_the_batch_stay(tx):
    _, _, batches, params = problem()
    batch = jax.tree.map(lambda leaf: leaf[0], batches)
    before = tx.init(SPEC)
    (_, after), _ = step(tx, (params, before), batch)
    others = np.setdiff1d(np.arange(SPEC.padded_examples), batch["index"])
    if "epoch_every" in tx.name:
        pytest.skip("its epoch rule may move every row at a step")
    pick = functools.partial(jax.tree.map, lambda leaf: leaf[others])
    chex.assert_trees_all_equal(pick(after.rows), pick(before.rows))


def test_no_gradient_flows_through_the_state(tx):
    _, _, batches, params = problem()
    batch = jax.tree.map(lambda leaf: leaf[0], batches)

    def total(params):
        _, state = objective(params, tx.init(SPEC), batch, tx)
        floats = [
            leaf
            for leaf in jax.tree.leaves(state)
            if jnp.issubdtype(leaf.dtype, jnp.inexact)
        ]
        return sum((jnp.sum(leaf) for leaf in floats), jnp.float32(0))

    assert not jnp.any(jax.grad(total)(params))


def test_half_precision_logits_give_float32_values(tx):
    _, _, batches, params = problem()
    batch = jax.tree.map(lambda leaf: leaf[0], batches)
    halves = {
        name: array if array.dtype == bool else array.astype(jnp.bfloat16)
        for name, array in outputs(params, batch).items()
    }
    state = tx.init(SPEC)
    terms, new = tx.update(rj.start(batch), state, batch, **halves)
    assert terms.value.dtype == jnp.float32
    assert all(penalty.value.dtype == jnp.float32 for penalty in terms.penalties)
    chex.assert_trees_all_equal_dtypes(state, new)


def test_checkpoint_restores_onto_another_device_count(tx, expected, tmp_path):
    state = expected[1]
    if not jax.tree.leaves(state):
        pytest.skip("a transform without state has nothing to save")
    four = jax.sharding.Mesh(jax.devices()[:4], ("data",))
    eight = jax.sharding.Mesh(jax.devices(), ("data",))

    def place(state, mesh):
        def shardings(tree, spec):
            return jax.tree.map(lambda _: NamedSharding(mesh, spec), tree)

        return type(state)(
            shardings(state.rows, PartitionSpec("data")),
            shardings(state.shared, PartitionSpec()),
        )

    saved = jax.device_put(state, place(state, eight))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", saved)
        checkpointer.wait_until_finished()
        target = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=sharding
            ),
            state,
            place(state, four),
        )
        restored = checkpointer.restore(tmp_path / "state", target)
    chex.assert_trees_all_equal(restored, state)
    for leaf in jax.tree.leaves(restored.rows):
        assert len(leaf.sharding.device_set) == 4
