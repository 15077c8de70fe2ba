"""TAUFE and OAT: where their gradients go, their means, their bad arguments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax.transforms import TAUFE_SETTINGS, TaufeSetting, oat, taufe

B, M, P, D, C = 5, 4, 6, 3, 2
SPEC = rj.ExampleSpec(num_examples=B, num_classes=C)
BATCH = {"index": jnp.arange(B), "label": jnp.arange(B) % C}


@pytest.fixture
def inputs(rng):
    x, ood = rng.normal(size=(B, P)), rng.normal(size=(M, P))
    return jnp.asarray(x, jnp.float32), jnp.asarray(ood, jnp.float32)


@pytest.fixture
def params(rng):
    """A linear feature extractor and a linear head."""
    shapes = {"extractor": (P, D), "head": (D, C)}
    return {
        name: jnp.asarray(rng.normal(size=shape), jnp.float32)
        for name, shape in shapes.items()
    }


def loss(params, inputs, tx, **extra):
    x, ood = inputs
    features = ood @ params["extractor"]
    terms, _ = tx.update(
        rj.start(BATCH),
        tx.init(SPEC),
        BATCH,
        logits=x @ params["extractor"] @ params["head"],
        ood_features=features,
        ood_feature_map=features.reshape(M, 1, D, 1),
        ood_logits=features @ params["head"],
        **extra,
    )
    return rj.reduce(terms)


def update(tx, **extra):
    return tx.update(rj.start(BATCH), tx.init(SPEC), BATCH, **extra)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_taufe_reaches_the_feature_extractor_only(inputs, params, reduction):
    tx = taufe(0.3, reduction=reduction)
    value, gradient = jax.value_and_grad(loss)(params, inputs, tx)
    assert not gradient["head"].any()
    ood = np.asarray(inputs[1], np.float64)
    features = ood @ np.asarray(params["extractor"], np.float64)
    entries = D if reduction == "mean" else 1
    np.testing.assert_allclose(
        value, 0.3 * (features**2).sum() / (M * entries), rtol=1e-5
    )
    want = 0.3 * 2 * ood.T @ features / (M * entries)
    np.testing.assert_allclose(gradient["extractor"], want, rtol=1e-4, atol=1e-6)


def test_one_joint_step_is_the_two_updates_of_algorithm_1(inputs, params):
    """Head without the penalty, feature extractor with it."""
    gradient = functools.partial(jax.grad(loss), params, inputs)
    joint = gradient(rj.chain(rj.ce(), taufe(0.3)))
    plain, penalty = gradient(rj.ce()), gradient(taufe(0.3))
    np.testing.assert_array_equal(joint["head"], plain["head"])
    np.testing.assert_allclose(
        joint["extractor"],
        plain["extractor"] + penalty["extractor"],
        rtol=1e-5,
        atol=1e-6,
    )
    assert jnp.abs(penalty["extractor"]).max() > 0.01


def test_oat_is_ce_with_the_uniform_target(inputs, params):
    def reference(params):
        logits = inputs[1] @ params["extractor"] @ params["head"]
        return 0.7 * rj.losses.cross_entropy(logits, jnp.full((M, C), 1 / C)).mean()

    value, gradient = jax.value_and_grad(loss)(params, inputs, oat(0.7))
    want_value, want = jax.value_and_grad(reference)(params)
    np.testing.assert_allclose(value, want_value, rtol=1e-6)
    for part in params:
        np.testing.assert_allclose(gradient[part], want[part], rtol=1e-4, atol=1e-6)
        assert jnp.abs(gradient[part]).max() > 0.01


def test_sum_is_mean_times_the_entries(inputs, params):
    by_sum = loss(params, inputs, taufe(0.1, reduction="sum"))
    by_mean = loss(params, inputs, taufe(0.1))
    np.testing.assert_allclose(by_sum, D * by_mean, rtol=1e-6)
    same = loss(params, inputs, taufe(0.1 / D, reduction="sum"))
    np.testing.assert_allclose(same, by_mean, rtol=1e-6)
    of_map = loss(params, inputs, taufe(0.1, tensor="feature_map"))
    np.testing.assert_allclose(of_map, by_mean, rtol=1e-6)


@pytest.mark.parametrize("tx", [taufe(0.3), oat()], ids=["taufe", "oat"])
def test_padding_counts_for_nothing(inputs, params, tx):
    x, ood = inputs
    mask = jnp.array([True, False, True, False])
    padded = ood.at[1::2].set(1e30)
    got = jax.value_and_grad(loss)(params, (x, padded), tx, ood_mask=mask)
    want = jax.value_and_grad(loss)(params, (x, ood[::2].repeat(2, axis=0)), tx)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-6)
    for part in params:
        np.testing.assert_allclose(got[1][part], want[1][part], rtol=1e-5, atol=1e-6)
    assert loss(params, (x, padded), tx, ood_mask=jnp.zeros(M, bool)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_a_network_makes_of_padding_stays_out_of_the_gradient(rng, bad):
    rows = jnp.asarray(rng.normal(size=(M, C)), jnp.float32)
    mask = jnp.arange(M) != 1

    def total(rows, tx, key, **extra):
        return rj.reduce(update(tx, **{key: rows}, **extra)[0])

    for tx, key in ((taufe(0.3), "ood_features"), (oat(), "ood_logits")):
        spoilt = rows.at[1].set(bad)
        got = jax.grad(total)(spoilt, tx, key, ood_mask=mask)
        want = jax.grad(total)(rows[mask], tx, key)
        assert not got[1].any()
        np.testing.assert_allclose(got[mask], want, rtol=1e-6)


def penalised(value, mask):
    return rj.start(BATCH).replace(penalties=(rj.Penalty(value, 2.0, mask),))


def test_a_masked_penalty_averages_over_real_rows_on_all_devices():
    value = jnp.array([[1.0, 2.0], [4.0, jnp.nan], [jnp.nan, jnp.nan]])
    mask = jnp.array([[True, True], [True, False], [False, False]])

    def on_device(value, mask):
        return rj.reduce(penalised(value, mask), "d")

    got = jax.vmap(on_device, axis_name="d")(value, mask)
    np.testing.assert_allclose(got, np.full(3, 2 * 7 / 3), rtol=1e-6)
    here = [float(rj.reduce(penalised(v, m))) for v, m in zip(value, mask)]
    np.testing.assert_allclose(here, [3.0, 8.0, 0.0], rtol=1e-6)
    nothing = jax.vmap(on_device, axis_name="d")(value, jnp.zeros_like(mask))
    np.testing.assert_array_equal(nothing, np.zeros(3))


def test_a_step_of_taufe_compiles_once_for_every_weight(inputs, params):
    tx = rj.inject_hyperparams(taufe)(weight=0.1, tensor="feature_map")
    traces = []

    @jax.jit
    def value(state):
        traces.append(0)
        terms, _ = tx.update(
            rj.start(BATCH), state, BATCH, ood_feature_map=jnp.ones((M, 1, 2, D))
        )
        return rj.reduce(terms)

    for weight in (0.3, 0.5):
        state = rj.set_hyperparams(tx.init(SPEC), weight=weight)
        np.testing.assert_allclose(value(state), weight, rtol=1e-6)
    assert len(traces) == 1


@pytest.mark.parametrize("name", TAUFE_SETTINGS)
def test_published_settings_make_transforms(name):
    setting = TAUFE_SETTINGS[name]
    tx = taufe(**setting._asdict())
    ones = {"ood_features": jnp.ones((M, 8)), "ood_feature_map": jnp.ones((M, 2, 2, 2))}
    needed = {f"ood_{setting.tensor}": ones[f"ood_{setting.tensor}"]}
    terms, _ = tx.update(rj.start(BATCH), tx.init(SPEC), BATCH, **needed)
    entries = 8 if setting.reduction == "sum" else 1
    np.testing.assert_allclose(rj.reduce(terms), setting.weight * entries, rtol=1e-6)


def test_values_of_published_settings():
    assert TAUFE_SETTINGS["cifar"] == TaufeSetting(0.1, "features", "mean")
    assert TAUFE_SETTINGS["imagenet10"] == (0.01, "features", "mean")
    assert TAUFE_SETTINGS["imagenet10_64"] == (0.01, "feature_map", "mean")
    assert TAUFE_SETTINGS["boxes"] == (0.1, "feature_map", "mean")
    assert TAUFE_SETTINGS["cifar_as_printed"] == (0.1, "features", "sum")
    assert TAUFE_SETTINGS["mix_match"] == (0.1, "features", "mean")
    assert len(TAUFE_SETTINGS) == 6
    # Of 512 features, as printed: 512 times the penalty of the code.
    extra = {"ood_features": jnp.ones((M, 512))}
    for name, want in (("cifar", 0.1), ("cifar_as_printed", 51.2)):
        tx = taufe(**TAUFE_SETTINGS[name]._asdict())
        terms, _ = tx.update(rj.start(BATCH), tx.init(SPEC), BATCH, **extra)
        np.testing.assert_allclose(rj.reduce(terms), want, rtol=1e-5)


def test_bad_settings():
    for factory in (taufe, oat):
        for weight in (-0.1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match=f"weight: got {weight}"):
                factory(weight)
    with pytest.raises(ValueError, match=r"tensor: unknown 'map'.*features, feature_m"):
        taufe(0.1, tensor="map")
    with pytest.raises(ValueError, match="reduction: unknown 'none'"):
        taufe(0.1, reduction="none")


def test_missing_extras_are_named():
    features = jnp.ones((M, D))
    with pytest.raises(TypeError, match="taufe: needs the argument 'ood_features'"):
        update(taufe(0.1), logits=features)
    with pytest.raises(TypeError, match="taufe: needs the argument 'ood_feature_map'"):
        update(taufe(0.1, tensor="feature_map"), ood_features=features)
    with pytest.raises(TypeError, match="oat: needs the argument 'ood_logits'"):
        update(oat(), ood_features=features)


def test_a_task_without_softmax_cannot_run_oat():
    boxes = jnp.ones((B, 4))
    with pytest.raises(ValueError, match="oat: .*boxes, expected a classifier's logit"):
        update(oat(), boxes=boxes, ood_features=jnp.ones((M, D)))
    update(oat(), boxes=boxes, ood_logits=jnp.ones((M, C)))


@pytest.mark.slow
def test_bad_shapes():
    with pytest.raises(ValueError, match=r"ood_logits: got shape \(4, 3, 2\)"):
        update(oat(), ood_logits=jnp.ones((M, 3, C)))
    with pytest.raises(ValueError, match=r"ood_logits: got shape \(4,\)"):
        update(oat(), ood_logits=jnp.ones(M))
    with pytest.raises(ValueError, match=r"ood_features: got shape \(4, 1, 1, 3\)"):
        update(taufe(0.1), ood_features=jnp.ones((M, 1, 1, D)))
    with pytest.raises(ValueError, match="ood_features: got no rows"):
        update(taufe(0.1), ood_features=jnp.ones((0, D)))
    with pytest.raises(ValueError, match=r"ood_mask: got shape \(5,\), expected \(4,"):
        update(taufe(0.1), ood_features=jnp.ones((M, D)), ood_mask=jnp.ones(B, bool))


def test_weights_and_row_numbers_are_no_mask():
    def total(mask):
        return rj.reduce(
            update(taufe(0.1), ood_features=jnp.ones((M, D)), ood_mask=mask)[0]
        )

    for bad in (jnp.full(M, 0.5), np.arange(M)):
        with pytest.raises(ValueError, match="ood_mask: got .*, expected bools, or 0"):
            total(bad)
    traced = jax.jit(total)
    assert np.isnan(traced(jnp.arange(M)))
    np.testing.assert_allclose(traced(jnp.arange(M) % 2), 0.1, rtol=1e-6)
    with pytest.raises(ValueError, match="penalty.mask: got int32, expected bool"):
        rj.reduce(penalised(jnp.ones(M), jnp.arange(M)))
