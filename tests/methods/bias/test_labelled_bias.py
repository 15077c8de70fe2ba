"""Group DRO and REPAIR, which are told the bias."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robustjax import losses, training
from robustjax.methods import bias
from robustjax.methods.bias._part_optimizer import part_optimizer
from tests.methods.bias import problem
from tests.training import toy

X, Y, BIAS = problem.arrays()
GROUPS = np.unique(bias.bias_groups(Y[0], BIAS), return_inverse=True)[1]


def test_groups_are_labels_and_biases():
    got = bias.bias_groups([0, 2, 1], [1, 0, 3], 4)
    np.testing.assert_array_equal(got, [1, 8, 7])
    for given, message in (
        (([0, 1], [0]), "labels: lengths differ"),
        (([0, 1], [0, 4], 3), "bias: 1 label.s. out of range"),
        (([0, 1], [0.5, 1.0]), "bias: got float64"),
    ):
        with pytest.raises(ValueError, match=message):
            bias.bias_groups(*given)


@pytest.mark.slow
def test_group_dro_draws_groups_alike_and_weighs_them():
    recipe = bias.group_dro(
        problem.MODEL, optax.sgd(0.1), epochs=2, groups=GROUPS, step_size=0.5
    )
    algorithm = recipe.phases[0].algorithm
    _, states = problem.run(recipe)
    q = states[-1].loss_state.shared["dro"]["group_weight"]
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)
    assert np.abs(q - q.mean()).max() > 1e-3

    state = problem.first_state(algorithm)

    @jax.jit
    def drawn(key):
        return algorithm.order(key, state, problem.N, 16, problem.N)

    count = np.zeros(GROUPS.max() + 1)
    for key in jax.random.split(jax.random.key(0), 40):
        index = np.ravel(drawn(key))
        count += np.bincount(GROUPS[index[index < problem.N]], minlength=count.size)
    share = count / count.sum()
    np.testing.assert_allclose(share, 1 / share.size, atol=0.03)
    # Their own numbers are far from alike.
    assert np.ptp(np.bincount(GROUPS)) > 5


def test_group_dro_without_a_step_is_the_mean_of_group_means():
    recipe = bias.group_dro(
        problem.MODEL,
        optax.sgd(0.1),
        epochs=1,
        groups=GROUPS,
        step_size=0.0,
        balanced=False,
    )
    algorithm = recipe.phases[0].algorithm
    assert algorithm.order is None
    state, number = problem.first_state(algorithm), GROUPS.max() + 1
    step = jax.jit(algorithm.objective)
    batches = problem.batch(0, 8), problem.batch(0, 8, padding=3)
    (got, (_, metrics)), (padded, (_, again)) = (
        step(state.params, state, each, jax.random.key(0)) for each in batches
    )
    logits = problem.MODEL.apply({"params": state.params}, X[:8])
    values = np.asarray(losses.cross_entropy(logits, jnp.asarray(Y[0, :8])))
    means = [values[GROUPS[:8] == g].mean() for g in np.unique(GROUPS[:8])]
    np.testing.assert_allclose(got, np.sum(means) / number, rtol=1e-5)
    np.testing.assert_allclose(padded, got, rtol=1e-6)
    chex.assert_trees_all_close(metrics, again, rtol=1e-6)


@pytest.mark.slow
def test_repair_learns_weights_then_trains_on_what_is_kept():
    recipe = bias.repair(
        problem.MODEL,
        optax.adam(1e-2),
        epochs=3,
        bias=BIAS,
        weight_epochs=40,
        classifier_learning_rate=0.3,
        weight_learning_rate=3.0,
    )
    _, states = problem.run(recipe)
    start = problem.first_state(recipe.phases[0].algorithm)
    first, last = states[0], states[-1]
    assert first.step[0] == 40 * 3
    # The classifier has moved and the network has not; then the other way round.
    assert np.abs(first.params["bias_classifier"]["kernel"]).max() > 0.5
    shapes = jax.tree.map(jnp.shape, problem.leaf_of(first.params["network"], 0))
    assert shapes == jax.tree.map(jnp.shape, start.params["network"])
    assert np.all(first.opt_state["network"][0].count == 0)
    chex.assert_trees_all_equal(
        first.params["bias_classifier"], last.params["bias_classifier"]
    )
    assert np.all(last.opt_state["network"][0].count == 2 * 3)
    weights = 1 / (1 + np.exp(-first.loss_state.rows["weights"][0]["omega"]))
    aligned = Y[0] == BIAS
    assert weights[0, ~aligned].min() > weights[0, aligned].max()
    kept = last.loss_state.rows["kept"]
    np.testing.assert_array_equal(kept, first.loss_state.rows["kept"])
    for repeat, labels in enumerate(Y):
        for c in range(problem.C):
            own = labels == c
            assert kept[repeat, own].sum() == own.sum() // 2
    assert kept[0, ~aligned].all()


def test_repair_takes_the_largest_value_of_each_channel():
    recipe = bias.repair(
        problem.MODEL, optax.sgd(0.1), epochs=2, feature="channel_maximum"
    )
    algorithm = recipe.phases[0].algorithm
    state = toy.first_state(algorithm, jnp.zeros((1, 4, 4, 3)), problem.SPEC)
    assert state.params["bias_classifier"]["kernel"].shape == (3, problem.C)
    images = np.random.default_rng(0).random((5, 4, 4, 3)).astype(np.float32)
    batch = problem.batch(0, 5) | {"inputs": jnp.asarray(images)}
    linear = state.params["bias_classifier"]
    logits = images.max((1, 2)) @ linear["kernel"] + linear["bias"][None]
    want = np.mean(losses.cross_entropy(logits, batch["label"]))
    got, _ = jax.jit(algorithm.objective)(state.params, state, batch, jax.random.key(0))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    for shape in ((7,), (5, 6)):
        with pytest.raises(ValueError, match="feature: got 'channel_maximum' for inp"):
            toy.first_state(algorithm, jnp.zeros((1, *shape)), problem.SPEC)


@pytest.mark.parametrize(
    "rule", ["threshold", "rank", "class_rank", "sample", "uniform"]
)
def test_resampling_rules(rule):
    rng = np.random.default_rng(0)
    size, num_real = 43, 40
    weights, labels = rng.random(size).astype(np.float32), rng.integers(0, 3, size)
    real = np.arange(size) < num_real
    draw = jax.jit(
        lambda key, w: bias.resample(
            key, w, labels, real, num_classes=3, rule=rule, keep=0.3
        )
    )
    keys = jax.random.split(jax.random.key(0), 30)
    kept = np.stack([draw(key, weights) for key in keys])
    assert not kept[:, num_real:].any()
    w, y, kept = weights[:num_real], labels[:num_real], kept[:, :num_real]
    if rule == "threshold":
        np.testing.assert_array_equal(kept, np.broadcast_to(w > 0.5, kept.shape))
    elif rule == "rank":
        want = w >= np.sort(w)[-12]
        np.testing.assert_array_equal(kept, np.broadcast_to(want, kept.shape))
    elif rule == "class_rank":
        for c in range(3):
            own = np.sort(w[y == c])
            want = w[y == c] >= own[-int(0.3 * own.size)]
            assert np.all(kept[:, y == c] == want[None])
    elif rule == "sample":
        assert np.abs(kept.mean(0) - w).max() < 0.4
        assert np.corrcoef(kept.mean(0), w)[0, 1] > 0.9
    else:
        np.testing.assert_array_equal(kept.sum(1), 12)
        assert np.abs(np.corrcoef(kept.mean(0), w)[0, 1]) < 0.5


def test_equal_weights_are_kept_at_random():
    labels, real = np.zeros(20, int), np.ones(20, bool)
    kept = [
        bias.resample(key, jnp.full(20, 0.5), labels, real, num_classes=2, rule="rank")
        for key in jax.random.split(jax.random.key(0), 2)
    ]
    assert [int(each.sum()) for each in kept] == [10, 10]
    assert np.any(kept[0] != kept[1])


def test_a_part_moves_alone():
    both = {"one": optax.sgd(1.0), "two": optax.adam(1.0)}
    params = {"one": jnp.ones(2), "two": jnp.ones(3)}
    slope = jax.tree.map(jnp.ones_like, params)
    first, second = (part_optimizer(both, name) for name in both)
    state = first.init(params)
    chex.assert_trees_all_equal_structs(state, second.init(params))
    updates, after = first.update(slope, state, params)
    np.testing.assert_array_equal(updates["one"], -1)
    np.testing.assert_array_equal(updates["two"], 0)
    chex.assert_trees_all_equal(after["two"], state["two"])


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (bias.group_dro, {"groups": [0, 2]}, "groups: class.es. 1 have no example"),
        (bias.group_dro, {"groups": [0.5]}, "groups: got float64"),
        (bias.group_dro, {"groups": [0], "step_size": -1.0}, "step_size: got -1.0"),
        (bias.repair, {}, "bias: got None with feature='bias'"),
        (
            bias.repair,
            {"bias": [0], "feature": "channel_maximum"},
            "bias: got 1 attributes with feature='channel_maximum'",
        ),
        (bias.repair, {"bias": [0], "epochs": 1}, "epochs: got 1"),
        (bias.repair, {"bias": [0], "rule": "best"}, "rule: unknown 'best'"),
        (bias.repair, {"bias": [0], "keep": 0.0}, "keep: got 0.0"),
        (
            bias.repair,
            {"bias": [0], "classifier_learning_rate": 0.0},
            "classifier_learning_rate: got 0.0",
        ),
        (bias.repair, {"bias": [0], "weight_epochs": 0}, "weight_epochs: got 0"),
        (bias.repair, {"bias": [0], "feature": "x"}, "feature: unknown 'x'"),
    ],
)
def test_bad_arguments(make, options, message):
    given = {"optimizer": optax.sgd(0.1), "epochs": 2, **options}
    with pytest.raises(ValueError, match=message):
        make(problem.MODEL, **given)


def test_attributes_of_another_number_of_examples():
    for recipe, name in (
        (
            bias.group_dro(problem.MODEL, optax.sgd(0.1), epochs=1, groups=[0, 1]),
            "groups",
        ),
        (bias.repair(problem.MODEL, optax.sgd(0.1), epochs=2, bias=[0, 1]), "bias"),
    ):
        with pytest.raises(ValueError, match=f"{name}: got 2 for 44 examples"):
            problem.first_state(recipe.phases[0].algorithm)


@pytest.mark.slow
def test_repair_that_keeps_nobody_says_so():
    """All weights are a half where they do not move, and none is above it."""
    recipe = bias.repair(
        problem.MODEL,
        optax.adam(1e-2),
        epochs=2,
        bias=BIAS,
        rule="threshold",
        weight_learning_rate=0.0,
    )
    program, states = problem.run(recipe, until=1)
    assert not states[-1].loss_state.rows["kept"].any()
    x, y, _ = problem.arrays()
    held = program.make_data(x, y)
    state = program.init(
        jax.random.split(jax.random.key(0), problem.REPEATS), held.inputs
    )
    with pytest.raises(training.NonFiniteLossError):
        training.fit(program, state, held, epochs=2)
