"""A training that was stopped goes on as if it had not been."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax import training
from robustjax.models.language import Lora
from robustjax.training import language
from robustjax.training.language._checkpoints import transform_probe
from tests.models.language import tiny

from . import problem

RECIPE = language.FineTuningRecipe(
    epochs=3, batch_size=2, learning_rate=0.01, residual_dropout=0.2, warmup_share=0.2
)
TRANSFORM = rj.chain(rj.alpha_weights(0.5), rj.gce(), rj.elr())


def _tune(folder=None, recipe=RECIPE, stop_after=None, lora=None, transform=TRANSFORM):
    stop = training.StopRequest()

    def report(epoch, metrics):
        if epoch == stop_after:
            stop.signal_name = "SIGTERM"

    return language.fine_tune(
        tiny.model(),
        problem.PACKED,
        recipe,
        key=jax.random.key(3),
        lora=lora,
        objective=language.Objective(transform),
        checkpoints=folder,
        report=report,
        stop=stop,
    )


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, Lora(2)])
def test_resume_is_exact(tmp_path, lora):
    want = _tune(lora=lora)
    with pytest.raises(training.InterruptedRunError):
        _tune(tmp_path / "c", stop_after=0, lora=lora)
    if lora is not None:
        # Frozen weights are not kept.
        structure = next(tmp_path.rglob("_METADATA")).read_text()
        assert "q_proj" in structure
        assert "embed" not in structure
    got = _tune(tmp_path / "c", lora=lora)
    assert got.history["loss"].shape == (2,)
    np.testing.assert_array_equal(got.history["loss"], want.history["loss"][1:])
    # A damaged one costs an epoch.
    (tmp_path / "c" / "3" / "meta.json").write_text("{")
    again = _tune(tmp_path / "c", lora=lora)
    assert again.history["loss"].shape == (1,)
    for tuned in (got, again):
        for part in ("model", "adapters", "loss_state"):
            jax.tree.map(
                np.testing.assert_array_equal,
                getattr(tuned, part),
                getattr(want, part),
            )


@pytest.mark.slow
def test_checkpoints_of_another_training(tmp_path):
    with pytest.raises(training.InterruptedRunError):
        _tune(tmp_path, stop_after=0)
    other = dataclasses.replace(RECIPE, learning_rate=0.02)
    with pytest.raises(
        ValueError, match="checkpoints: .* holds another model, data or"
    ):
        _tune(tmp_path, recipe=other)
    other = rj.chain(rj.alpha_weights(0.5), rj.gce(0.6), rj.elr())
    with pytest.raises(ValueError, match="expected a folder of this training"):
        _tune(tmp_path, transform=other)


def _falling(step):
    return jnp.where(step > 6, 0.7, 0.5)


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        (
            rj.truncated_gce(k=0.1, start_epoch=1),
            rj.truncated_gce(k=0.9, start_epoch=1),
        ),
        (
            rj.truncated_gce(k=0.1, start_epoch=1),
            rj.truncated_gce(k=0.1, start_epoch=2),
        ),
        (
            rj.chain(rj.inject_hyperparams(rj.gce)(q=0.5)),
            rj.chain(rj.inject_hyperparams(rj.gce)(q=_falling)),
        ),
    ],
)
def test_settings_that_act_in_later_epochs_show_too(mine, other):
    """In the first epoch they are alike."""
    one, two = (transform_probe(tx, 3, 4) for tx in (mine, other))
    assert len(one) == len(two)
    np.testing.assert_allclose(one[:8], two[:8])
    assert not np.allclose(one, two, 1e-4, 1e-6, equal_nan=True)
