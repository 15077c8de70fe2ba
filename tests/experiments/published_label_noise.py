"""What methods for noisy labels were published with, and where that is written.

From papers and public code, not from the launcher's presets, which are held to it.
"""

from __future__ import annotations

import dataclasses

import pytest


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
        "drop_at": drops,
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

# ErikEnglesson/GJS, scripts/C*/*sym/js-*.yaml (js_weights: the label's first) and
# datasets/cifar.py; of network and augmentation see DIFFERENCES.
JS_SOURCE = "ErikEnglesson/GJS, scripts/C*/*sym/js-*.yaml"
JS_ROWS = [
    Row(JS_SOURCE, "jensen_shannon", preset, (model, rate),
        stepped(400, step, decay, (200, 300), nesterov=True, **how),
        {"label_weight": weight})
    for preset, model, step, decay, how, weights in (
        ("cifar10", "symmetric", 0.01, 5e-4, ANY, (0.7, 0.7, 0.9, 0.9)),
        ("cifar10", "asymmetric", 0.1, 1e-3, {"noise_count": "exact_per_class"},
         (0.3, 0.3)),
        ("cifar100", "symmetric", 0.2, 1e-4, ANY, (0.1, 0.3, 0.5, 0.3)),
        ("cifar100", "asymmetric", 0.1, 1e-4, {"noise_count": "exact"}, (0.5, 0.5)),
    )
    for rate, weight in zip((0.2, 0.4, 0.6, 0.8), weights)
]  # fmt: skip

# UCSC-REAL/cifar-10-100n, main.py: ResNet-34, the drop at epoch 60 (the paper says 50).
BASELINE_ROWS = [
    Row("UCSC-REAL/cifar-10-100n, main.py", method, "cifar10_n", "worse",
        stepped(100, 0.1, 5e-4, (60,), network="resnet34"), {})
    for method in ("ce", "gce", "forward")
]  # fmt: skip

ROWS = [
    *ELR_ROWS, *ELR_PLUS_ROWS, *SOP_ROWS, *MIX_ROWS, *SMALL_LOSS_ROWS, *GCE_ROWS,
    *APL_ROWS, *JS_ROWS, *BASELINE_ROWS,
]  # fmt: skip
