"""Presets called published, held to tables of what was published, with the sources.

The tables are written from papers and public code, not from the presets.
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from experiments.common.noise import make_noise
from experiments.common.optimizer import decay_from_epoch, make_schedule
from experiments.presets.noisy_labels import PUBLISHED, NoisyLabelsConfig
from experiments.presets.noisy_labels_methods import DIFFERENCES, METHOD_PRESETS
from experiments.robust_training import methods, setup
from experiments.robust_training.configs import resolve
from experiments.robust_training.methods import METHODS
from robustjax import data

STEPS = 391  # Of batches of 128 in an epoch of 50,000.


@dataclasses.dataclass(frozen=True)
class Row:
    """What was published of a method on a data set.

    Attributes:
      source: where it is from.
      method: the launcher's name.
      preset: of the data set.
      noise: (model, rate), or the name of a set of human labels.
      training: fields of the launcher's configuration.
      hyper: hyper-parameters, of which defaults are part.
    """

    source: str
    method: str
    preset: str
    noise: tuple[str, float] | str
    training: dict
    hyper: dict

    @property
    def given(self):
        """The flags that ask for this noise."""
        if isinstance(self.noise, str):
            return {"noise": "key", "label_set": self.noise}
        return {"noise": self.noise[0], "noise_rate": self.noise[1]}

    def __str__(self):
        noise = (
            self.noise
            if isinstance(self.noise, str)
            else "-".join(map(str, self.noise))
        )
        return f"{self.method}-{self.preset}-{noise}"


SGD = {"optimizer": "sgd", "momentum": 0.9, "nesterov": False, "batch_size": 128}
ANY = {"noise_include_true": True, "noise_count": "exact"}
OTHER = {"noise_include_true": False, "noise_count": "bernoulli"}
EACH_CLASS = {"noise_include_true": False, "noise_count": "exact_per_class"}


def stepped(epochs, rate, decay, drops, factor=0.1, **more):
    return {
        **SGD,
        "epochs": epochs,
        "learning_rate": rate,
        "weight_decay": decay,
        "schedule": "steps",
        "drop_epochs": drops,
        "drop_factor": factor,
        "clip_norm": 0.0,
        "augment": "crop_flip",
        **more,
    }


def cosine(epochs, rate, decay, last=0.0, **more):
    return {
        **SGD,
        "epochs": epochs,
        "learning_rate": rate,
        "weight_decay": decay,
        "schedule": "cosine",
        "final_factor": pytest.approx(last / rate),
        "augment": "crop_flip",
        **more,
    }


# shengliu66/ELR, folder ELR: config_cifar10.json, config_cifar10_asym.json,
# config_cifar100.json; data_loader: random permutation, any class; asymmetric noise of
# CIFAR-10 by class, of CIFAR-100 by independent draws.
ELR_SOURCE = "shengliu66/ELR, ELR/config_cifar*.json"
RESTARTED = {
    **SGD,
    "network": "resnet34",
    "epochs": 150,
    "learning_rate": 0.02,
    "weight_decay": 1e-3,
    "schedule": "warm_restarts",
    "restart_epochs": 10,
    "final_factor": pytest.approx(0.001 / 0.02),
    "augment": "crop_flip",
}
ELR_ROWS = [
    Row(ELR_SOURCE, "elr", "cifar10", ("symmetric", rate), {**RESTARTED, **ANY},
        {"strength": 3, "decay": 0.7})
    for rate in (0.2, 0.4, 0.6, 0.8)
] + [
    Row(ELR_SOURCE, "elr", "cifar10", ("asymmetric", 0.4),
        stepped(120, 0.02, 1e-3, (40, 80), 0.01, network="resnet34",
                noise_count="exact_per_class"),
        {"strength": 1, "decay": 0.9}),
    Row(ELR_SOURCE, "elr", "cifar100", ("symmetric", 0.6),
        stepped(150, 0.02, 1e-3, (80, 120), 0.01, network="resnet34", **ANY),
        {"strength": 7, "decay": 0.9}),
    Row(ELR_SOURCE, "elr", "cifar100", ("asymmetric", 0.4),
        stepped(150, 0.02, 1e-3, (80, 120), 0.01, network="resnet34",
                noise_count="bernoulli"),
        {"strength": 7, "decay": 0.9}),
    Row(ELR_SOURCE + "; our choice for human labels", "elr", "cifar10_n", "worse",
        RESTARTED, {"strength": 3, "decay": 0.7}),
]  # fmt: skip

# shengliu66/ELR, folder ELR_plus: config_cifar10.json (lambda 3; its "alpha" is beta),
# config_cifar10_asym.json, config_cifar100.json; model/loss.py weights labels where
# there are 100 classes.
PLUS_SOURCE = "shengliu66/ELR, ELR_plus/config_cifar*.json and model/loss.py"
PLUS = {"mixup_alpha": 1.0, "average_decay": 0.997, "average_ramp_steps": 40_000}
PLUS_10 = stepped(200, 0.02, 5e-4, (150,), network="preact_resnet18")
PLUS_100 = stepped(250, 0.02, 5e-4, (200,), network="preact_resnet18")
PLUS_TEN = {**PLUS, "ramp_steps": 0, "weight_labels": False}
PLUS_HUNDRED = {**PLUS, "strength": 7, "decay": 0.9, "ramp_steps": 40_000,
                "weight_labels": True}  # fmt: skip
ELR_PLUS_ROWS = [
    Row(PLUS_SOURCE, "elr_plus", "cifar10", ("symmetric", 0.8), {**PLUS_10, **ANY},
        {**PLUS_TEN, "strength": 3, "decay": 0.7}),
    Row(PLUS_SOURCE, "elr_plus", "cifar10", ("asymmetric", 0.4),
        {**PLUS_10, "noise_count": "exact_per_class"},
        {**PLUS_TEN, "strength": 1, "decay": 0.9}),
    Row(PLUS_SOURCE + "; our choice for human labels", "elr_plus", "cifar10_n",
        "worse", PLUS_10, {**PLUS_TEN, "strength": 3, "decay": 0.7}),
    Row(PLUS_SOURCE, "elr_plus", "cifar100", ("symmetric", 0.8), {**PLUS_100, **ANY},
        PLUS_HUNDRED),
    Row(PLUS_SOURCE, "elr_plus", "cifar100", ("asymmetric", 0.4),
        {**PLUS_100, "noise_count": "bernoulli"}, PLUS_HUNDRED),
]  # fmt: skip

# Liu et al. (2022), Table A.1 (rates of u and v), and shengliu66/SOP:
# config_cifar100.json and README. SOP: ResNet-34; SOP+: PreActResNet-18 (issue 9).
SOP_SOURCE = "Liu et al. (2022), Table A.1; shengliu66/SOP, config_cifar100.json"
SOP_TEN, SOP_HUNDRED = cosine(300, 0.02, 5e-4), cosine(300, 0.02, 1e-3, 2e-4)
SOP_ROWS = [
    Row(SOP_SOURCE, method, preset, noise,
        {**training, "network": network, **(how if preset != "cifar10_n" else {})},
        {"lr_u": lr_u, "lr_v": lr_v, **extra})
    for method, network, extra in (
        ("sop", "resnet34", {"balance": 0.0}),
        ("sop_plus", "preact_resnet18", {"consistency": 0.9, "balance": 0.1}),
    )
    for preset, noise, training, how, lr_u, lr_v in (
        ("cifar10", ("symmetric", 0.4), SOP_TEN, ANY, 10, 10),
        ("cifar10", ("asymmetric", 0.4), SOP_TEN,
         {"noise_count": "exact_per_class"}, 10, 100),
        ("cifar10_n", "worse", SOP_TEN, {}, 10, 100),
        ("cifar100", ("symmetric", 0.4), SOP_HUNDRED, ANY, 1, 10),
        ("cifar100", ("asymmetric", 0.4), SOP_HUNDRED,
         {"noise_count": "bernoulli"}, 1, 100),
    )
]  # fmt: skip

# LiJunnan1992/DivideMix, Train_CIFAR.py (defaults; average over five epochs at r = 0.9)
# and README/paper for lambda_u and tau; CIFAR-N: UCSC-REAL/cifar-10-100n, issue 7.
MIX_SOURCE = "LiJunnan1992/DivideMix, Train_CIFAR.py; Li et al. (2020), appendix"
MIX_TRAINING = stepped(300, 0.02, 5e-4, (150,), network="preact_resnet18")
MIX = {"temperature": 0.5, "alpha": 4.0, "num_views": 2, "ramp_up_epochs": 16.0,
       "prior_weight": 1.0, "confidence_penalty": 0.0, "threshold": 0.5,
       "average_epochs": 1}  # fmt: skip
MIX_ROWS = [
    Row(MIX_SOURCE, "divide_mix", preset, (model, rate), {**MIX_TRAINING, **how},
        {**MIX, "warmup_epochs": warmup, "lambda_u": weight, **more})
    for preset, model, rate, how, warmup, weight, more in (
        ("cifar10", "symmetric", 0.2, ANY, 10, 0, {}),
        ("cifar10", "symmetric", 0.5, ANY, 10, 25, {}),
        ("cifar10", "symmetric", 0.8, ANY, 10, 25, {}),
        ("cifar10", "symmetric", 0.9, ANY, 10, 50,
         {"threshold": 0.6, "average_epochs": 5}),
        ("cifar10", "asymmetric", 0.4, {"noise_count": "exact"}, 10, 0,
         {"confidence_penalty": 1.0}),
        # No lambda_u is published for 40 %.
        ("cifar10", "symmetric", 0.4, ANY, 10, 25, {}),
        ("cifar100", "symmetric", 0.2, ANY, 30, 25, {}),
        ("cifar100", "symmetric", 0.5, ANY, 30, 150, {}),
        ("cifar100", "symmetric", 0.8, ANY, 30, 150, {}),
        ("cifar100", "symmetric", 0.9, ANY, 30, 150,
         {"threshold": 0.6, "average_epochs": 5}),
        ("cifar100", "symmetric", 0.6, ANY, 30, 150, {}),
    )
] + [
    Row("CIFAR-N authors, issue 7; of worse our choice", "divide_mix", "cifar10_n",
        labels, MIX_TRAINING, {**MIX, "warmup_epochs": 10, "lambda_u": weight})
    for labels, weight in (("aggre", 0), ("random1", 0), ("worse", 25))
]  # fmt: skip

# bhanML/Co-teaching and hongxin001/JoCoR, main.py: Adam 1e-3; epochs 1 to 199; decay
# from 80 (CIFAR-10) or 100 (CIFAR-100); images as they are; independent draws of
# another class. JoCoR's README: lambda 0.9, 0.65 and 0.85.
SMALL_LOSS_SOURCE = "bhanML/Co-teaching and hongxin001/JoCoR, main.py and README"


def small_loss(decay_from):
    return {
        "network": "nine_layer_cnn", "optimizer": "co_teaching", "learning_rate": 1e-3,
        "epochs": 199, "decay_from_epoch": decay_from, "batch_size": 128,
        "weight_decay": 0.0, "augment": "none", "normalize": False,
    }  # fmt: skip


GRADUAL = {"num_gradual": 10, "exponent": 1.0}
SMALL_LOSS_ROWS = [
    Row(SMALL_LOSS_SOURCE, method, preset, noise,
        {**small_loss(decay), **({} if noise == "worse" else how)},
        {**GRADUAL, **({"co_lambda": co_lambda} if method == "jocor" else {})})
    for preset, noise, decay, how, co_lambda in (
        ("cifar10", ("symmetric", 0.2), 80, OTHER, 0.9),
        ("cifar10", ("symmetric", 0.5), 80, OTHER, 0.9),
        ("cifar10", ("symmetric", 0.8), 80, OTHER, 0.65),
        ("cifar10", ("asymmetric", 0.4), 80, {"noise_count": "bernoulli"}, 0.9),
        ("cifar10_n", "worse", 80, {}, 0.9),
        ("cifar100", ("symmetric", 0.5), 100, OTHER, 0.85),
        ("cifar100", ("symmetric", 0.8), 100, OTHER, 0.85),
    )
    for method in ("co_teaching", "jocor")
]  # fmt: skip

# Zhang and Sabuncu (2018) by AlanChou/Truncated-Loss, main.py and README: the 40th
# (80th) epoch is the first whose examples are chosen. Independent draws, other classes.
GCE_SOURCE = "Zhang and Sabuncu (2018); AlanChou/Truncated-Loss"
GCE_TEN = stepped(120, 0.01, 1e-4, (40, 80), network="resnet34", **OTHER)
GCE_HUNDRED = stepped(150, 0.01, 1e-4, (80, 120), network="resnet34", **OTHER)
CUT = {"q": 0.7, "k": 0.5}
GCE_ROWS = [
    Row(GCE_SOURCE, "gce", "cifar10", ("symmetric", 0.4), GCE_TEN, {"q": 0.7}),
    Row(GCE_SOURCE, "gce", "cifar100", ("symmetric", 0.4), GCE_HUNDRED, {"q": 0.7}),
    Row(GCE_SOURCE, "truncated_gce", "cifar10", ("symmetric", 0.4), GCE_TEN,
        {**CUT, "start_epoch": 40 - 1}),
    Row(GCE_SOURCE, "truncated_gce", "cifar100", ("symmetric", 0.4), GCE_HUNDRED,
        {**CUT, "start_epoch": 80 - 1}),
]  # fmt: skip

# HanxunH/Active-Passive-Losses, configs/*/sym: nce+rce.yaml, sce.yaml; so many per
# class, never the true one. ResNet-34 by the paper; of CIFAR-10's CNN see DIFFERENCES.
APL_SOURCE = "HanxunH/Active-Passive-Losses, configs/cifar*/sym"
APL_ROWS = [
    Row(APL_SOURCE, method, preset, ("symmetric", 0.4),
        cosine(epochs, rate, decay, network=network, clip_norm=5.0, **EACH_CLASS),
        {"alpha": alpha, "beta": beta, **more})
    for preset, epochs, rate, decay, network, values in (
        ("cifar10", 120, 0.01, 1e-4, "nine_layer_cnn", ((1, 1), (0.1, 1))),
        ("cifar100", 200, 0.1, 1e-5, "resnet34", ((10, 0.1), (6, 0.1))),
    )
    for method, (alpha, beta), more in (
        ("active_passive", values[0], {"active": "nce", "passive": "rce"}),
        ("symmetric_ce", values[1], {}),
    )
]  # fmt: skip

# UCSC-REAL/cifar-10-100n, main.py: ResNet-34, the drop at epoch 60 (the paper says 50).
BASELINE_ROWS = [
    Row("UCSC-REAL/cifar-10-100n, main.py", method, "cifar10_n", "worse",
        stepped(100, 0.1, 5e-4, (60,), network="resnet34"), {})
    for method in ("ce", "gce", "forward")
]  # fmt: skip

ROWS = [
    *ELR_ROWS, *ELR_PLUS_ROWS, *SOP_ROWS, *MIX_ROWS, *SMALL_LOSS_ROWS, *GCE_ROWS,
    *APL_ROWS, *BASELINE_ROWS,
]  # fmt: skip


def resolved(row):
    return resolve((row.method,), row.preset, row.given)[row.method]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_preset_is_what_was_published(row):
    found = resolved(row)
    config = dataclasses.asdict(found.config)
    assert {name: config[name] for name in row.training} == row.training, row.source
    values = {**METHODS[row.method].hyperparameters, **found.hyperparameters}
    assert {name: values[name] for name in row.hyper} == row.hyper, row.source
    setup.check(found.config)


def test_every_published_preset_is_in_the_table():
    used = {resolved(row).method_preset for row in ROWS}
    named = {name for name in METHOD_PRESETS if name.split("/")[1] in PUBLISHED}
    assert used == named
    assert set(DIFFERENCES) <= named


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
    assert found["jocor"].hyperparameters["co_lambda"] == 0.65
    assert not found["jocor"].config.noise_include_true


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

    def make_recipe(name, setting, values):
        seen[name] = setting.preprocess(np.full((1, 8, 8, 1), 0.25, np.float32))
        raise StopError

    monkeypatch.setattr(methods, "make_recipe", make_recipe)
    task = setup.prepare(NoisyLabelsConfig(dataset="digits", repeats=1))
    assert task.train.inputs.ndim == 4
    for normalize in (True, False):
        given = {"normalize": normalize, "hidden": (8,), "epochs": 1}
        with pytest.raises(StopError):
            resolve(("ce",), None, given)["ce"].build(task)
        unchanged = np.allclose(seen["ce"], 0.25)
        assert unchanged is not normalize
