"""Presets called published, held to the table of what was, with the sources."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from experiments.common.noise import make_noise
from experiments.studies.label_noise import configs, setup
from experiments.studies.label_noise.config import NoisyLabelsConfig
from experiments.studies.label_noise.method_presets import DIFFERENCES, METHOD_PRESETS
from experiments.studies.label_noise.presets import PRESETS, PUBLISHED
from experiments.studies.label_noise.study import STUDY
from experiments.study.flags import Given
from experiments.sweeping.grid import product, read_grid
from experiments.sweeping.launchers import Launcher
from experiments.sweeping.points import BadPointsError, resolve_points
from robustjax import data
from robustjax.methods import entries
from robustjax.tools.method_options import choose_methods, read_options
from robustjax.tools.optimizer import decay_from_epoch, make_schedule
from tests.experiments.published_label_noise import ROWS, Row

STEPS = 391  # Of batches of 128 in an epoch of 50,000.


def resolve(names, preset, given):
    return configs.resolve(choose_methods(names, entries("label_noise")), preset, given)


def defaults(entry):
    return {name: option.default for name, option in entry.options.items()}


def resolved(row):
    return resolve((row.method,), row.preset, row.given)[row.method]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_preset_is_what_was_published(row):
    found = resolved(row)
    config = dataclasses.asdict(found.config)
    assert {name: config[name] for name in row.training} == row.training, row.source
    values = {**defaults(found.entry), **found.options}
    assert {name: values[name] for name in row.hyper} == row.hyper, row.source
    setup.check(found.config)


def test_every_published_preset_is_in_the_table():
    used = {resolved(row).method_preset for row in ROWS}
    named = {name for name in METHOD_PRESETS if name.split("/")[1] in PUBLISHED}
    assert used == named
    assert set(DIFFERENCES) <= named


def test_the_registry_says_what_the_presets_say():
    """Where both have a setting of a method, the options are the same."""
    compared = 0
    for entry in entries("label_noise"):
        for setting, options in entry.published.items():
            preset = METHOD_PRESETS.get(f"{entry.name}/{setting}")
            if preset is None:
                continue
            texts = preset.get("options", ())
            found = read_options(texts, {entry.name: entry})[entry.name]
            assert {name: found[name] for name in options} == options, entry.name
            compared += 1
    assert compared > 20


def rates(method, preset, noise, epochs):
    """The learning rate in the first step of some epochs, counted from 0."""
    config = resolved(Row("", method, preset, noise, {}, {})).config
    options = setup.optimizer_options(config)
    schedule = make_schedule(options, config.epochs, STEPS)
    return [float(schedule(epoch * STEPS)) for epoch in epochs]


def test_elr_restarts_every_ten_epochs():
    """As CosineAnnealingWarmRestarts(T_0=10, eta_min=0.001) of 0.02."""
    epochs = np.array([0, 1, 5, 9, 10, 15, 149])
    want = 0.001 + 0.019 * (1 + np.cos(np.pi * (epochs % 10) / 10)) / 2
    got = rates("elr", "cifar10", ("symmetric", 0.4), epochs)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert got[4] == pytest.approx(0.02)
    # Within an epoch it goes on falling.
    config = resolved(Row("", "elr", "cifar10", ("symmetric", 0.4), {}, {})).config
    schedule = make_schedule(setup.optimizer_options(config), 150, STEPS)
    assert float(schedule(10 * STEPS - 1)) == pytest.approx(0.001, rel=1e-3)
    assert "cosine restarted every 10 epochs down to 0.001" in (
        setup.optimizer_options(config).describe()
    )


def test_steps_drop_when_and_by_what_was_published():
    got = rates("elr", "cifar100", ("symmetric", 0.4), (79, 80, 119, 120))
    np.testing.assert_allclose(got, [0.02, 2e-4, 2e-4, 2e-6], rtol=1e-5)
    got = rates("divide_mix", "cifar100", ("symmetric", 0.9), (149, 150, 299))
    np.testing.assert_allclose(got, [0.02, 2e-3, 2e-3], rtol=1e-5)
    got = rates("sop", "cifar100", ("symmetric", 0.4), (0, 150, 300))
    np.testing.assert_allclose(got, [0.02, 0.0101, 2e-4], rtol=1e-4)


@pytest.mark.parametrize(("preset", "first"), [("cifar10", 80), ("cifar100", 100)])
@pytest.mark.parametrize("method", ["co_teaching", "jocor"])
def test_co_teaching_falls_from_its_epoch_to_zero_at_200(method, preset, first):
    found = resolved(Row("", method, preset, ("symmetric", 0.5), {}, {}))
    config = found.config
    # Epochs counted from 1: 199 are trained, and at 200 the rate would be zero.
    assert config.epochs + 1 == 200
    options = setup.optimizer_options(config)
    assert decay_from_epoch(options, config.epochs) == first


def test_co_teaching_has_no_settings_that_it_would_leave_out():
    for name, value in (
        ("weight_decay", 1e-4),
        ("schedule", "cosine"),
        ("clip_norm", 1.0),
    ):
        given = {"noise": "symmetric", name: value}
        config = resolve(("co_teaching",), "cifar10", given)["co_teaching"].config
        with pytest.raises(ValueError, match=f"{name}: got .* optimizer=co_teaching"):
            setup.check(config)
    late = resolve(("jocor",), "cifar100", {"epochs": 20})["jocor"].config
    with pytest.raises(ValueError, match="decay_from_epoch: got 100 of 20 epochs"):
        decay_from_epoch(setup.optimizer_options(late), late.epochs)


def test_noise_is_as_all_methods_were_published_or_a_flag_says():
    def noise(methods, **given):
        found = resolve(methods, "cifar10", {"noise": "symmetric", **given})
        return {
            (m.config.noise_include_true, m.config.noise_count) for m in found.values()
        }

    assert noise(("elr", "sop", "divide_mix")) == {(True, "exact")}
    # Cross-entropy was published with any.
    assert noise(("ce", "co_teaching", "jocor")) == {(False, "bernoulli")}
    with pytest.raises(ValueError, match="noise_include_true") as caught:
        noise(("ce", "elr", "co_teaching"))
    assert str(caught.value) == (
        "noise_include_true: elr was published with True and co_teaching with False, "
        "expected --noise_include_true for a comparison on the same labels"
    )
    with pytest.raises(ValueError, match="noise_count: elr was published with exact"):
        noise(("elr", "co_teaching"), noise_include_true=True)
    chosen = {"noise_include_true": True, "noise_count": "exact"}
    assert noise(("elr", "co_teaching"), **chosen) == {(True, "exact")}
    # Flags of one method win, too; and two names are one model.
    assert noise(("elr",), noise_include_true=False) == {(False, "exact")}
    found = resolve(("jocor",), "cifar10", {"noise": "uniform", "noise_rate": 0.8})
    assert found["jocor"].options["co_lambda"] == 0.65
    assert not found["jocor"].config.noise_include_true


def test_points_of_a_sweep_have_their_noise_as_one_run_would():
    launcher = Launcher(
        "experiments.label_noise", STUDY, NoisyLabelsConfig, PRESETS, ("ce",)
    )

    def sweep(grid, **fields):
        points = product(read_grid(grid, launcher.takes_list))
        given = Given("cifar10", fields, "runs", None)
        return resolve_points(launcher, points, given, ("ce",))

    with pytest.raises(BadPointsError) as caught:
        sweep("noise_rate=0.2,0.5; methods=ce,gce")
    assert caught.value.lines == [
        "grid: noise_include_true is True at noise_rate=0.2 methods=ce and False at "
        "noise_rate=0.2 methods=gce, as their methods were published; expected "
        "--noise_include_true for a comparison on the same labels",
        "grid: noise_count is exact at noise_rate=0.2 methods=ce and bernoulli at "
        "noise_rate=0.2 methods=gce, as their methods were published; expected "
        "--noise_count for a comparison on the same labels",
    ]
    chosen = {"noise_include_true": False, "noise_count": "exact"}
    assert len(sweep("methods=ce,gce,elr", **chosen)) == 3
    assert len(sweep("methods=ce,elr; elr.strength=1,3")) == 3
    # What is swept may differ.
    assert len(sweep("noise_count=exact,bernoulli; noise_rate=0.2,0.5")) == 4


def test_a_preset_of_one_rate_is_not_taken_for_another():
    found = resolve(("jocor",), "cifar10", {"noise_rate": 0.804})["jocor"]
    assert found.method_preset == "jocor/cifar10"
    found = resolve(("divide_mix",), "cifar10", {"noise_rate": 0.29})["divide_mix"]
    assert found.method_preset == "divide_mix/cifar10/symmetric"


def test_what_is_not_published_is_said():
    def said(method, preset, **given):
        return resolve((method,), preset, given)[method].describe()

    assert "not as published" not in said("elr", "digits")
    assert "not as published" not in said("jocor", "cifar10", noise_rate=0.5)
    text = said("bootstrap", "cifar100")
    assert text.count("\n") == 1
    assert "no setting of bootstrap for cifar100 and this noise is known" in text
    text = said("divide_mix", "cifar10", noise_rate=0.4)
    assert "not as published: no lambda_u is published for this noise" in text
    text = said("elr", "cifar10", noise="asymmetric", noise_rate=0.4)
    assert "--validation_fraction=0.1" in text
    assert "18.4 %" in text
    assert "sgd 0.02 steps (times 0.01 at 40, 80)" in text


def test_defaults_are_of_no_publication():
    """What a plain run takes is the launcher's, so it claims nothing."""
    config = NoisyLabelsConfig()
    assert not config.noise_include_true
    assert config.noise_count == "exact"
    assert resolve(("ce",), None, {})["ce"].not_as_published() == ""


def test_which_symmetric_noise_it_is_is_said_and_done():
    labels = np.arange(1000) % 10
    points = data.make_dataset(np.zeros((1000, 1), np.float32), labels)
    keys = jax.random.split(jax.random.key(0), 2)

    def task(model, **options):
        options = {"include_true": False, **options}
        return make_noise(model, points, keys, rate=0.455, scope="chosen", **options)

    other = task("symmetric")
    assert other.description.startswith(
        "symmetric noise, 45.5% of the labels redrawn (never true), exactly so many;"
    )
    assert set(other.is_noisy.sum(axis=1)) == {455}
    to_any = task("symmetric", include_true=True)
    assert "(true class allowed), exactly so many" in to_any.description
    # A tenth of the redrawn labels is right again.
    assert (to_any.is_noisy.sum(axis=1) < 445).all()
    by_class = task("symmetric", count="exact_per_class")
    assert "so many of each class" in by_class.description
    of_class = [by_class.is_noisy[:, labels == c].sum(axis=1) for c in range(10)]
    assert {int(n) for n in np.ravel(of_class)} <= {45, 46}
    drawn = task("pairflip", count="bernoulli")
    assert "redrawn, each drawn by itself;" in drawn.description
    assert len(set(drawn.is_noisy.sum(axis=1))) == 2


def test_images_enter_as_they_are_where_they_did(monkeypatch):
    """Co-teaching's and JoCoR's inputs are in [0, 1], and others' normalised."""
    seen = {}

    class StopError(Exception):
        pass

    def make_recipe(entry, setting, values):
        seen[entry.name] = setting.preprocess(np.full((1, 8, 8, 1), 0.25, np.float32))
        raise StopError

    monkeypatch.setattr(setup, "make_recipe", make_recipe)
    task = setup.prepare(NoisyLabelsConfig(dataset="digits", repeats=1))
    assert task.train.inputs.ndim == 4
    for normalize in (True, False):
        given = {
            "normalize": normalize,
            "standardize": False,
            "hidden": (8,),
            "epochs": 1,
        }
        with pytest.raises(StopError):
            resolve(("ce",), None, given)["ce"].build(task)
        unchanged = np.allclose(seen["ce"], 0.25)
        assert unchanged is not normalize
