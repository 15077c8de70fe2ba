"""One epoch, however it is run: the same numbers."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax import training
from robustjax.training import _epoch as epoch_lib
from robustjax.training._program import over_repeats
from tests.training import toy

WEIGHTED = {
    "ce": rj.ce,
    "alpha": lambda: rj.chain(rj.alpha_weights(0.3), rj.ce()),
    "alpha, training losses": lambda: rj.chain(
        rj.alpha_weights(0.3, loss_pass="training"), rj.ce()
    ),
}


def run(program, epochs=3):
    state, data = toy.start(program)
    history = []
    for _ in range(epochs):
        state, metrics = program.epoch(state, data)
        history.append(jax.device_get(metrics))
    return toy.without_keys(state), history


@functools.cache
def one_device(name="ce"):
    """`run` of a scan on one device, which many tests compare with."""
    return run(toy.program(WEIGHTED[name]()))


def numpy_epochs(epochs):
    """Plain NumPy: the same order of batches, gradients by hand."""
    program = toy.program()
    state, _ = toy.start(program)
    x, y = toy.arrays()
    params = jax.tree.map(lambda leaf: np.asarray(leaf[0], np.float64), state.params)
    w1, b1 = params["hidden0"]["kernel"], params["hidden0"]["bias"]
    w2, b2 = params["head"]["kernel"], params["head"]["bias"]
    velocity = [np.zeros_like(p) for p in (w1, b1, w2, b2)]
    for epoch in range(epochs):
        key = jax.random.fold_in(state.key[0], jnp.int32(-1 - epoch))
        order = np.asarray(epoch_lib.epoch_order(key, toy.N, 16, toy.N))
        for index in order:
            index = index[index < toy.N]
            inputs, labels = x[index].astype(np.float64), y[0][index]
            hidden = np.maximum(inputs @ w1 + b1, 0)
            logits = hidden @ w2 + b2
            p = np.exp(logits - logits.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            delta = (p - np.eye(toy.C)[labels]) / len(index)
            back = delta @ w2.T * (hidden > 0)
            gradients = [inputs.T @ back, back.sum(0), hidden.T @ delta, delta.sum(0)]
            velocity = [0.9 * v + g for v, g in zip(velocity, gradients)]
            w1, b1, w2, b2 = (w - 0.1 * v for w, v in zip((w1, b1, w2, b2), velocity))
    return w1, b1, w2, b2


def test_training_equals_numpy():
    state, _ = one_device()
    w1, b1, w2, b2 = numpy_epochs(3)
    params = jax.tree.map(lambda leaf: leaf[0], state.params)
    np.testing.assert_allclose(params["hidden0"]["kernel"], w1, atol=2e-5)
    np.testing.assert_allclose(params["hidden0"]["bias"], b1, atol=2e-5)
    np.testing.assert_allclose(params["head"]["kernel"], w2, atol=2e-5)
    np.testing.assert_allclose(params["head"]["bias"], b2, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTED)
def test_single_steps_equal_the_scan(name):
    scan = one_device(name)
    steps = run(toy.program(WEIGHTED[name](), loop="steps"))
    chex.assert_trees_all_close(scan, steps, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTED)
def test_eight_devices_equal_one(name, mesh):
    one, history = one_device(name)
    eight, sharded_history = run(toy.program(WEIGHTED[name](), mesh=mesh))
    cut = jax.tree.map(lambda leaf: leaf[:, : toy.N], eight.loss_state.rows)
    eight = eight._replace(loss_state=eight.loss_state._replace(rows=cut))
    chex.assert_trees_all_close(one, eight, atol=2e-5)
    chex.assert_trees_all_close(history, sharded_history, atol=2e-5)


def test_rows_and_data_are_divided_among_devices(mesh):
    program = toy.program(WEIGHTED["alpha"](), mesh=mesh)
    state, data = toy.start(program)
    state, _ = program.epoch(state, data)
    weight = state.loss_state.rows[0]["weight"]
    assert weight.sharding.shard_shape(weight.shape) == (toy.REPEATS, 7)
    assert data.inputs.sharding.shard_shape(data.inputs.shape) == (7, toy.D)
    assert state.params["head"]["kernel"].sharding.is_fully_replicated


def test_repeats_together_equal_repeats_alone():
    together, _ = one_device()
    program = toy.program()
    x, y = toy.arrays()
    keys = jax.random.split(jax.random.key(0), toy.REPEATS)
    for r in range(toy.REPEATS):
        state = program.init(keys[r : r + 1], jnp.asarray(x))
        data = program.make_data(x, y[r : r + 1])
        for _ in range(3):
            state, _ = program.epoch(state, data)
        chex.assert_trees_all_close(
            jax.tree.map(lambda leaf: leaf[0], toy.without_keys(state)),
            jax.tree.map(lambda leaf, r=r: leaf[r], together),
            atol=1e-6,
        )


@pytest.mark.parametrize("scale", [{"step_size": 0.0}, {"scale": 1e30}])
def test_uniform_alpha_equals_plain_sgd_to_the_bit(scale):
    plain, history = one_device()
    weighted, weighted_history = run(
        toy.program(rj.chain(rj.alpha_weights(**scale), rj.ce()))
    )
    chex.assert_trees_all_equal(plain.params, weighted.params)
    chex.assert_trees_all_equal(history, weighted_history)


def test_no_recompilation_from_epoch_to_epoch():
    program = toy.program(WEIGHTED["alpha"]())
    state, data = toy.start(program)
    for _ in range(3):
        state, _ = program.epoch(state, data)
    assert program._scan._cache_size() == 1


def test_profiles_tell_the_programs_apart():
    program = toy.program()
    state, data = toy.start(program)
    for function, arguments, name in (
        (program._scan, (state, data), "_scan_epoch"),
        (program._predict, (state, data.inputs), "_predict_one"),
    ):
        assert f"@jit_{name} " in function.lower(*arguments).as_text()


def test_state_is_donated():
    program = toy.program()
    state, data = toy.start(program)
    program.epoch(state, data)
    assert state.params["head"]["kernel"].is_deleted()


def test_same_inputs_same_bits():
    chex.assert_trees_all_equal(run(toy.program()), one_device())


def test_every_example_once_per_epoch():
    order = np.asarray(epoch_lib.epoch_order(jax.random.key(1), 50, 16, 56))
    assert order.shape == (4, 16)
    np.testing.assert_array_equal(np.sort(order.ravel())[:50], np.arange(50))
    assert (np.sort(order.ravel())[50:] == 56).all()
    other = np.asarray(epoch_lib.epoch_order(jax.random.key(2), 50, 16, 56))
    assert (order != other).any()


@pytest.mark.slow
def test_steps_under_pmap_equal_the_global_steps():
    """The old way, `jax.pmap`: every device holds the state and sees two examples."""
    algorithm = toy.algorithm(rj.chain(rj.alpha_weights(), rj.ce(), rj.elr()))
    x, y = toy.arrays()
    data = training.TrainData(jnp.asarray(x), jnp.asarray(y[0]))
    want = got = algorithm.init(
        jax.random.key(0), data.inputs[:1], rj.ExampleSpec(toy.N, toy.C)
    )
    alone = jax.jit(functools.partial(training.train_step, algorithm))
    step = jax.pmap(
        functools.partial(training.train_step, algorithm, axis_name="devices"),
        axis_name="devices",
        in_axes=(None, 0),
    )
    for first in (0, 8):
        batch = epoch_lib.read_batch(data, first + jnp.arange(16), toy.N)
        want, metrics = alone(want, batch)
        shards = jax.tree.map(lambda a: a.reshape(8, 2, *a.shape[1:]), dict(batch))
        copies, mapped = step(got, shards)
        # The key holds no numbers to compare.
        copies = copies._replace(key=None)
        np.testing.assert_allclose(mapped["loss"], float(metrics["loss"]), rtol=1e-5)
        got = jax.tree.map(lambda leaf: leaf[0], copies)
        chex.assert_trees_all_close(got, want._replace(key=None), atol=1e-6)
        for device in range(8):
            here = jax.tree.map(lambda leaf, d=device: leaf[d], copies)
            chex.assert_trees_all_equal(here, got)
        got = got._replace(key=want.key)


@pytest.mark.parametrize("shards", [1, 2, 4])
@pytest.mark.parametrize("block", [1, 3, 7, 100])
def test_in_blocks_keeps_the_order(shards, block):
    x = jnp.arange(24.0).reshape(12, 2)
    got = epoch_lib.in_blocks(lambda b: b.sum(1) * 10, x, block, shards)
    np.testing.assert_array_equal(got, x.sum(1) * 10)


def test_epoch_rule_gets_the_outputs_of_all_examples():
    program = toy.program(rj.truncated_gce(k=0.4))
    state, data = toy.start(program)
    logits = program.predict(state, data.inputs)
    assert logits.shape == (toy.REPEATS, toy.N, toy.C)
    one = jax.tree.map(lambda leaf: leaf[1], state)
    ended = epoch_lib.end_epoch(
        program.algorithm, one, data._replace(labels=data.labels[1]), block_size=13
    )
    chances = jax.nn.softmax(logits[1])[jnp.arange(toy.N), data.labels[1]]
    np.testing.assert_array_equal(ended.loss_state.rows["kept"], chances > 0.4)


def test_own_order_and_after_step():
    plain = toy.algorithm()

    def order(key, state, num_examples, batch_size, padding):
        del key, state, num_examples
        # Two kinds of examples per place of the batch; the last place is padding.
        first = jnp.arange(3 * batch_size).reshape(3, batch_size)
        index = jnp.stack([first % 7, first % 5 + 7], axis=-1)
        return index.at[:, -1].set(padding)

    seen = []

    def objective(params, state, batch, key, axis_name=None):
        seen.append({name: leaf.shape for name, leaf in batch.items()})
        first = {name: leaf[:, 0] for name, leaf in batch.items()}
        return plain.objective(params, state, first, key, axis_name)

    algorithm = plain._replace(
        order=order,
        objective=objective,
        after_step=lambda state: state._replace(
            params=jax.tree.map(lambda p: 0.5 * p, state.params)
        ),
    )
    for loop in ("scan", "steps"):
        program = training.Program(
            algorithm,
            rj.ExampleSpec(toy.N, toy.C),
            batch_size=4,
            execution=training.choose_execution(convolutional=False, loop=loop),
        )
        state, data = toy.start(program)
        before = jax.tree.map(np.asarray, state.params)
        state, metrics = program.epoch(state, data)
        assert metrics["loss"].shape == (toy.REPEATS, 3)
        assert seen[-1]["inputs"] == (4, 2, toy.D)
        assert seen[-1]["mask"] == (4, 2)
        np.testing.assert_array_equal(state.step, 3)
        largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(state.params))
        assert largest < 0.2 * max(np.abs(x).max() for x in jax.tree.leaves(before))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 51}, "batch_size: got 51, expected at most .* 50"),
        ({"batch_size": 0}, "batch_size: got 0"),
    ],
)
def test_bad_programs(options, message):
    with pytest.raises(ValueError, match=message):
        toy.program(**options)


def test_sizes_must_divide_among_devices(mesh):
    with pytest.raises(ValueError, match="batch_size: got 12, expected a multiple"):
        toy.program(mesh=mesh, batch_size=12)


@pytest.mark.slow
def test_execution_choice():
    choose = training.choose_execution
    assert choose(convolutional=False, backend="cpu")[:2] == ("scan", "native")
    assert choose(convolutional=True, backend="gpu")[:2] == ("scan", "native")
    assert choose(convolutional=True, backend="cpu")[:2] == ("scan", "patches")
    native = choose(convolutional=True, backend="cpu", convolution="native")
    assert native[:2] == ("steps", "native")
    with pytest.raises(ValueError, match="loop: unknown 'while'; known: scan, steps"):
        choose(convolutional=True, loop="while")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((1, toy.N), 0.9), "labels: got float64, expected integer class"),
        (
            np.full((1, toy.N), 2**32 + 1),
            "labels: got 4294967297, expected integers th",
        ),
        (
            np.zeros((1, toy.N - 1), int),
            r"labels: got shape \(1, .*expected .repeats, ",
        ),
        (np.zeros(toy.N, int), r"labels: got shape"),
        (jnp.zeros((1, toy.N)), "labels: got float32"),
    ],
)
def test_labels_that_a_cast_would_change_are_refused(labels, message):
    program = toy.program()
    with pytest.raises(ValueError, match=message):
        program.make_data(np.zeros((toy.N, 2), np.float32), labels)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"inputs": np.zeros((toy.N - 9, 2), np.float32)},
            r"inputs: got shape \(41, 2\), expected \(50, …\)",
        ),
        ({"inputs": np.zeros((toy.N + 1, 2))}, r"inputs: got shape \(51, 2\)"),
        ({"inputs": 1.0}, "inputs: got a number, expected"),
        ({"inputs": np.full((toy.N, 2), 2**32 + 1)}, "inputs: got 4294967297, expec"),
        (
            {"inputs": 1e9 + np.arange(2.0 * toy.N).reshape(toy.N, 2)},
            r"inputs: got numbers from 1e\+09 to .*, expected a range that float32",
        ),
        (
            {"extras": {"group": np.zeros((2, toy.N - 1), int)}},
            r"extras\['group'\]: got shape \(2, 49\), expected \(2, 50, …\)",
        ),
        (
            {"extras": {"group": np.zeros((1, toy.N), int)}},
            r"extras\['group'\]: got shape \(1, 50\), expected \(2, 50, …\)",
        ),
        (
            {"extras": {"group": np.full((2, toy.N), -(2**32))}},
            r"extras\['group'\]: got -4294967296, expected integers that int32",
        ),
        (
            {"extras": {"group": np.full((2, toy.N), 2**32, np.uint64)}},
            r"extras\['group'\]: got 4294967296, expected integers that uint32",
        ),
        (
            # They become int32, whatever the device could hold.
            {"labels": np.full((2, toy.N), 2**32 - 1, np.uint32)},
            "labels: got 4294967295, expected integers that int32 can hold",
        ),
    ],
)
def test_data_that_would_be_taken_for_other_data_are_refused(changed, message):
    given = {
        "inputs": np.zeros((toy.N, 2), np.float32),
        "labels": np.zeros((2, toy.N), int),
        **changed,
    }
    with pytest.raises(ValueError, match=message):
        toy.program().make_data(**given)


def test_large_ids_without_a_sign_keep_their_values():
    ids = np.full((2, toy.N), 2**32 - 1, np.uint64)
    labels, inputs = np.zeros((2, toy.N), int), np.zeros((toy.N, 2), np.float32)
    data = toy.program().make_data(inputs, labels, {"group": ids})
    np.testing.assert_array_equal(np.asarray(data.extras["group"])[:, : toy.N], ids)


def test_labels_of_64_bits_on_the_device_are_refused():
    with jax.enable_x64(True):
        labels = jnp.full((1, toy.N), 2**32 + 1)
        with pytest.raises(ValueError, match="labels: got 4294967297"):
            toy.program().make_data(np.zeros((toy.N, 2), np.float32), labels)


def test_data_of_more_repeats_than_a_lone_state_are_refused():
    """All but the first would go unseen."""
    lone, two = jnp.zeros((1, 3)), {"a": jnp.zeros((2, 3))}
    together = over_repeats(lambda state, data, shared: state + shared, (0, 0, None))
    with pytest.raises(ValueError, match="repeats: got data of 2 and a state of 1"):
        together(lone, two, jnp.ones(()))
    np.testing.assert_array_equal(together(lone, {"a": lone}, jnp.ones(())), 1 + lone)
