"""Per-example state over devices: results, traffic, checkpoints, other counts."""

import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import robustjax as rj

C, D, BATCH = 3, 4, 8
TX = rj.named_chain(
    alpha=rj.alpha_weights(0.3),
    sop=rj.sop(0.5, 0.5, balance=0.1),
    consistency=rj.consistency(),
    elr=rj.elr(2.0, 0.6),
)


def start(num_examples):
    """Parameters and a state whose SOP rows have left their start."""
    spec = rj.ExampleSpec(num_examples, C, pad_to=8)
    state = TX.init(spec)
    grown = jax.tree.map(lambda leaf: 5e7 * leaf, state.rows["sop"])
    state = state._replace(rows=state.rows | {"sop": grown})
    params = np.random.default_rng(3).normal(size=(D, C)).astype(np.float32)
    return jnp.asarray(params), state


def batches(num_examples):
    """One epoch, of which the last batch is padded."""
    rng = np.random.default_rng(2)
    order = rng.permutation(num_examples)
    padding = np.full(-num_examples % BATCH, -(-num_examples // 8) * 8)
    index = np.concatenate([order, padding]).reshape(-1, BATCH).astype(np.int32)
    return {
        "index": index,
        "mask": index < num_examples,
        "label": rng.integers(0, C, index.shape),
        "x": rng.normal(size=(*index.shape, D)).astype(np.float32),
    }


def objective(params, state, batch, axis_name=None, tx=TX, local_rows=False):
    terms, state = tx.update(
        rj.start(batch),
        state,
        batch,
        logits=batch["x"] @ params,
        strong_logits=jnp.sin(2 * batch["x"]) @ params,
        axis_name=axis_name,
        local_rows=local_rows,
    )
    return rj.reduce(terms, axis_name), state


def step(carry, batch):
    params, state = carry
    (loss, state), gradient = jax.value_and_grad(objective, has_aux=True)(
        params, state, batch
    )
    return (params - 0.5 * gradient, state), loss


@jax.jit
def epoch(params, state, batches, losses):
    (params, state), values = jax.lax.scan(step, (params, state), batches)
    return params, TX.epoch(state, losses=losses), values


def shardings(state, mesh):
    """Rows over the devices, everything else on each."""

    def all_as(tree, spec):
        return jax.tree.map(lambda _: NamedSharding(mesh, spec), tree)

    return rj.LossState(
        all_as(state.rows, PartitionSpec("data")),
        all_as(state.shared, PartitionSpec()),
    )


def place(params, state, batches, mesh):
    return (
        jax.device_put(params, NamedSharding(mesh, PartitionSpec())),
        jax.device_put(state, shardings(state, mesh)),
        jax.device_put(batches, NamedSharding(mesh, PartitionSpec(None, "data"))),
    )


def assert_spread(rows, count):
    """Every device holds its own equal part of every leaf."""
    for leaf in jax.tree.leaves(rows):
        shards = leaf.addressable_shards
        assert len({shard.device for shard in shards}) == count
        assert {shard.data.shape[0] for shard in shards} == {leaf.shape[0] // count}


@pytest.fixture
def four():
    return Mesh(jax.devices()[:4], ("data",))


@pytest.mark.slow
def test_eight_devices_then_a_checkpoint_then_four(mesh, four, tmp_path):
    num_examples = 22
    params, state = start(num_examples)
    data, losses = batches(num_examples), jnp.linspace(0, 2, 24)
    alone = epoch(params, state, data, losses)
    spread = epoch(*place(params, state, data, mesh), losses)
    chex.assert_trees_all_close(spread, alone, atol=2e-6)
    assert_spread(spread[1].rows, 8)

    saved = {"params": spread[0], "state": spread[1]}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "run", saved)
        checkpointer.wait_until_finished()
        placed = {
            "params": NamedSharding(four, PartitionSpec()),
            "state": shardings(state, four),
        }
        target = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=sharding
            ),
            saved,
            placed,
        )
        restored = checkpointer.restore(tmp_path / "run", target)
    chex.assert_trees_all_equal(restored, saved)
    assert_spread(restored["state"].rows, 4)

    # The same epoch again, from the same state, on one, eight and four devices.
    host = jax.tree.map(np.asarray, saved)
    alone = epoch(host["params"], host["state"], data, losses)
    eight = epoch(*place(host["params"], host["state"], data, mesh), losses)
    fewer = epoch(*place(restored["params"], restored["state"], data, four), losses)
    chex.assert_trees_all_close(eight, alone, atol=2e-6)
    chex.assert_trees_all_close(fewer, alone, atol=2e-6)
    assert_spread(fewer[1].rows, 4)


@pytest.mark.slow
def test_a_step_moves_batch_sized_data_alone(mesh):
    """No collective of the compiled step is as large as one device's rows."""
    num_examples = 8 * 4096
    params, state, data = place(*start(num_examples), batches(num_examples), mesh)
    batch = jax.tree.map(lambda leaf: leaf[0], data)
    text = jax.jit(step).lower((params, state), batch).compile().as_text()
    found = re.findall(
        r"= \(?(.*?)\)? (all-gather|all-reduce|all-to-all|collective-permute|"
        r"reduce-scatter)(?:-start)?\(",
        text,
    )
    assert found
    sizes = [
        functools.reduce(lambda a, b: a * int(b), filter(None, shape.split(",")), 1)
        for result, _ in found
        for shape in re.findall(r"\[([\d,]*)\]", result)
    ]
    assert max(sizes) <= BATCH * max(C, D) * 8


@pytest.mark.slow
def test_device_local_rows_under_shard_map(mesh):
    """Each device owns the rows of its examples, and the loss is the whole batch's."""
    num_examples = 16
    tx = rj.chain(rj.sop(0.5, 0.5, balance=0.3), rj.small_loss(0.4), rj.elr())
    params, _ = start(num_examples)
    state = tx.init(rj.ExampleSpec(num_examples, C))
    rows = jax.tree.map(lambda leaf: 5e7 * leaf, state.rows)
    state = state._replace(rows=rows)
    # The examples of device d are 2 d and 2 d + 1; it sees one, under its own number.
    batch = jax.tree.map(lambda leaf: leaf[0], batches(num_examples))
    batch["mask"] = np.arange(BATCH) != 5
    local = batch | {"index": np.arange(BATCH) % 2}
    batch["index"] = 2 * np.arange(BATCH) + local["index"]

    def gradient(params, state, batch, axis_name=None):
        return jax.value_and_grad(objective, has_aux=True)(
            params, state, batch, axis_name, tx, axis_name is not None
        )

    spread, everywhere = PartitionSpec("data"), PartitionSpec()
    split = rj.LossState(spread, everywhere)
    mapped = jax.shard_map(
        functools.partial(gradient, axis_name="data"),
        mesh=mesh,
        in_specs=(everywhere, split, spread),
        out_specs=((everywhere, split), everywhere),
    )
    got = jax.jit(mapped)(params, state, local)
    want = jax.jit(gradient)(params, state, batch)
    chex.assert_trees_all_close(got, want, atol=2e-6)
