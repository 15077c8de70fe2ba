"""DFA: disjoint gradients, swapped features, the schedule."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robustjax import losses, training
from robustjax.methods import bias
from robustjax.methods.bias._dfa import shuffle_real
from robustjax.models import MLP, TwoEncoderClassifier
from tests.methods.bias import problem

MODEL = TwoEncoderClassifier(MLP(problem.C, (5, 4)), problem.C)
BRANCHES = (
    ("intrinsic_encoder", "intrinsic_head"),
    ("bias_encoder", "bias_head"),
)


def algorithm(optimizer=None, **options):
    recipe = bias.dfa(MODEL, optimizer or optax.sgd(0.1), epochs=1, **options)
    return recipe.phases[0].algorithm


def expected(params, batch, key, *, dis, swap, swap_bias, swaps):
    """The loss, written out, with every stop of a gradient where the paper has it."""
    stop, labels = jax.lax.stop_gradient, batch["label"]

    def encode(name):
        x = batch["inputs"]
        for i in range(2):
            layer = params[name][f"hidden{i}"]
            x = jax.nn.relu(x @ layer["kernel"] + layer["bias"][None])
        return x

    z, b = encode("intrinsic_encoder"), encode("bias_encoder")

    def head(name, *features):
        layer = params[name]
        joined = jnp.concatenate(features, axis=1)
        return joined @ layer["kernel"] + layer["bias"][None]

    def ce(logits, labels=labels):
        return losses.cross_entropy(logits, labels)

    own, other = ce(head("intrinsic_head", z, b)), ce(head("bias_head", z, b))

    def largest(v):
        return jnp.stack([jnp.max(jnp.where(labels == y, v, 0)) for y in labels])

    levels = [stop(v / largest(v)) for v in (other, own)]
    W = levels[0] / (levels[0] + levels[1] + 1e-8)

    def gce(logits, labels):
        value = ce(logits, labels)
        return 0.7 * stop(jnp.exp(-0.7 * value)) * value

    apart = jnp.mean(W * ce(head("intrinsic_head", z, stop(b))))
    apart += dis * jnp.mean(gce(head("bias_head", stop(z), b), labels))
    perm = shuffle_real(key, batch["mask"])
    mixed = jnp.mean(W * ce(head("intrinsic_head", z, stop(b[perm]))))
    mixed += swap_bias * jnp.mean(
        gce(head("bias_head", stop(z), b[perm]), labels[perm])
    )
    return apart + (swap * mixed if swaps else 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("swaps", [False, True])
def test_a_step_descends_the_printed_loss(swaps):
    made = algorithm(
        lambda_dis=3.0, lambda_swap=0.5, lambda_swap_bias=2.0, swap_from_step=7
    )
    state, batch = problem.first_state(made), problem.batch(0, 9)
    state = state._replace(step=jnp.int32(7 + swaps))
    weights = {"dis": 3.0, "swap": 0.5, "swap_bias": 2.0, "swaps": swaps}

    @jax.jit
    def both(params):
        key = jax.random.key(5)
        got = jax.value_and_grad(made.objective, has_aux=True)(
            params, state, batch, key
        )
        swap_key = jax.random.split(key, 3)[2]
        want = jax.value_and_grad(expected)(params, batch, swap_key, **weights)
        return got, want

    ((got, (_, metrics)), slope), (want, wanted) = both(state.params)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    chex.assert_trees_all_close(dict(slope), dict(wanted), atol=1e-6)
    assert metrics["swap_loss"] > 0


def test_branches_have_disjoint_gradients():
    """What one branch minimises does not move the other, swapped or not."""
    state = problem.first_state(algorithm())
    batch = problem.batch(0, 9)

    @jax.jit
    def slopes(params):
        def slope(**options):
            made = algorithm(swap_from_step=0, **options)
            later = state._replace(step=jnp.int32(5))
            arguments = later, batch, jax.random.key(1)
            return jax.grad(made.objective, has_aux=True)(params, *arguments)[0]

        return slope(), slope(lambda_dis=0.0, lambda_swap_bias=0.0)

    whole, intrinsic_alone = slopes(state.params)
    for name in BRANCHES[0]:
        chex.assert_trees_all_close(whole[name], intrinsic_alone[name], atol=1e-7)
        assert any(np.any(leaf) for leaf in jax.tree.leaves(whole[name]))
    for name in BRANCHES[1]:
        for leaf in jax.tree.leaves(intrinsic_alone[name]):
            np.testing.assert_array_equal(leaf, 0)
        assert any(np.any(leaf) for leaf in jax.tree.leaves(whole[name]))


@pytest.mark.slow
def test_lambda_dis_is_a_common_factor_that_adam_forgets():
    """Before the swapping a hundred times the factor moves nothing."""
    made = [algorithm(optax.adam(1e-2), lambda_dis=each) for each in (1.0, 100.0)]
    state, batch = problem.first_state(made[0]), problem.batch(0, 9)

    @jax.jit
    def two_steps(state):
        states = []
        for one in made:
            now = state
            for _ in range(2):
                now, _ = training.train_step(one, now, batch)
            states.append(now.params)
        return states

    one, hundred = two_steps(state)
    chex.assert_trees_all_close(one, hundred, atol=1e-5)


@pytest.mark.slow
def test_padding_is_inert_without_swapping():
    made = algorithm()
    state = problem.first_state(made)
    step = jax.jit(jax.grad(made.objective, has_aux=True))
    want, got = (
        step(state.params, state, each, jax.random.key(0))
        for each in (problem.batch(0, 6), problem.batch(0, 6, padding=3))
    )
    chex.assert_trees_all_close(got[0], want[0], atol=1e-6)
    chex.assert_trees_all_close(got[1][0].loss_state, want[1][0].loss_state, atol=1e-6)
    metrics = [dict(each[1][1]) for each in (want, got)]
    # The permutation is another one; it is not in the loss yet.
    for each in metrics:
        del each["swap_loss"]
    chex.assert_trees_all_close(*metrics, atol=1e-6)


def test_real_rows_are_shuffled_among_themselves():
    mask = jnp.array([True, False, True, True, False, True])
    many = jax.jit(jax.vmap(lambda key: shuffle_real(key, mask)))(
        jax.random.split(jax.random.key(0), 200)
    )
    np.testing.assert_array_equal(many[:, [1, 4]], np.tile([1, 4], (200, 1)))
    np.testing.assert_array_equal(
        np.sort(many, axis=1), np.tile(np.arange(6), (200, 1))
    )
    for place in (0, 2, 3, 5):
        assert set(np.unique(many[:, place])) == {0, 2, 3, 5}


@pytest.mark.slow
def test_predictions_are_of_the_intrinsic_head():
    recipe = bias.dfa(MODEL, bias.dfa_optimizer(1e-2), epochs=2, swap_from_step=2)
    program, states = problem.run(recipe)
    x, _, _ = problem.arrays()
    state = jax.tree.map(jnp.asarray, states[-1])
    got = program.predict(state, jnp.asarray(x))
    for repeat in range(problem.REPEATS):
        params = problem.leaf_of(states[-1].params, repeat)
        both = MODEL.apply({"params": params}, x, method="both_logits")
        np.testing.assert_allclose(got[repeat], both[0], atol=1e-5)


def test_the_published_schedule():
    optimizer = bias.dfa_optimizer(1e-2, decay=0.5)
    state, params = optimizer.init(jnp.zeros(())), jnp.zeros(())

    @jax.jit
    def size(step):
        """Of a step after many equal gradients, which is the learning rate."""
        adam, schedule = state
        adam = adam._replace(count=step, mu=jnp.ones(()), nu=jnp.ones(()))
        now = (adam, schedule._replace(count=step))
        return -optimizer.update(jnp.ones(()), now, params)[0]

    steps = [9_000, 19_999, 20_000, 29_999, 30_000, 40_000]
    rates = [1e-2, 1e-2, 5e-3, 5e-3, 2.5e-3, 1.25e-3]
    got = [float(size(jnp.int32(step))) for step in steps]
    np.testing.assert_allclose(got, rates, rtol=2e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": MLP(3)}, "model: got MLP, expected a TwoEncoderClassifier"),
        ({"lambda_dis": -1.0}, "lambda_dis: got -1.0"),
        ({"lambda_swap": -1.0}, "lambda_swap: got -1.0"),
        ({"swap_from_step": -1}, "swap_from_step: got -1"),
        ({"decay": 2.0}, "decay: got 2.0"),
        ({"form": "x"}, "form: unknown 'x'"),
    ],
)
def test_bad_arguments(options, message):
    given = {"model": MODEL, "optimizer": optax.sgd(0.1), "epochs": 1, **options}
    with pytest.raises(ValueError, match=message):
        bias.dfa(**given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate: got 0.0"),
        ({"decay": 0.0}, "decay: got 0.0"),
        ({"decay_every": 0}, "decay_every: got 0"),
        ({"decay_from_step": -1}, "decay_from_step: got -1"),
    ],
)
def test_bad_optimizer(options, message):
    with pytest.raises(ValueError, match=message):
        bias.dfa_optimizer(**{"learning_rate": 0.1, **options})
