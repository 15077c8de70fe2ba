"""Heads hand their loss the logits, the labels and their hyperparameters."""

import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax.transforms import _active_passive_heads as active
from robustjax.transforms import _heads as heads

SPEC = rj.ExampleSpec(num_examples=4, num_classes=3)
LABELS = jnp.array([0, 1, 2, 0])
BATCH = {"index": jnp.arange(4), "label": LABELS}
LOGITS = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
TRANSITION = jnp.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
# At construction these differ from every default, so that a dropped one shows.
CASES = {
    "nce": (active.nce(), rj.losses.nce(LOGITS, LABELS)),
    "nfl": (
        active.nfl(gamma=1.5, detached="none"),
        rj.losses.nfl(LOGITS, LABELS, gamma=1.5),
    ),
    "ngce": (active.ngce(q=0.3), rj.losses.ngce(LOGITS, LABELS, q=0.3)),
    "active_passive": (
        active.active_passive("nfl", "rce", 10.0, 0.1, gamma=2.0, log_zero=-4.0),
        rj.losses.active_passive(
            LOGITS, LABELS, active="nfl", alpha=10, beta=0.1, gamma=2, log_zero=-4
        ),
    ),
    "active_passive(ngce)": (
        active.active_passive("ngce", "mae", 2.0, 3.0, q=0.1),
        rj.losses.active_passive(
            LOGITS, LABELS, active="ngce", passive="mae", alpha=2, beta=3, q=0.1
        ),
    ),
    "gce_weighted_ce": (
        heads.gce_weighted_ce(q=0.4),
        rj.losses.gce_weighted_ce(LOGITS, LABELS, q=0.4),
    ),
    "backward_correction": (
        heads.backward_correction(TRANSITION),
        rj.losses.backward_corrected_ce(LOGITS, LABELS, transition=TRANSITION),
    ),
    "bootstrap": (
        heads.bootstrap(),
        rj.losses.bootstrap_ce(LOGITS, LABELS, beta=0.95),
    ),
    "bootstrap(hard)": (
        heads.bootstrap(hard=True),
        rj.losses.bootstrap_ce(LOGITS, LABELS, beta=0.8, hard=True),
    ),
    "bootstrap(beta)": (
        heads.bootstrap(0.3),
        rj.losses.bootstrap_ce(LOGITS, LABELS, beta=0.3),
    ),
}


def values(tx, state, batch=BATCH, **extra):
    terms, _ = tx.update(rj.start(batch), state, batch, logits=LOGITS, **extra)
    return terms.value


@pytest.mark.parametrize("name", CASES)
def test_head_equals_its_loss(name):
    tx, want = CASES[name]
    assert tx.stages == (rj.Stage.HEAD,)
    np.testing.assert_allclose(values(tx, tx.init(SPEC)), want, rtol=1e-6)


@pytest.mark.parametrize(
    ("factory", "start", "change", "want"),
    [
        (
            active.active_passive,
            {"active": "nfl", "alpha": 1.0, "log_zero": -4.0},
            {"alpha": 5.0, "log_zero": -2.0, "gamma": 1.0},
            active.active_passive("nfl", alpha=5.0, log_zero=-2.0, gamma=1.0),
        ),
        (
            heads.bootstrap,
            {"beta": 0.9, "hard": True},
            {"beta": 0.2},
            heads.bootstrap(0.2, hard=True),
        ),
        (
            heads.backward_correction,
            {"transition": jnp.eye(3)},
            {"transition": TRANSITION},
            heads.backward_correction(TRANSITION),
        ),
    ],
)
def test_hyperparameters_can_be_injected(factory, start, change, want):
    tx = rj.inject_hyperparams(factory)(**start)
    state = rj.set_hyperparams(tx.init(SPEC), **change)
    np.testing.assert_allclose(
        values(tx, state), values(want, want.init(SPEC)), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: active.nfl(gamma=-1), "gamma: got -1"),
        (lambda: active.nfl(detached="yes"), "detached: unknown"),
        (lambda: active.ngce(q=2), "q: got 2"),
        (lambda: active.active_passive("ce"), "active: unknown 'ce'"),
        (lambda: active.active_passive(passive="nce"), "passive: unknown"),
        (lambda: active.active_passive(alpha=-1), "alpha: got -1"),
        (lambda: active.active_passive(beta=-1), "beta: got -1"),
        (lambda: active.active_passive(log_zero=0.0), "log_zero: got 0"),
        (lambda: active.active_passive(q=0.1), "q: got 0.1 with active='nce', exp"),
        (lambda: active.active_passive("ngce", gamma=2.0), "gamma: got 2.0 with act"),
        (
            lambda: active.active_passive(passive="mae", log_zero=-4.0),
            "log_zero: got -4.0 with passive='mae', expected its default, -9.2",
        ),
        (lambda: heads.gce_weighted_ce(q=0), "q: got 0"),
        (lambda: heads.bootstrap(1.5), "beta: got 1.5"),
        (
            lambda: heads.backward_correction(jnp.full((3, 3), 1 / 3)),
            "transition: got a singular matrix",
        ),
    ],
)
def test_bad_hyperparameters_are_told_when_the_head_is_built(build, message):
    with pytest.raises(ValueError, match=message):
        build()
