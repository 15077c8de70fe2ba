"""BiaSwap: maps and patches, the translator's game, and its three trainings."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import models, training
from robustjax.methods import bias
from robustjax.methods.bias import _cam_patches as cam
from robustjax.methods.bias import _swap_losses as swap
from robustjax.methods.bias import _swap_orders as orders
from tests.methods.bias import problem

MODEL = models.SmallCNN(
    3, blocks=((4,),), hidden=(), pooling="average", downsampling="stride"
)
NETS = bias.SwapNetworks(
    models.SwapEncoder((4, 6), structure=3, style=5),
    models.SwapGenerator((4, 6)),
    models.ImageDiscriminator((4, 4)),
    models.PatchDiscriminator((4, 4), hidden=6),
)
PLAN = bias.PatchPlan(per_image=2, size=4)
N, SIZE = 20, 14
LABELS = np.arange(N) % 3
IMAGES = np.random.default_rng(0).random((N, SIZE, SIZE, 3)).astype(np.float32)


def test_the_mean_of_a_map_is_the_logit():
    variables = jax.jit(MODEL.init)(jax.random.key(0), IMAGES)
    params = variables["params"]
    params["head"]["bias"] = jnp.array([0.1, 0.2, 0.3])
    maps = cam.label_maps(MODEL, params, {}, IMAGES, jnp.asarray(LABELS))
    assert maps.shape == (N, SIZE, SIZE)
    # An enlarged map keeps its mean but for the border.
    small = MODEL.apply({"params": params}, IMAGES, method="feature_map")
    small = np.einsum(
        "bhwc,bc->bhw", small, np.asarray(params["head"]["kernel"]).T[LABELS]
    )
    logits = MODEL.apply({"params": params}, IMAGES)[np.arange(N), LABELS]
    want = small.mean((1, 2)) + np.array([0.1, 0.2, 0.3])[LABELS]
    np.testing.assert_allclose(logits, want, atol=1e-5)
    np.testing.assert_allclose(
        maps, jax.image.resize(small, maps.shape, "bilinear"), atol=1e-5
    )


def test_centres_follow_the_map():
    maps = np.full((1, 3, 4), -50.0, np.float32)
    maps[0, 1, 2], maps[0, 2, 0] = np.log(3.0), 0.0
    draw = jax.jit(lambda key: cam.draw_centres(key, maps, 4000))
    found = np.asarray(draw(jax.random.key(0)))[0]
    at = (found == [1, 2]).all(1), (found == [2, 0]).all(1)
    assert np.all(at[0] | at[1])
    assert abs(at[0].mean() - 0.75) < 0.03


def test_patches_lie_inside_and_hold_what_is_there():
    height, width = 10, 12
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1)
    images = grid[None].astype(np.float32)
    # In every corner, and in the middle.
    centres = jnp.array([[[0, 0], [9, 11], [0, 11], [5, 6]]])
    plan = bias.PatchPlan(per_image=4, size=5, smallest=0.3, largest=0.6)
    cut = jax.jit(lambda key: cam.cut_patches(key, images, centres, plan))
    mirrored = 0
    for key in jax.random.split(jax.random.key(0), 8):
        found = np.asarray(cut(key))[0]
        assert found.shape == (4, 5, 5, 2)
        assert found.min() >= 0
        assert found[..., 0].max() <= height - 1
        assert found[..., 1].max() <= width - 1
        # A ramp stays one: equal steps along its axis, none along the other.
        steps = np.diff(found[..., 0], axis=1)
        np.testing.assert_allclose(steps, steps[:, :1, :1] + 0 * steps, atol=1e-4)
        across = np.diff(found[..., 1], axis=2)
        np.testing.assert_allclose(across, across[:, :1, :1] + 0 * across, atol=1e-4)
        mirrored += (across[:, 0, 0] < 0).sum()
        side = 1 + np.abs(steps[:, 0, 0]) * 4
        assert np.all((0.3 * height - 1e-3 <= side) & (side <= 0.6 * height + 1e-3))
        middle = found[3].mean((0, 1))
        np.testing.assert_allclose(middle, [5, 6], atol=1e-3)
    assert 4 < mirrored < 28


@functools.cache
def game():
    """Parameters of all networks, pairs, and maps that look at one corner."""
    keys = jax.random.split(jax.random.key(0), 5)
    x = 2 * jnp.asarray(IMAGES[:3]) - 1
    codes, encoder = jax.jit(NETS.encoder.init_with_output)(keys[0], x)
    patches = jnp.zeros((1, PLAN.per_image, PLAN.size, PLAN.size, 3))
    translator = {
        "encoder": encoder["params"],
        "generator": jax.jit(NETS.generator.init)(keys[1], *codes)["params"],
    }
    critic = {
        "discriminator": jax.jit(NETS.discriminator.init)(keys[2], x)["params"],
        "patches": jax.jit(NETS.patches.init)(keys[3], patches, patches)["params"],
    }
    pairs = swap.Pairs(x, x[::-1], jnp.arange(3))

    def maps(images, labels):
        return images.sum(-1) * labels[:, None, None]

    return translator, critic, pairs, maps


@pytest.mark.slow
def test_neither_side_of_the_game_moves_the_other():
    """That each moves all of its own is seen in training."""
    translator, critic, pairs, maps = game()
    rest = pairs, jax.random.key(1), maps, PLAN

    # Whatever leads to other derivatives is never compiled.
    @jax.jit
    def slopes(translator, critic):
        made = jax.grad(swap.translator_loss, argnums=2)(
            NETS, translator, critic, *rest
        )
        judged, _ = jax.grad(swap.critic_loss, argnums=1, has_aux=True)(
            NETS, translator, critic, *rest, 16.0
        )
        return made, judged

    for leaf in jax.tree.leaves(slopes(translator, critic)):
        np.testing.assert_array_equal(leaf, 0)


@pytest.mark.slow
def test_the_critic_pays_a_penalty_where_it_is_due():
    translator, critic, pairs, maps = game()

    @jax.jit
    def value(factor):
        rest = pairs, jax.random.key(1), maps, PLAN, factor
        return swap.critic_loss(NETS, translator, critic, *rest)[0]

    assert value(16.0) > value(0.0)


@pytest.mark.slow
def test_the_gradient_penalty_is_of_every_real_example():
    _, critic, pairs, _ = game()
    patches = jnp.asarray(
        np.random.default_rng(1).normal(size=(2, 3, 2, 4, 4, 3)), jnp.float32
    )

    @jax.jit
    def penalties(critic):
        got = swap.gradient_penalty(NETS, critic, pairs.content, *patches)

        def one_image(x):
            return swap._looks_real(NETS, critic, x[None])[0][0]

        def one_pair(r, t):
            return jnp.sum(swap._fits(NETS, critic, r[None], t[None]))

        image = jax.vmap(jax.grad(one_image))(pairs.content)
        pair = jax.vmap(jax.grad(one_pair, argnums=(0, 1)))(*patches)
        return got, image, pair

    got, image, pair = penalties(critic)
    want = 5 * np.mean(np.sum(np.square(image), (1, 2, 3)))
    want += 0.25 * sum(np.mean(np.sum(np.square(e), (1, 2, 3, 4))) for e in pair)
    np.testing.assert_allclose(got, want, rtol=1e-3)


def test_pairs_are_of_different_images_and_half_of_them_across():
    conflicting = np.arange(N) % 5 == 0
    draw = jax.jit(lambda key: orders.swap_order(key, jnp.asarray(conflicting), 8))
    found = np.stack([draw(key) for key in jax.random.split(jax.random.key(0), 40)])
    assert found.shape == (40, 3, 4, 2)
    assert np.all(found[..., 0] != found[..., 1])
    across = found[:, :, :2]
    assert not conflicting[across[..., 0]].any()
    assert conflicting[across[..., 1]].all()
    share = conflicting[found[:, :, 2:]].mean((0, 1, 2))
    np.testing.assert_allclose(share, 0.2, atol=0.08)


@pytest.mark.parametrize("same_class", [False, True])
def test_every_example_has_a_conflicting_partner(same_class):
    labels = np.arange(N) % 3
    conflicting = np.isin(np.arange(N), [0, 3, 4, 7])
    draw = jax.jit(
        lambda key: orders.partner_order(
            key,
            jnp.asarray(conflicting),
            jnp.asarray(labels),
            8,
            N,
            classes=3,
            same_class=same_class,
        )
    )
    found = np.stack([draw(key) for key in jax.random.split(jax.random.key(0), 20)])
    own, partner = found.reshape(20, -1, 2)[:, :N].transpose(2, 0, 1)
    np.testing.assert_array_equal(np.sort(own, axis=1), np.tile(np.arange(N), (20, 1)))
    np.testing.assert_array_equal(found.reshape(20, -1, 2)[:, N:], N)
    assert conflicting[partner].all()
    assert set(np.unique(partner)) == {0, 3, 4, 7}
    if same_class:
        # Label 2 has no conflicting example, and takes any.
        there = labels[own] != 2
        np.testing.assert_array_equal(labels[partner][there], labels[own][there])


@pytest.fixture(scope="module")
def trained():
    recipe = bias.bias_swap(
        MODEL,
        optax.adam(1e-2),
        epochs=3,
        swap_epochs=1,
        networks=NETS,
        patches=PLAN,
    )
    program = training.RecipeProgram(
        recipe, rj.ExampleSpec(N, 3), batch_size=8, execution=problem.EXECUTION
    )
    held = program.make_data(IMAGES, LABELS[None])
    state = program.init(jax.random.key(0)[None], held.inputs)
    states = [jax.device_get(state._replace(key=jax.random.key_data(state.key)))]
    for epoch in range(3):
        state, metrics = program.at(epoch).epoch(state, held)
        assert all(np.all(np.isfinite(each)) for each in metrics.values())
        states.append(
            jax.device_get(state._replace(key=jax.random.key_data(state.key)))
        )
    return [problem.leaf_of(each, 0) for each in states], program.predict(
        state, held.inputs
    )


@pytest.mark.slow
def test_each_phase_moves_its_own_networks(trained):
    states, logits = trained
    moved = [
        {
            name
            for name in states[0].params
            if any(
                np.any(a != b)
                for a, b in zip(
                    jax.tree.leaves(before.params[name]),
                    jax.tree.leaves(after.params[name]),
                    strict=True,
                )
            )
        }
        for before, after in itertools.pairwise(states)
    ]
    assert moved == [
        {"biased"},
        {"translator", "critic"},
        {"classifier"},
    ]
    # Every network of the game has a gradient.
    before, after = (each.params for each in states[1:3])
    for side in ("translator", "critic"):
        for part, old in before[side].items():
            steps = jax.tree.map(
                lambda a, b: np.abs(a - b).max(), old, after[side][part]
            )
            assert max(jax.tree.leaves(steps)) > 1e-4, part
    want = MODEL.apply({"params": states[-1].params["classifier"]}, IMAGES)
    np.testing.assert_allclose(logits[0], want, atol=1e-5)


@pytest.mark.slow
def test_the_split_is_by_the_mean_score(trained):
    states, _ = trained
    p = jax.nn.softmax(MODEL.apply({"params": states[1].params["biased"]}, IMAGES))
    right = np.argmax(p, axis=1) == LABELS
    score = np.abs(right - np.max(p, axis=1))
    rows = states[1].loss_state.rows
    np.testing.assert_allclose(rows["score"], score, atol=1e-5)
    np.testing.assert_array_equal(rows["conflicting"], score > score.mean())
    chex.assert_trees_all_equal(rows, states[-1].loss_state.rows)


def test_structure_is_kept_and_style_is_taken():
    translator, _, pairs, _ = game()
    make = jax.jit(lambda a, b: bias.swap_images(NETS, translator, a, b))
    one = make(pairs.content, pairs.style)
    assert one.shape == pairs.content.shape
    np.testing.assert_allclose(one, make(pairs.content, pairs.style), atol=1e-6)
    assert np.abs(one - make(pairs.content, pairs.content)).max() > 1e-3
    assert np.abs(one - make(pairs.style, pairs.style)).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": models.MLP(3)}, "model: got MLP, which has no class activation"),
        ({"epochs": 2}, "epochs: got 2, expected an integer >= 3"),
        ({"swap_epochs": 0}, "swap_epochs: got 0"),
        ({"translated": 1.5}, "translated: got 1.5"),
        ({"temperature": 0.0}, "temperature: got 0.0"),
        ({"patches": PLAN._replace(smallest=0.9)}, "smallest: got 0.9"),
        ({"swap_learning_rate": 0.0}, "swap_learning_rate: got 0.0"),
    ],
)
def test_bad_arguments(options, message):
    given = {
        "model": MODEL,
        "optimizer": optax.sgd(0.1),
        "epochs": 5,
        "swap_epochs": 1,
        **options,
    }
    with pytest.raises(ValueError, match=message):
        bias.bias_swap(**given)


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (MODEL, (15, 15, 3), "inputs: got images of .15, 15. pixels"),
        (MODEL, (14, 14, 1), "inputs: got images of shape .14, 14, 1."),
        (models.SmallCNN(3, blocks=((4,),)), (14, 14, 3), "model: got a head of 128"),
    ],
)
def test_what_does_not_fit_is_found_before_training(model, shape, message):
    recipe = bias.bias_swap(
        model, optax.sgd(0.1), epochs=3, swap_epochs=1, networks=NETS, patches=PLAN
    )
    init = recipe.phases[0].algorithm.init
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(
            lambda x: init(jax.random.key(0), x, rj.ExampleSpec(N, 3)),
            jax.ShapeDtypeStruct((1, *shape), jnp.float32),
        )
