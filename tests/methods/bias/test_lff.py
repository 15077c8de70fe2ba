"""LfF: two networks side by side, and chains of other transforms with them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import data, losses, training, transforms
from robustjax.methods import bias
from robustjax.models import MLP
from tests.methods import recipe_problem
from tests.methods.bias import problem


def logits_of(params, number, inputs):
    own = jax.tree.map(lambda leaf: leaf[number], params)
    return problem.MODEL.apply({"params": own}, inputs)


@pytest.mark.parametrize("form", ["reweighted", "textbook"])
def test_a_step_descends_both_networks_own_losses(form):
    """First step: averages are the losses, maxima those of the batch."""
    recipe = bias.lff(problem.MODEL, optax.sgd(0.5), epochs=1, form=form)
    algorithm = recipe.phases[0].algorithm
    state, batch = problem.first_state(algorithm), problem.batch(0, 9)
    labels = np.asarray(batch["label"])

    def want(params):
        biased, debiased = (logits_of(params, i, batch["inputs"]) for i in (0, 1))
        values = [losses.cross_entropy(each, labels) for each in (biased, debiased)]
        level = [
            v / jnp.stack([jnp.max(jnp.where(labels == y, v, 0)) for y in labels])
            for v in values
        ]
        W = jax.lax.stop_gradient(level[0] / (level[0] + level[1] + 1e-8))
        gce = losses.gce if form == "textbook" else losses.gce_weighted_ce
        return jnp.mean(gce(biased, labels, q=0.7)) + jnp.mean(W * values[1])

    @jax.jit
    def both(state):
        slope = jax.grad(want)(state.params)
        moved = jax.tree.map(lambda w, g: w - 0.5 * g, state.params, slope)
        return moved, training.train_step(algorithm, state, batch)

    moved, (after, metrics) = both(state)
    chex.assert_trees_all_close(dict(after.params), dict(moved), atol=1e-6)
    assert set(metrics) == {
        *("loss", "accuracy", "biased_loss", "biased_accuracy", "weight")
    }


@pytest.mark.slow
def test_padding_is_inert():
    recipe = bias.lff(problem.MODEL, optax.sgd(0.1), epochs=1)
    algorithm = recipe.phases[0].algorithm
    recipe_problem.assert_padding_is_inert(
        algorithm, recipe_problem.first_state(algorithm)
    )


@pytest.mark.slow
def test_the_second_network_predicts_and_repeats_are_their_own():
    recipe = bias.lff(problem.MODEL, optax.adam(1e-2), epochs=2)
    program, states = problem.run(recipe)
    state = states[-1]
    x, _, _ = problem.arrays()
    got = program.predict(jax.tree.map(jnp.asarray, state), jnp.asarray(x))
    for repeat in range(problem.REPEATS):
        want = logits_of(problem.leaf_of(state.params, repeat), 1, x)
        np.testing.assert_allclose(got[repeat], want, atol=1e-5)
    rows = state.loss_state.rows["debiased"][0]
    np.testing.assert_array_equal(rows["class"], problem.arrays()[1])
    assert np.abs(rows["average"][0] - rows["average"][1]).max() > 0.01


@pytest.mark.slow
def test_a_pair_takes_any_chain_and_its_epochs():
    """Each transform's epoch rule sees the losses of its own network."""
    pair = bias.debiased_pair(
        problem.MODEL,
        optax.adam(1e-2),
        transforms.truncated_gce(0.7, 0.2),
        rj.chain(transforms.relative_difficulty(), rj.gce(), rj.elr()),
    )
    _, states = problem.run(training.single_phase(pair, 1))
    x, y, _ = problem.arrays()
    for repeat in range(problem.REPEATS):
        logits = logits_of(problem.leaf_of(states[0].params, repeat), 0, x)
        p = np.asarray(jax.nn.softmax(logits))[np.arange(problem.N), y[repeat]]
        kept = states[0].loss_state.rows["biased"]["kept"][repeat]
        np.testing.assert_array_equal(kept, p > 0.2)


def badged_digits(rng, split, aligned):
    """Digits beside a badge of their class's colour, but for some; and the colours."""
    labels = split.labels
    other = (labels + rng.integers(1, 10, labels.size)) % 10
    colour = np.where(rng.random(labels.size) < aligned, labels, other)
    pixels = np.asarray(split.inputs).reshape(labels.size, -1) / np.float32(255)
    badge = 8 * np.eye(10, dtype=np.float32)[colour]
    return np.concatenate([pixels, badge], axis=1), colour


@pytest.mark.slow
def test_lff_beats_plain_training_on_badged_digits():
    """Where the badge disagrees with the digit, and so on average over all badges."""
    train, test = data.load("digits", "train"), data.load("digits", "test")
    rng = np.random.default_rng(0)
    x, _ = badged_digits(rng, train, 0.95)
    z, _ = badged_digits(rng, test, 0.1)
    unbiased = {}
    for name in ("vanilla", "lff"):
        recipe = getattr(bias, name)(MLP(10, (64,)), optax.adam(1e-3), epochs=30)
        program = training.RecipeProgram(
            recipe,
            rj.ExampleSpec(len(x), 10),
            batch_size=64,
            execution=problem.EXECUTION,
        )
        held = program.make_data(x, np.stack([train.labels] * 3))
        state = program.init(jax.random.split(jax.random.key(1), 3), held.inputs)
        state = training.fit(program, state, held, epochs=recipe.epochs)
        guess = np.argmax(program.predict(state, jnp.asarray(z)), axis=-1)
        unbiased[name] = np.mean(guess == test.labels[None])
    assert unbiased["lff"] > unbiased["vanilla"] + 0.1


@pytest.mark.slow
def test_parts_against_wrong_labels_join_the_chains():
    def after(*, epochs=2, **options):
        recipe = bias.lff(problem.MODEL, optax.sgd(0.5), epochs=epochs, **options)
        return problem.run(recipe, until=2)[1][-1]

    plain = after()
    early = after(against_noise="clean_probability", truncate=True, noise_epoch=0)
    late = after(epochs=10, against_noise="clean_probability", noise_epoch=9)
    held = after(against_noise="elr")
    clean = early.loss_state.rows["debiased"][0]["clean_probability"]
    assert clean.min() < 0.5 < clean.max()
    assert (late.loss_state.rows["debiased"][0]["clean_probability"] == 1).all()
    # Until it acts, nothing changes.
    for mine, wanted in zip(
        jax.tree.leaves(late.params), jax.tree.leaves(plain.params)
    ):
        np.testing.assert_allclose(mine, wanted, atol=1e-6)
    assert (held.loss_state.rows["debiased"][2]["target"][:, : problem.N] > 0).any()
    sop = after(against_noise="sop")
    moved = sop.loss_state.rows["debiased"][1]["u"][:, : problem.N]
    assert np.abs(moved).max() > 1e-6
    # Rows that learn nothing are no noise: the head is the cross-entropy.
    still = after(against_noise="sop", sop_rate=0.0)
    for mine, wanted in zip(
        jax.tree.leaves(still.params), jax.tree.leaves(plain.params)
    ):
        np.testing.assert_allclose(mine, wanted, atol=1e-5)
    for other in (early, held):
        (kernel, *_), (wanted, *_) = (jax.tree.leaves(s.params) for s in (other, plain))
        assert np.abs(kernel - wanted).max() > 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"against_noise": "sup"}, "against_noise: unknown 'sup'"),
        ({"sop_rate": -1.0}, "sop_rate: got -1.0"),
        ({"noise_epoch": -1}, "noise_epoch: got -1"),
        ({"against_noise": "clean_probability"}, "epochs: got 1, .* integer >= 11"),
        ({"truncate": True, "noise_epoch": 1}, "epochs: got 1, .* integer >= 2"),
        ({"q": 0.0}, "q: got 0.0"),
        ({"decay": -0.1}, "decay: got -0.1"),
        ({"form": "text"}, "form: unknown 'text'"),
        ({"noise_epoch": 3}, "noise_epoch: got 3 with .*'none' and no truncation"),
        (
            {"against_noise": "elr", "sop_rate": 10.0},
            "sop_rate: got 10.0 with against_noise='elr', expected its default, 20.0",
        ),
        (
            {"truncate": True, "noise_epoch": 0, "form": "textbook"},
            "form: got textbook with truncate, expected",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        bias.lff(problem.MODEL, optax.sgd(0.1), epochs=1, **options)
