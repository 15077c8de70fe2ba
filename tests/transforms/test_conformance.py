"""What every loss transform must satisfy. Cover a new one by adding a line here.

Those of the methods that are a loss alone are here by their entries in the registry.
"""

from __future__ import annotations

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import robustjax as rj
from robustjax import training
from robustjax.methods import ROBUST_LOSSES
from tests.transforms.two_epochs import (
    SPEC,
    C,
    batch_at,
    both_layouts,
    columns,
    end_epoch,
    objective,
    outputs,
    problem,
    scanned,
    step,
)

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
    "averaged_losses": lambda: rj.chain(rj.gce(), rj.transforms.averaged_losses()),
    "relative_difficulty": lambda: rj.chain(
        rj.transforms.relative_difficulty(), rj.ce()
    ),
    "relative_difficulty(plain)": lambda: rj.chain(
        rj.transforms.relative_difficulty(0.0, normalize=False), rj.ce()
    ),
    "group_dro": lambda: rj.chain(rj.ce(), rj.transforms.group_dro(4, 0.5)),
    "group_dro(adjusted)": lambda: rj.chain(
        rj.ce(),
        rj.transforms.group_dro(4, 0.5, adjustment=1.0, group_counts=(2, 9, 4, 7)),
    ),
    "up_weight_errors": lambda: rj.chain(rj.transforms.up_weight_errors(5.0), rj.ce()),
    "repair_weights": lambda: rj.chain(rj.transforms.repair_weights(2.0), rj.ce()),
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


class Case:
    """A transform, and what several tests need of it: compiled once for all of them."""

    def __init__(self, name):
        self.name = name
        self.tx = CASES[name]()
        self.traces = []
        self.start = self.tx.init(SPEC)
        self.scan = jax.jit(functools.partial(scanned, self.tx))

    @functools.cached_property
    def step(self):
        @jax.jit
        def one_step(carry, batch):
            self.traces.append("step")
            return step(self.tx, carry, batch)

        return one_step

    @functools.cached_property
    def expected(self):
        """The reference: (params, state, losses) of two epochs, batch by batch."""

        @jax.jit
        def one_epoch(params, state):
            self.traces.append("epoch")
            return end_epoch(self.tx, params, state)

        _, _, batches, params = problem()
        state, losses = self.start, []
        for _ in range(2):
            for i in range(batches["index"].shape[0]):
                (params, state), loss = self.step((params, state), batch_at(i))
                losses.append(loss)
            state = one_epoch(params, state)
        return jax.device_get((params, state, np.stack(losses)))


# By module, so that the tests of a case follow each other and the last is forgotten.
@pytest.fixture(params=CASES, ids=list(CASES), scope="module")
def case(request):
    return Case(request.param)


def test_scan_under_jit_equals_loop_of_steps(case):
    _, _, batches, params = problem()
    got = case.scan(params, case.start, batches)
    chex.assert_trees_all_close(got, case.expected, atol=2e-6)


def test_one_trace_serves_every_batch_and_epoch(case):
    _ = case.expected
    assert case.traces == ["step", "epoch"]


def test_state_keeps_structure_shapes_and_dtypes(case):
    chex.assert_trees_all_equal_shapes_and_dtypes(case.start, case.expected[1])


def test_rows_lead_with_the_padded_axis(case):
    for leaf in jax.tree.leaves(case.start.rows):
        assert leaf.shape[0] == SPEC.padded_examples


def test_vmap_over_repeats_equals_single_runs(case):
    _, _, batches, params = problem()
    many_params = np.float32([1, 0.3, -1])[:, None, None] * params
    many = jax.jit(jax.vmap(case.scan, (0, None, None)))(
        many_params, case.start, batches
    )
    first, last = (jax.tree.map(lambda leaf, i=i: leaf[i], many) for i in (0, 2))
    chex.assert_trees_all_close(first, case.expected, atol=2e-6)
    alone = case.scan(many_params[2], case.start, batches)
    chex.assert_trees_all_close(last, alone, atol=2e-6)


def test_sharded_over_eight_devices_equals_single_device(case, mesh):
    _, _, batches, params = problem()
    rows = NamedSharding(mesh, PartitionSpec("data"))
    split = NamedSharding(mesh, PartitionSpec(None, "data"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    state = case.start._replace(
        rows=jax.device_put(case.start.rows, rows),
        shared=jax.device_put(case.start.shared, everywhere),
    )
    got = case.scan(
        jax.device_put(params, everywhere), state, jax.device_put(batches, split)
    )
    chex.assert_trees_all_close(got, case.expected, atol=2e-6)


def test_epochs_under_pmap_equal_one_device(case):
    """Copies of all rows stay equal; rows of a device's own are parts of the whole."""
    params, state = problem()[3], jax.device_get(case.start)
    rows = jax.tree.map(lambda leaf: leaf.reshape(8, -1, *leaf.shape[1:]), state.rows)
    run = jax.pmap(
        both_layouts(case.tx, "d"),
        axis_name="d",
        in_axes=(None, rj.LossState(None, None), rj.LossState(0, None), 0, 0),
    )
    local = state._replace(rows=rows)
    copies, parts = jax.device_get(
        run(params, state, local, columns(False), columns(True))
    )
    wanted_params, wanted, wanted_losses = case.expected
    for got_params, got, losses in (copies, parts):
        for device in range(8):
            at = functools.partial(jax.tree.map, lambda leaf, d=device: leaf[d])
            mine = at((got_params, got.shared, losses))
            chex.assert_trees_all_close(
                mine, (wanted_params, wanted.shared, wanted_losses), atol=2e-6
            )
    rows = copies[1].rows
    for device in range(8):
        at = functools.partial(jax.tree.map, lambda leaf, d=device: leaf[d])
        chex.assert_trees_all_close(at(rows), wanted.rows, atol=2e-6)
        # Copies that differ in the last bit would drift apart.
        chex.assert_trees_all_equal(at(rows), jax.tree.map(lambda leaf: leaf[0], rows))
    whole = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), parts[1].rows)
    chex.assert_trees_all_close(whole, wanted.rows, atol=2e-6)


def test_epochs_under_shard_map_equal_one_device(case, mesh):
    """With JAX's own check that what is said to be replicated is."""
    everywhere, spread = PartitionSpec(), PartitionSpec("data")
    all_rows = rj.LossState(everywhere, everywhere)
    own_rows = rj.LossState(spread, everywhere)
    run = both_layouts(case.tx, "data")

    def on_device(*arguments):
        *states, all_columns, own_columns = arguments
        mine = jax.tree.map(lambda leaf: leaf[0], (all_columns, own_columns))
        return run(*states, *mine)

    mapped = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(everywhere, all_rows, own_rows, spread, spread),
        out_specs=tuple(
            (everywhere, rows, everywhere) for rows in (all_rows, own_rows)
        ),
    )
    copies, parts = jax.jit(mapped)(
        problem()[3], case.start, case.start, columns(False), columns(True)
    )
    chex.assert_trees_all_close(copies, case.expected, atol=2e-6)
    chex.assert_trees_all_close(parts, case.expected, atol=2e-6)


def test_padding_is_inert(case):
    params, last = problem()[3], batch_at(-1)
    mask = last["mask"]
    assert not mask.all()
    spoilt = {
        **last,
        "label": np.where(mask, last["label"], np.int32(10**6)),
        "index": np.where(mask, last["index"], np.int32(0)),
        "x": np.where(mask[:, None], last["x"], np.float32(1e6)),
        "box": np.where(mask[:, None], last["box"], np.float32(np.nan)),
        "group": np.where(mask, last["group"], np.int32(-7)),
    }
    clean = case.step((params, case.start), last)
    chex.assert_trees_all_equal(case.step((params, case.start), spoilt), clean)


def test_an_eager_step_equals_a_compiled_one(case):
    """And leaves the rows of other examples alone."""
    params, batch = problem()[3], batch_at(0)
    arrays = jax.tree.map(jnp.asarray, batch)
    got = jax.device_get(step(case.tx, (jnp.asarray(params), case.start), arrays))
    chex.assert_trees_all_close(got, case.step((params, case.start), batch), atol=2e-6)
    if any(name in case.tx.name for name in ("epoch_every", "repair_weights")):
        # A step may move every row: by an epoch rule, by a sum over the data set.
        return
    others = np.setdiff1d(np.arange(SPEC.padded_examples), batch["index"])
    (_, after), _ = got
    pick = functools.partial(jax.tree.map, lambda leaf: np.asarray(leaf)[others])
    chex.assert_trees_all_equal(pick(after.rows), pick(case.start.rows))


def test_no_gradient_flows_through_the_state(case):
    def total(params, state, batch):
        _, state = objective(params, state, batch, case.tx)
        floats = [
            leaf
            for leaf in jax.tree.leaves(state)
            if jnp.issubdtype(leaf.dtype, jnp.inexact)
        ]
        return sum((jnp.sum(leaf) for leaf in floats), jnp.float32(0))

    slope = jax.jit(jax.grad(total))(problem()[3], case.start, batch_at(0))
    assert not np.any(slope)


def test_half_precision_logits_give_float32_values(case):
    def update(params, state, batch):
        halves = {
            name: array if array.dtype == bool else array.astype(jnp.bfloat16)
            for name, array in outputs(params, batch).items()
        }
        terms, new = case.tx.update(rj.start(batch), state, batch, **halves)
        return terms.value, [penalty.value for penalty in terms.penalties], new

    value, penalties, new = jax.eval_shape(
        update, problem()[3], case.start, batch_at(0)
    )
    assert value.dtype == jnp.float32
    assert all(penalty.dtype == jnp.float32 for penalty in penalties)
    chex.assert_trees_all_equal_dtypes(case.start, new)


@pytest.mark.slow
def test_checkpoint_restores_onto_another_device_count(mesh, tmp_path):
    """The states of all transforms, of numbers that differ, in one checkpoint."""
    four = jax.sharding.Mesh(jax.devices()[:4], ("data",))

    def numbered(leaf):
        return np.arange(leaf.size).reshape(leaf.shape).astype(leaf.dtype)

    def place(state, mesh):
        rows = NamedSharding(mesh, PartitionSpec("data"))
        shared = NamedSharding(mesh, PartitionSpec())
        return type(state)(
            jax.device_put(state.rows, rows), jax.device_put(state.shared, shared)
        )

    shapes = {name: tx().init(SPEC) for name, tx in CASES.items()}
    states = {
        name: jax.tree.map(numbered, state)
        for name, state in shapes.items()
        if jax.tree.leaves(state)
    }
    assert len(states) > len(CASES) / 2
    folder = training.CheckpointFolder(tmp_path)
    folder.save(1, {name: place(state, mesh) for name, state in states.items()})
    blank = jax.tree.map(np.zeros_like, states)
    like = {name: place(state, four) for name, state in blank.items()}
    _, restored, _ = folder.restore_latest(like)
    chex.assert_trees_all_equal(restored, states)
    for state in restored.values():
        for leaf in jax.tree.leaves(state.rows):
            assert len(leaf.sharding.device_set) == 4
            assert leaf.sharding.spec == PartitionSpec("data")
