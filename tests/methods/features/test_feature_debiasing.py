"""Training beside out-of-distribution examples: who is drawn, and what is asked."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import losses, training, transforms
from robustjax.methods.features import (
    OOD,
    TARGET,
    UNUSED,
    feature_debiasing,
    pgd,
    with_roles,
)
from robustjax.models import MLP
from robustjax.training._epoch import read_batch
from tests.methods import feature_problem, recipe_problem
from tests.methods.feature_problem import NormalizedFeatures
from tests.training import toy

ROLES = feature_problem.toy_roles()
SIX = np.flatnonzero(ROLES == TARGET)[:6], np.flatnonzero(ROLES == OOD)[:6]
MODEL = MLP(toy.C, (8,))
TAUFE = transforms.chain(transforms.ce(), transforms.taufe(0.5))


def small(model=MODEL, transform=TAUFE, epochs=2, **options):
    return feature_debiasing(
        model,
        transform,
        optax.sgd(0.1, momentum=0.9),
        epochs=epochs,
        **{"roles": ROLES, **options},
    )


def start(algorithm, inputs=None, extras=None):
    """(state, data) of one repeat of the toy problem."""
    x, y = toy.arrays()
    data = training.TrainData(
        jnp.asarray(x if inputs is None else inputs),
        jnp.asarray(y[0], jnp.int32),
        extras or {},
    )
    spec = rj.ExampleSpec(toy.N, toy.C)
    return toy.first_state(algorithm, data.inputs[:1], spec), data


def batch_of(data, targets, ood):
    """The batch of some examples."""
    return read_batch(data, jnp.asarray(np.stack([targets, ood], axis=1)), toy.N)


def draw(recipe, batch_size, roles=None):
    """An epoch's order."""
    algorithm = recipe.phases[0].algorithm
    state, _ = start(algorithm)
    if roles is not None:
        state = with_roles(state, roles)
    return np.asarray(
        jax.jit(
            lambda state: algorithm.order(
                jax.random.key(1), state, toy.N, batch_size, toy.N
            )
        )(state)
    )


def differentiate(algorithm, state, batch, seed=0):
    """(gradient, new state, metrics) of a batch."""
    run = jax.jit(jax.grad(algorithm.objective, has_aux=True))
    gradient, (state, metrics) = run(state.params, state, batch, jax.random.key(seed))
    return gradient, state, metrics


def test_an_epoch_draws_every_role_in_its_place():
    order = draw(small(), 12)
    # Twenty targets, six in a step.
    assert order.shape == (4, 6, 2)
    for role in (TARGET, OOD):
        drawn = order[..., role].ravel()
        assert (ROLES[drawn] == role).all()
        assert set(drawn) == {*np.flatnonzero(np.isin(ROLES, role))}
    assert not np.isin(np.flatnonzero(ROLES == UNUSED), order).any()
    assert draw(small(steps_per_epoch=9), 12).shape == (9, 6, 2)


def test_the_baseline_has_as_many_steps_of_targets_alone():
    with_ood, without = draw(small(), 12), draw(small(use_ood=False), 12)
    assert without.shape == (len(with_ood), 12, 1)
    assert (ROLES[without.ravel()] == TARGET).all()
    # Twice as many targets in as many steps.
    visits = np.bincount(without.ravel(), minlength=toy.N)[ROLES == TARGET]
    assert visits.min() >= 2


def test_other_roles_change_who_is_drawn():
    other = feature_problem.toy_roles(1)
    order = draw(small(), 12, roles=other)
    for role in (TARGET, OOD):
        assert (other[order[..., role]] == role).all()


def test_a_step_equals_its_definition():
    """Cross-entropy of the targets, and a mean of its own over the others."""
    algorithm = small().phases[0].algorithm
    state, data = start(algorithm)
    targets, ood = SIX
    batch = batch_of(data, targets, np.append(ood[:4], [toy.N, toy.N]))
    gradient, _, metrics = differentiate(algorithm, state, batch)
    x, y = np.asarray(data.inputs), np.asarray(data.labels)

    def reference(params):
        variables = {"params": params}
        logits = MODEL.apply(variables, x[targets])
        log_p = jax.nn.log_softmax(logits)
        supervised = -jnp.mean(jnp.sum(log_p * jnp.eye(toy.C)[y[targets]], axis=1))
        square = MODEL.apply(variables, x[ood[:4]], method="features") ** 2
        return supervised + 0.5 * jnp.mean(square), (logits, jnp.mean(square))

    run = jax.jit(jax.value_and_grad(reference, has_aux=True))
    (loss, (logits, square)), want = run(state.params)
    chex.assert_trees_all_close(gradient, want, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["ood_norm"], square, rtol=1e-5)
    right = np.argmax(logits, axis=1) == y[targets]
    np.testing.assert_allclose(metrics["accuracy"], right.mean())
    # The penalty is no function of the head.
    head = jax.tree.leaves(
        differentiate(
            small(transform=transforms.chain(transforms.ce(), transforms.taufe(0.0)))
            .phases[0]
            .algorithm,
            state,
            batch,
        )[0]["head"]
    )
    for got, plain in zip(jax.tree.leaves(gradient["head"]), head, strict=True):
        np.testing.assert_allclose(got, plain, atol=1e-7)


@pytest.mark.parametrize("ood_statistics", [True, False])
def test_the_two_passes_have_statistics_of_their_own(ood_statistics):
    model = NormalizedFeatures()
    algorithm = small(model, ood_statistics=ood_statistics).phases[0].algorithm
    state, data = start(algorithm)
    x = np.asarray(data.inputs)
    targets, ood = SIX
    _, after, metrics = differentiate(algorithm, state, batch_of(data, targets, ood))
    first = jax.tree.map(np.asarray, state.params["first"])
    before = [x[part] @ first["kernel"] + first["bias"] for part in (targets, ood)]
    mean, var = 0.1 * before[0].mean(0), 0.9 + 0.1 * before[0].var(0)
    if ood_statistics:
        mean = 0.9 * mean + 0.1 * before[1].mean(0)
        var = 0.9 * var + 0.1 * before[1].var(0)
    stats = after.model_state["batch_stats"]["norm"]
    np.testing.assert_allclose(stats["mean"], mean, atol=1e-5)
    np.testing.assert_allclose(stats["var"], var, rtol=1e-4)
    # Batches are normalised by themselves.
    normal = (before[1] - before[1].mean(0)) / np.sqrt(before[1].var(0) + 1e-5)
    want = np.mean(np.maximum(normal, 0) ** 2)
    np.testing.assert_allclose(metrics["ood_norm"], want, rtol=1e-4)
    # Targets do not notice what the others are.
    moved = training.TrainData(data.inputs.at[ood].mul(9.0), data.labels)
    *_, far = differentiate(algorithm, state, batch_of(moved, targets, ood))
    assert far["ood_norm"] != metrics["ood_norm"]
    supervised = [m["loss"] - 0.5 * m["ood_norm"] for m in (far, metrics)]
    np.testing.assert_allclose(*supervised, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("tensor", ["features", "logits"])
def test_padding_of_either_kind_is_inert(tensor):
    transform = transforms.chain(
        transforms.ce(),
        transforms.taufe(0.5) if tensor == "features" else transforms.oat(0.5),
    )
    algorithm = small(NormalizedFeatures(), transform).phases[0].algorithm
    state, data = start(algorithm)
    targets, ood = np.flatnonzero(ROLES == TARGET), np.flatnonzero(ROLES == OOD)
    whole = batch_of(data, targets[:5], ood[:5])
    padding = np.full(3, toy.N)
    batch = batch_of(data, np.append(targets[:5], padding), np.append(ood[:5], padding))
    real = batch["mask"][..., None]
    junk = {
        **batch,
        "inputs": jnp.where(real, batch["inputs"], 50.0),
        "label": jnp.where(batch["mask"], batch["label"], -1),
    }
    want, got = (differentiate(algorithm, state, each) for each in (whole, junk))
    assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(want[0])) > 1e-3
    chex.assert_trees_all_close(got[0], want[0], atol=1e-6)
    chex.assert_trees_all_close(got[1].model_state, want[1].model_state, atol=1e-6)
    chex.assert_trees_all_close(got[2], want[2], atol=1e-6)


@pytest.mark.slow
def test_repeats_with_roles_of_their_own_equal_single_runs():
    roles = np.stack([feature_problem.toy_roles(repeat) for repeat in range(2)])
    x, y = toy.arrays()
    keys = jax.random.split(jax.random.key(0), toy.REPEATS)

    def run(recipe, repeats, given):
        program = recipe_problem.toy_program(recipe)
        held = program.make_data(x, y[repeats])
        state = program.init(keys[repeats], held.inputs)
        if given is not None:
            state = with_roles(state, given)
        return training.fit(program, state, held, epochs=2).params

    together = run(small(), slice(None), roles)
    for r in range(toy.REPEATS):
        alone = run(small(roles=roles[r]), slice(r, r + 1), None)
        chex.assert_trees_all_close(
            jax.tree.map(lambda leaf: leaf[0], alone),
            jax.tree.map(lambda leaf, r=r: leaf[r], together),
            atol=1e-5,
        )


def test_given_roles_survive_the_training():
    recipe = small(epochs=1)
    x, y = toy.arrays()
    program = recipe_problem.toy_program(recipe)
    held = program.make_data(x, y)
    roles = jnp.asarray(np.stack([ROLES, ROLES]), jnp.int32)
    keys = jax.random.split(jax.random.key(0), 2)
    state = with_roles(program.init(keys, held.inputs), roles)
    program.at(0).epoch(state, held)
    np.testing.assert_array_equal(roles[0], ROLES)


@pytest.mark.slow
def test_boxes_move_with_their_images():
    """Four outputs are boxes; a shift of the inputs shifts them, too."""
    boxes = np.random.default_rng(0).uniform(0, 9, (toy.N, 4)).astype(np.float32)

    def augment(key, inputs, boxes):
        del key
        return inputs + 1, boxes + 2

    model = MLP(4, (8,))
    recipe = small(
        model,
        transforms.chain(transforms.box_head("l1"), transforms.taufe(0.5)),
        outputs="boxes",
        augment_located=augment,
    )
    algorithm = recipe.phases[0].algorithm
    state, data = start(algorithm, extras={"box": jnp.asarray(boxes)})
    targets, ood = SIX
    _, _, metrics = differentiate(algorithm, state, batch_of(data, targets, ood))
    variables, x = {"params": state.params}, data.inputs
    predicted = model.apply(variables, x[targets] + 1)
    # OOD examples have no boxes, and are not moved by this.
    square = jnp.mean(model.apply(variables, x[ood], method="features") ** 2)
    wanted = boxes[targets] + 2
    want = jnp.mean(losses.smooth_l1(predicted, wanted)) + 0.5 * square
    np.testing.assert_allclose(metrics["loss"], want, rtol=1e-5)
    want = jnp.mean(losses.box_iou(predicted, wanted))
    np.testing.assert_allclose(metrics["iou"], want, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(metrics["ood_norm"], square, rtol=1e-5)
    assert "accuracy" not in metrics


def test_augmentations_reach_their_kind():
    def by(amount):
        return lambda key, inputs: inputs + amount

    def run(**options):
        algorithm = small(**options).phases[0].algorithm
        state, data = start(algorithm)
        batch = batch_of(data, *SIX)
        return differentiate(algorithm, state, batch)[2]

    plain, both = run(), run(augment=by(1.0))
    own = run(augment=by(1.0), ood_augment=by(0.0))
    assert both["ood_norm"] != plain["ood_norm"]
    np.testing.assert_allclose(own["ood_norm"], plain["ood_norm"], rtol=1e-6)
    supervised = [m["loss"] - 0.5 * m["ood_norm"] for m in (plain, both, own)]
    assert abs(supervised[1] - supervised[0]) > 1e-3
    np.testing.assert_allclose(supervised[2], supervised[1], rtol=1e-5)


def test_the_epoch_rule_of_the_transform_runs():
    chain = transforms.chain(transforms.ce(), transforms.small_loss(0.2))
    algorithm = small(transform=chain, use_ood=False).phases[0].algorithm
    state, data = start(algorithm)
    before = state.loss_state.shared["loss"][1]["epoch"]
    after = algorithm.epoch(state, data, None).loss_state.shared["loss"][1]["epoch"]
    assert (int(before), int(after)) == (1, 2)


class Headless(MLP):
    features = None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roles": np.full(toy.N, OOD)}, "roles: got no target example"),
        ({"roles": np.full(toy.N, TARGET)}, "roles: got no OOD example"),
        ({"roles": np.full(toy.N, 3)}, r"roles: got \[3\], expected -1, 0 and 1"),
        ({"roles": np.ones(toy.N, bool)}, "roles: got bool, expected integers"),
        ({"roles": ROLES[:, None]}, "roles: got shape"),
        ({"outputs": "masks"}, "outputs: unknown 'masks'"),
        (
            {"outputs": "boxes", "augment": lambda key, x: x},
            "augment, attack: expected augment_located",
        ),
        ({"outputs": "boxes", "attack": pgd()}, "augment, attack: expected"),
        (
            {"augment_located": lambda key, x, boxes: (x, boxes)},
            "augment_located: expected outputs 'boxes'",
        ),
        ({"steps_per_epoch": 0}, "steps_per_epoch: got 0"),
        (
            {"transform": transforms.chain(transforms.truncated_gce())},
            "needs losses of all examples",
        ),
        ({"model": Headless(3)}, "model: got Headless, expected one with methods"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.slow
def test_bad_arguments_found_later():
    with pytest.raises(ValueError, match="roles: got 7 for 50 examples, expected one"):
        start(small(roles=ROLES[:7]).phases[0].algorithm)
    with pytest.raises(ValueError, match="batch_size: got 7, expected an even number"):
        draw(small(), 7)
