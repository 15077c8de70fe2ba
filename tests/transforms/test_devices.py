"""Under `pmap`, rows that nobody said whose they are would diverge: an error."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import robustjax as rj

SPEC = rj.ExampleSpec(16, 3)
TX = rj.chain(rj.ce(), rj.elr())
LABELS = jnp.arange(16).reshape(8, 2) % 3
INDEX = jnp.arange(16).reshape(8, 2)
LOGITS = jnp.sin(jnp.arange(48.0)).reshape(8, 2, 3)


def visit(logits, labels, index, tx=TX, spec=SPEC, **layout):
    return rj.value(tx, tx.init(spec), logits, labels, index, **layout)[1].rows


def test_without_a_layout_pmap_and_shard_map_are_refused(mesh):
    with pytest.raises(ValueError, match="elr: called under pmap .* over 'd'"):
        jax.eval_shape(jax.pmap(visit, axis_name="d"), LOGITS, LABELS, INDEX)
    for check in (True, False):
        mapped = jax.shard_map(
            lambda *batch: visit(*(leaf[0] for leaf in batch)),
            mesh=mesh,
            in_specs=PartitionSpec("data"),
            out_specs=PartitionSpec("data"),
            check_vma=check,
        )
        with pytest.raises(ValueError, match="axis_name='data' where every device"):
            jax.eval_shape(mapped, LOGITS, LABELS, INDEX)


def test_epoch_rules_want_to_know_as_well():
    tx = rj.chain(rj.alpha_weights(), rj.ce())
    with pytest.raises(ValueError, match="alpha_weights: called under pmap"):
        jax.pmap(lambda losses: tx.epoch(tx.init(SPEC), losses=losses), axis_name="d")(
            jnp.ones((8, 16))
        )


@pytest.mark.slow
def test_named_batch_axes_are_not_devices():
    """`vmap` over repeats with an axis name, as BatchNorm may want it, is free."""
    rows = jax.vmap(visit, axis_name="repeats")(LOGITS, LABELS, INDEX)
    assert rows[1]["target"].shape == (8, 16, 3)


@pytest.mark.slow
def test_devices_that_train_apart():
    apart = functools.partial(visit, local_rows=True)
    rows = jax.pmap(apart, axis_name="d")(LOGITS, LABELS, INDEX)
    want = jax.vmap(visit)(LOGITS, LABELS, INDEX)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), rows, want)


def test_examples_on_two_devices_at_once_show_in_the_loss():
    index = INDEX.at[5, 0].set(0)

    def loss(logits, labels, index):
        return rj.value(TX, TX.init(SPEC), logits, labels, index, axis_name="d")[0]

    mapped = jax.pmap(loss, axis_name="d")
    assert np.isfinite(mapped(LOGITS, LABELS, INDEX)).all()
    assert np.isnan(mapped(LOGITS, LABELS, index)).all()


def test_local_rows_are_numbered_from_zero():
    """The last device of a padded data set has fewer examples than rows."""
    spec = rj.ExampleSpec(15, 3, pad_to=8)
    state = TX.init(spec)
    rows = jax.tree.map(lambda leaf: leaf.reshape(8, 2, *leaf.shape[1:]), state.rows)

    def loss(rows, logits, labels, index):
        own = rj.LossState(rows, state.shared)
        return rj.value(TX, own, logits, labels, index, axis_name="d", local_rows=True)[
            0
        ]

    mapped = jax.pmap(loss, axis_name="d")
    batch = (LOGITS[:, :1], LABELS[:, :1])
    assert np.isfinite(mapped(rows, *batch, jnp.zeros((8, 1), int))).all()
    assert np.isnan(mapped(rows, *batch, jnp.ones((8, 1), int))).all()


@pytest.mark.parametrize("check", [True, False])
def test_parts_of_the_rows_taken_for_all_show_in_the_loss(mesh, check):
    state = TX.init(SPEC)
    everywhere, spread = PartitionSpec(), PartitionSpec("data")

    def loss(rows, shared, logits, labels, index):
        own = rj.LossState(rows, shared)
        batch = (leaf[0] for leaf in (logits, labels, index))
        return rj.value(TX, own, *batch, axis_name="data")[0]

    def over_devices(loss):
        return jax.shard_map(
            loss,
            mesh=mesh,
            in_specs=(spread, everywhere, spread, spread, spread),
            out_specs=everywhere,
            check_vma=check,
        )

    arguments = (state.rows, state.shared, LOGITS, LABELS, INDEX)
    assert np.isnan(jax.jit(over_devices(loss))(*arguments))
    known = over_devices(lambda rows, _, *batch: loss(rows, state.shared, *batch))
    with pytest.raises(ValueError, match="elr: got a state of 2 rows, expected one f"):
        jax.eval_shape(known, *arguments)
