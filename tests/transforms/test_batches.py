"""Batches of any kind, and indices that mean nobody: refused, or a loss of NaN."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

import robustjax as rj

N, C, B = 10, 3, 4
SPEC = rj.ExampleSpec(N, C, pad_to=8)
LOGITS = jnp.sin(jnp.arange(B * C, dtype=jnp.float32)).reshape(B, C)
GOOD = {"index": jnp.array([7, 0, 9, 3]), "label": jnp.array([0, 1, 2, 1])}
MEMORIES = {
    "elr": lambda: rj.chain(rj.ce(), rj.elr()),
    "sop": rj.sop,
    "alpha": lambda: rj.chain(rj.alpha_weights(), rj.ce()),
    "record": lambda: rj.chain(rj.ce(), rj.learning_record()),
    "given_labels": lambda: rj.chain(rj.given_labels(), rj.ce()),
    "truncated_gce": rj.truncated_gce,
    "clean_probability": lambda: rj.chain(rj.clean_probability(1), rj.ce()),
    "only_where": lambda: rj.only_where(
        rj.sop(), lambda batch: batch["label"] < C, rj.truncated_gce()
    ),
}
WRITERS = ("elr", "sop", "record", "only_where")


def run(tx, batch, logits=LOGITS):
    terms, state = tx.update(rj.start(batch), tx.init(SPEC), batch, logits=logits)
    return rj.reduce(terms), state


@functools.cache
def program(name):
    tx = MEMORIES[name]()

    def objective(logits, batch):
        return run(tx, batch, logits)

    return jax.jit(jax.value_and_grad(objective, has_aux=True))


def compiled(name, batch):
    """Loss, gradient and state of a jitted step."""
    batch = {"mask": jnp.ones(B, bool)} | batch
    (loss, state), gradient = program(name)(LOGITS, batch)
    return loss, gradient, state


@pytest.mark.parametrize("wrong", [N, -1, 2**31 - 1, SPEC.padded_examples])
@pytest.mark.parametrize("name", MEMORIES)
def test_an_index_outside_is_refused(name, wrong):
    batch = GOOD | {"index": GOOD["index"].at[2].set(wrong)}
    with pytest.raises(ValueError, match=rf"batch\['index'\]: 1 of 4 .*first: {wrong}"):
        run(MEMORIES[name](), batch)


def test_an_index_of_64_bits_is_not_cut():
    """On the host; a compiled step gets what JAX has already cut to 32 bits."""
    batch = GOOD | {"index": np.array([2**32 + 7, 0, 9, 3])}
    with pytest.raises(ValueError, match="first: 4294967303"):
        run(rj.sop(), batch)
    with pytest.raises(ValueError, match="first: 4294967303"):
        rj.check_batch(batch, N)


@pytest.mark.parametrize("name", MEMORIES)
def test_inside_a_program_an_index_outside_shows_in_the_loss(name):
    before = MEMORIES[name]().init(SPEC)
    loss, gradient, _ = compiled(name, GOOD)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    # 12 is a row of padding: it exists, but is no example's.
    for wrong in (N, 12, -1, 2**31 - 1):
        batch = GOOD | {"index": GOOD["index"].at[2].set(wrong)}
        loss, gradient, state = compiled(name, batch)
        assert np.isnan(loss)
        assert np.isnan(gradient).any()
        for old, new in zip(jax.tree.leaves(before.rows), jax.tree.leaves(state.rows)):
            np.testing.assert_array_equal(old[9], new[9])


@pytest.mark.parametrize("name", WRITERS)
def test_an_example_twice_is_refused_where_rows_are_written(name):
    batch = GOOD | {"index": jnp.array([7, 0, 7, 3])}
    with pytest.raises(ValueError, match=r"1 example\(s\) occur more than once .*: 7"):
        run(MEMORIES[name](), batch)
    loss, gradient, _ = compiled(name, batch)
    assert np.isnan(loss)
    assert np.isnan(gradient).any()


def test_an_example_twice_may_be_read():
    """Drawing with replacement is fine where a batch writes nothing."""
    batch = GOOD | {"index": jnp.array([7, 0, 7, 3])}
    tx = rj.chain(rj.alpha_weights(), rj.ce())
    loss, _ = run(tx, batch)
    assert loss == jnp.mean(rj.losses.cross_entropy(LOGITS, GOOD["label"]))


def test_padding_may_have_any_index():
    tx = rj.chain(rj.ce(), rj.elr())
    mask = jnp.array([True, True, False, False])
    for index in ([7, 0, 7, 7], [7, 0, -5, 99]):
        batch = GOOD | {"index": jnp.array(index), "mask": mask}
        assert np.isfinite(run(tx, batch)[0])
        assert np.isfinite(compiled("elr", batch)[0])


def test_checkify_says_which_index_it_was():
    tx = rj.chain(rj.alpha_weights(), rj.ce(), rj.elr())
    step = checkify.checkify(jax.jit(lambda batch: run(tx, batch)))
    error, _ = step(GOOD)
    assert error.get() is None
    error, _ = step(GOOD | {"index": GOOD["index"].at[1].set(77)})
    assert "77" in error.get()
    error, _ = step(GOOD | {"index": jnp.array([7, 0, 7, 3])})
    assert "once" in error.get()


class Named(NamedTuple):
    label: Any
    index: Any
    image: Any = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Data:
    label: Any
    index: Any
    mask: Any = None


@pytest.mark.parametrize("kind", [Named, Data])
def test_batches_with_attributes(kind):
    tx = rj.chain(rj.alpha_weights(), rj.ce(), rj.elr())
    batch = kind(label=GOOD["label"], index=GOOD["index"])
    want, state = run(tx, GOOD)
    got, new = run(tx, batch)
    assert got == want
    jax.tree.map(np.testing.assert_array_equal, new, state)
    jitted = jax.jit(lambda batch: run(tx, batch)[0])
    np.testing.assert_allclose(jitted(batch), want, rtol=1e-6)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"label": GOOD["label"]}, "batch: got label, expected .* 'index'"),
        ({"index": GOOD["index"], "x": 1}, "batch: got index, x, expected .* 'label'"),
        ((GOOD["index"], GOOD["label"]), "batch: got tuple without names"),
        (Named(GOOD["label"], None), "batch: got label, index, image, .* 'index'"),
        (GOOD | {"index": jnp.ones(B)}, r"batch\['index'\]: got float32"),
        (GOOD | {"index": jnp.ones(B, bool)}, r"batch\['index'\]: got bool"),
    ],
)
def test_batches_that_lack_something(batch, message):
    with pytest.raises(TypeError, match=message):
        run(rj.chain(rj.ce(), rj.elr()), batch)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": jnp.array([3])}, r"index'\]: got shape \(1,\), expected \(4,\)"),
        ({"index": jnp.array(3)}, r"index'\]: got shape \(\), expected \(4,\)"),
        ({"mask": jnp.array([True])}, r"mask'\]: got shape \(1,\), expected \(4,\)"),
        ({"mask": jnp.ones((B, C), bool)}, r"mask'\]: got shape \(4, 3\)"),
        ({"label": jnp.ones(B)}, r"label'\]: got float32 of shape \(4,\)"),
        ({"label": jnp.array(1)}, r"label'\]: got int32 of shape \(\)"),
        ({"label": jnp.ones((B, C + 1))}, r"labels: got shape \(4, 4\)"),
    ],
)
def test_shapes_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: run(rj.chain(rj.ce(), rj.elr()), GOOD | change))


@pytest.mark.parametrize(
    "tx", [rj.chain(rj.ce(), rj.elr()), rj.sop()], ids=["elr", "sop"]
)
def test_another_number_of_classes_than_the_specs(tx):
    wide = jnp.zeros((B, C + 1))
    with pytest.raises(ValueError, match=r"logits: got shape \(4, 4\), expected \(4,"):
        run(tx, GOOD, wide)


@pytest.mark.parametrize("field", ["value", "weight"])
def test_a_transform_of_ones_own_cannot_broadcast(field):
    def apply(terms, batch, /, **extra):
        return terms.replace(**{field: jnp.ones((B, 1))})

    tx = rj.stateless(apply, stage=rj.Stage.HEAD, name="mine")
    with pytest.raises(ValueError, match=rf"mine: got {field} of shape \(4, 1\)"):
        run(tx, GOOD)
    terms = rj.start(GOOD).replace(**{field: jnp.ones((B, 1))})
    with pytest.raises(ValueError, match=rf"reduce: got {field} of shape \(4, 1\)"):
        rj.reduce(terms)


def test_rows_of_ones_own_keep_their_shape():
    tx = rj.rowwise(
        lambda spec: {"seen": jnp.zeros(spec.padded_examples)},
        lambda terms, rows, shared, batch, /, **extra: (terms, {"seen": jnp.ones(1)}),
        stage=rj.Stage.ADDITIVE,
        name="mine",
    )
    with pytest.raises(ValueError, match=r"mine: got rows of shape \(1,\), expected"):
        run(tx, GOOD)


def test_only_where_wants_one_truth_per_example():
    tx = rj.only_where(rj.ce(), lambda batch: jnp.array(True))
    with pytest.raises(ValueError, match=r"only_where: got bool of shape \(\) from"):
        run(tx, GOOD)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"index": [0, 1, 2, N]}, ValueError, "first: 10"),
        ({"index": [0, 1, 1, 2]}, ValueError, "more than once"),
        ({"label": [0, 1, 2, C]}, ValueError, r"label'\]: 1 label\(s\) out of range"),
        ({"label": np.ones((B, 2))}, ValueError, "expected integers or distributions"),
        ({"label": [0, 1]}, ValueError, r"label'\]: got shape \(2,\)"),
        ({"index": [0.0, 1, 2, 3]}, TypeError, "got float64, expected integers"),
    ],
)
def test_check_batch(change, error, message):
    batch = {name: np.asarray(array) for name, array in GOOD.items()}
    rj.check_batch(batch, N, C)
    with pytest.raises(error, match=message):
        rj.check_batch(batch | change, N, C)
    rj.check_batch(
        {"index": [0, 0], "label": [1, 99], "mask": [True, False]}, num_examples=1
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "uint32"])
def test_padding_writes_nothing_whatever_the_width_of_the_index(dtype):
    """The row that stands for padding, 300, is 44 in eight bits."""
    spec = rj.ExampleSpec(300, C)
    tx = rj.chain(rj.ce(), rj.elr())
    batch = {
        "index": jnp.array([7, 0, 9, 3], dtype),
        "label": GOOD["label"],
        "mask": jnp.array([True, True, True, False]),
    }
    for update in (tx.update, jax.jit(tx.update)):
        _, state = update(rj.start(batch), tx.init(spec), batch, logits=LOGITS)
        written = np.flatnonzero(np.asarray(state.rows[1]["target"]).any(axis=1))
        np.testing.assert_array_equal(written, [0, 7, 9])


def test_an_unsigned_index_beyond_int32_shows_in_the_loss():
    index = jnp.array([7, 0, 3_000_000_000, 2**32 - 1], jnp.uint32)
    loss, _, _ = compiled("elr", GOOD | {"index": index})
    assert np.isnan(loss)
    with pytest.raises(ValueError, match="first: 3000000000"):
        run(MEMORIES["elr"](), GOOD | {"index": index})
    # An index that is a constant of the program has all its digits.
    constant = GOOD | {"index": np.array([2**32 + 7, 0, 9, 3])}
    tx = MEMORIES["elr"]()
    assert np.isnan(
        jax.jit(lambda mask: run(tx, constant | {"mask": mask})[0])(jnp.ones(B, bool))
    )


def test_fewer_rows_than_examples_are_refused():
    """Rows set by hand, or a part of them where nobody said so, would read as zero."""
    tx = rj.chain(rj.given_weights(), rj.ce())
    state = tx.init(SPEC)
    short = state._replace(rows=({"weight": jnp.ones(5)}, ()))
    batch = GOOD | {"index": jnp.array([1, 2, 7, 8])}

    def loss(state):
        terms, _ = tx.update(rj.start(batch), state, batch, logits=LOGITS)
        return rj.reduce(terms)

    with pytest.raises(ValueError, match="given_weights: got a state of 5 rows, expec"):
        loss(short)
    assert np.isnan(jax.jit(loss)(short))
    assert np.isfinite(jax.jit(loss)(state))
    alpha = rj.alpha_weights()
    part = alpha.init(SPEC)._replace(rows={"weight": jnp.ones(5)})
    with pytest.raises(ValueError, match="alpha_weights: got a state of 5 rows"):
        alpha.epoch(part, losses=jnp.ones(5))
    after = jax.jit(lambda state: alpha.epoch(state, losses=jnp.ones(5)))(part)
    assert np.isnan(after.rows["weight"]).all()


@pytest.mark.parametrize("mask", [jnp.ones(B), np.array([0.5, 0.1, 2.0, 0.0])])
def test_weights_are_no_mask(mask):
    with pytest.raises(TypeError, match=r"batch\['mask'\]: got float.* given_weights"):
        rj.start(GOOD | {"mask": mask})
    with pytest.raises(TypeError, match=r"batch\['mask'\]: got float"):
        rj.check_batch(GOOD | {"mask": mask}, N)


def test_row_numbers_are_no_mask():
    rows = jnp.arange(B)
    with pytest.raises(ValueError, match=r"batch\['mask'\]: got 2, expected bools"):
        rj.start(GOOD | {"mask": rows})
    with pytest.raises(ValueError, match=r"batch\['mask'\]: got 2, expected bools"):
        rj.check_batch(GOOD | {"mask": rows}, N)

    @jax.jit
    def traced(mask):
        # What a transform finds to be wrong is joined to it.
        batch = GOOD | {"mask": mask}
        tx = rj.chain(rj.ce(), rj.elr())
        return run(tx, batch)[0]

    assert np.isnan(traced(rows))
    assert np.isfinite(traced(rows % 2))
