"""Presets of the other launchers, held to what was published, with the sources."""

from __future__ import annotations

import dataclasses

import pytest

from experiments.studies.active_learning import config as active_learning
from experiments.studies.active_learning import presets as active_learning_presets
from experiments.studies.features import presets as features
from experiments.studies.features.options import options_of
from experiments.studies.features.setup import optimizer_options as feature_options
from experiments.studies.label_correction import presets as label_correction
from experiments.studies.label_correction.config import CorrectionConfig
from experiments.studies.pruning import presets as pruning
from experiments.studies.pruning import setup as pruning_setup
from experiments.studies.pruning.programs import _ON_SUBSETS
from robustjax.methods import entries, entry
from robustjax.tools.method_choice import choose
from robustjax.tools.open_set_networks import optimizer_options as open_set_options
from robustjax.transforms import TAUFE_SETTINGS


def assert_holds(config, published, source):
    found = dataclasses.asdict(config)
    assert {name: found[name] for name in published} == published, source


# Kim (ECCV 2022): section 4, Algorithm 1. Widths, batch size, epochs and the number of
# candidates are in no source.
KIM = {
    "noise": "uniform",
    "noise_rate": 0.8,
    "noise_include_true": False,
    "noise_scope": "chosen",
    "budget": 15_000,
    "batch": 1_000,
    "repeats": 10,
    "features": "resnet101",
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "drop_at": tuple(range(10, 101, 10)),
    "drop_factor": 0.1,
}
KIM_OPTIONS = {
    "alc": {
        "weight_step": 0.1,
        "neighbors": 10,
        "diffusion_steps": 10,
        "diffusion_step_size": 0.1,
        "diffusion_mode": "literal",
    },
    # hjimce/O2U-Net and UCSC-REAL/SimiFeat: cyclic epochs and batch, passes that vote.
    "o2u_net": {"epochs": 250, "batch_size": 16},
    "simifeat": {"passes": 21},
}


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion_mnist", "caltech256"])
def test_active_label_correction(name):
    fields = label_correction.PRESETS[name].fields
    config = CorrectionConfig(**fields)
    assert_holds(config, {**KIM, "dataset": name}, "Kim (2022)")
    assert len(config.hidden) == 3, "four fully connected layers"
    chosen = {"random", "entropy", "loss_ent", "corr_active", "dalc", "alc"}
    assert chosen <= set(config.methods), "Table 1"
    assert config.options == (), "all of them are the methods' own defaults"


@pytest.mark.parametrize("name", KIM_OPTIONS)
def test_defaults_of_label_correction(name):
    options = entry(name, "label_correction").options
    found = {option: options[option].default for option in KIM_OPTIONS[name]}
    assert found == KIM_OPTIONS[name], "Kim (2022)"


# Park et al. (NeurIPS 2023), Table 5.1 of the thesis; kaist-dmlab/Prune4Rel: Nesterov,
# cosine to 1e-4, and of ImageNet-N the script (plain SOP).
PARK = "Park et al. (2023), thesis Table 5.1; kaist-dmlab/Prune4Rel"
PARK_CIFAR = {
    "network": "preact_resnet18",
    "epochs": 300,
    "batch_size": 128,
    "learning_rate": 0.02,
    "momentum": 0.9,
    "nesterov": True,
    "schedule": "cosine",
    "final_factor": pytest.approx(1e-4 / 0.02),
    "weight_decay": 5e-4,
    "fractions": (0.2, 0.4, 0.6, 0.8),
    "repeats": 3,
    "confidence": "max_prob",
    "temperature": 1.0,
}
PARK_ROWS = {
    **{
        name: (
            {**PARK_CIFAR, "label_set": labels, "warmup_epochs": 10,
             "threshold": 0.975},
            {"consistency": 0.9, "balance": 0.1, "lr_u": 10, "lr_v": 100},
        )
        for name, labels in (
            ("cifar10_n", "worse"),
            ("cifar10_n_random1", "random1"),
            ("cifar10_n_random2", "random2"),
            ("cifar10_n_random3", "random3"),
        )
    },
    "cifar100_n": (
        {**PARK_CIFAR, "warmup_epochs": 30, "threshold": 0.95},
        {"consistency": 0.9, "balance": 0.1, "lr_u": 1, "lr_v": 100},
    ),
    "mini_webvision": (
        {"epochs": 100, "batch_size": 32, "learning_rate": 0.02, "schedule": "steps",
         "drop_at": (50,), "drop_factor": 0.1, "weight_decay": 5e-4,
         "warmup_epochs": 10, "threshold": 0.95, "fractions": (0.2, 0.4, 0.6, 0.8)},
        {"consistency": 0.1, "balance": 0, "lr_u": 0.1, "lr_v": 1},
    ),
    "clothing1m": (
        {"network": "resnet50", "epochs": 10, "batch_size": 32, "learning_rate": 0.002,
         "schedule": "steps", "drop_at": (5,), "drop_factor": 0.1,
         "weight_decay": 1e-3, "warmup_epochs": 1, "threshold": 0.8,
         "fractions": (0.01, 0.05, 0.1, 0.2), "relabeler": "divide_mix"},
        {"lambda_u": 0.1, "threshold": 0.5, "temperature": 0.5, "alpha": 0.5,
         "num_views": 2},
    ),
    "imagenet_n": (
        {"network": "resnet50", "epochs": 50, "batch_size": 64, "learning_rate": 0.02,
         "schedule": "cosine", "final_factor": pytest.approx(1e-4 / 0.02),
         "weight_decay": 1e-3, "warmup_epochs": 10, "threshold": 0.95,
         "fractions": (0.05, 0.1, 0.2, 0.4), "noise": "pairflip", "noise_rate": 0.2,
         "noise_count": "exact_per_class"},
        {"consistency": 0, "balance": 0, "lr_u": 0.1, "lr_v": 1},
    ),
}  # fmt: skip


def defaults(method):
    options = entry(method, "label_noise").options
    return {name: option.default for name, option in options.items()}


@pytest.mark.parametrize("name", PARK_ROWS)
def test_data_pruning(name):
    training, hyper = PARK_ROWS[name]
    _, config = pruning_setup.resolve(name, {})
    assert_holds(config, training, PARK)
    values = {
        **defaults(config.relabeler),
        **_ON_SUBSETS.get(config.relabeler, {}),
        **pruning_setup.relabeler_options(config),
    }
    assert {key: values[key] for key in hyper} == hyper, PARK


def test_divide_mix_on_subsets():
    """Of CIFAR-N, Table 5.1; no warm-up and no rise in the code."""
    values = {**defaults("divide_mix"), **_ON_SUBSETS["divide_mix"]}
    want = {
        "lambda_u": 1,
        "threshold": 0.5,
        "temperature": 0.5,
        "alpha": 4,
        "num_views": 2,
        "warmup_epochs": 0,
        "ramp_up_epochs": 0,
    }
    assert {key: values[key] for key in want} == want


def test_every_preset_of_data_pruning_is_ours_or_in_the_table():
    ours = {"digits", "mnist_small", "mnist_balance"}
    ours |= {"cifar10_n_small", "cifar10_n_balance"}
    assert set(pruning.PRESETS) - ours == set(PARK_ROWS)


# Park et al. (NeurIPS 2022), thesis sections 4.3 and 4.4; kaist-dmlab/MQNet: steps,
# class splits, the meta-learning, and batches of 32 for CSI.
MQNET = "Park et al. (2022), thesis 4.3-4.4; kaist-dmlab/MQNet"
MQNET_ALL = {
    "noise_ratio": (0.1, 0.2, 0.4, 0.6),
    "rounds": 10,
    "cost_in": 1.0,
    "cost_ood": 1.0,
    "optimizer": "sgd",
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 5e-4,
    "batch_size": 64,
    "learning_rate": 0.1,
    "schedule": "steps",
    "drop_factor": 0.1,
    "epochs": 200,
    "classifier_variant": "in_only",
    "embedding_epochs": 1000,
    "embedding_batch_size": 32,
    "embedding_optimizer": "lars",
    "embedding_learning_rate": 1.0,
    "embedding_projection": (512, 128),
    "embedding_crop": 0.08,
}
MQNET_ROWS = {
    # (b, steps per training, repeats, network, updates of the meta-model)
    "cifar10": (500, 20_000, 5, "resnet18", 11_200),
    "cifar100": (500, 20_000, 5, "resnet18", 11_200),
    "imagenet50": (1000, 30_000, 1, "resnet18_imagenet", 12_800),
    "cross_cifar10": (1000, 20_000, 5, "resnet18", 12_800),
    "cross_cifar100": (2000, 20_000, 5, "resnet18", 12_600),
    "cross_imagenet50": (1000, 30_000, 5, "resnet18_imagenet", 12_800),
}


@pytest.mark.parametrize("name", MQNET_ROWS)
def test_open_set_active_learning(name):
    budget, steps, repeats, network, updates = MQNET_ROWS[name]
    fields = active_learning_presets.PRESETS[name].fields
    config = active_learning.OpenSetConfig(**fields)
    published = {"per_round": budget, "repeats": repeats, "network": network}
    assert_holds(config, {**MQNET_ALL, **published}, MQNET)
    assert config.epochs * config.steps_per_epoch == steps
    assert open_set_options(config).drop_epochs == (100, 150)
    # A hundred epochs of whole passes over the answers, at least 100 steps of 32.
    passes = -(-100 // -(-budget // 32))
    assert updates == 100 * passes * -(-budget // 32)
    known = entries("active_learning", "strategy")
    made = choose(["mqnet"], known, config.options, ()).make()["mqnet"]
    assert_holds(
        made,
        {
            "purity": "csi",
            "informativeness": "ll",
            "rule": "mqnet",
            "reinitialize": True,
            "monotone": True,
            "margin": 1.0,
            "learning_rate": 0.001,
            "weight_decay": 0.0,
            "batch_size": 32,
            "steps": updates,
            "ties": "as_lower",
            "clip": None,
        },
        MQNET,
    )


def test_every_preset_of_open_set_learning_is_ours_or_in_the_table():
    ours = {"mnist_small", "digits_energy", "digits_validation", "cifar10_small"}
    assert set(active_learning_presets.PRESETS) - ours == set(MQNET_ROWS)


# Park et al. (NeurIPS 2021), thesis chapter 3; kaist-dmlab/TAUFE. MixMatch: Berthelot
# et al. (2019); adversarial: Madry et al. (2018) with the thesis' step; SimCLR: Chen et
# al. (2020), google-research/simclr for CIFAR-10.
TAUFE = "Park et al. (2021), thesis chapter 3; kaist-dmlab/TAUFE"
TAUFE_SGD = {
    "optimizer": "sgd",
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 5e-4,
    "learning_rate": 0.1,
    "schedule": "steps",
    "drop_at": (0.5, 0.75),
    "drop_factor": 0.1,
    "batch_size": 64,
    "repeats": 5,
}
TAUFE_OPTIONS = {
    "oat": {"weight": 1.0},
    "taufe": {"weight": 0.1, "tensor": "features", "reduction": "mean"},
}
TAUFE_CIFAR = {**TAUFE_SGD, "network": "resnet18", "epochs": 200,
               "augment": "crop_flip", "num_examples": (500, 1000, 2500, 5000, 0),
               "options": TAUFE_OPTIONS}  # fmt: skip
TAUFE_BOXES = {**TAUFE_SGD, "network": "resnet50", "epochs": 100, "image_size": 224,
               "train_image_size": 256, "num_examples": (2000, 4000, 0),
               "options": {"taufe": {"weight": 0.1, "tensor": "feature_map"}},
               "box_flatten": True}  # fmt: skip
TAUFE_ROWS = {
    "cifar10": TAUFE_CIFAR,
    "cifar100": TAUFE_CIFAR,
    "imagenet10": {**TAUFE_CIFAR, "network": "resnet50", "image_size": 224,
                   "augment": "resized_crop",
                   "options": {"taufe": {"weight": 0.01, "tensor": "features"}}},
    "cub200": TAUFE_BOXES,
    "cars": TAUFE_BOXES,
    "cifar10_adversarial": {
        **TAUFE_CIFAR, "num_examples": (0,), "test_attack_steps": 100,
        "options": {**TAUFE_OPTIONS, "adversarial": {
            "radius": 8 / 255, "step_size": 2 / 255, "steps": 7}},
    },
    "cifar10_mix_match": {
        "network": "wrn28_2", "num_examples": (250,), "stratified": True,
        "options": {**TAUFE_OPTIONS, "mix_match": {
            "lambda_u": 100.0, "ramp_up_steps": 16_000, "num_views": 2,
            "temperature": 0.5, "alpha": 0.75, "average_decay": 0.999}},
        "optimizer": "adam", "learning_rate": 0.002, "schedule": "constant",
        "kernel_decay": 0.02, "weight_decay": 0.0, "batch_size": 2 * 64,
    },
    "cifar10_pretrained": {
        "network": "resnet18", "pretraining_epochs": 1000,
        "pretraining_batch_size": 512, "pretraining_optimizer": "lars",
        "pretraining_learning_rate": 1.0 * 512 / 256, "pretraining_warmup_epochs": 10,
        "pretraining_weight_decay": 1e-6,
        "options": {"oat": {"weight": 1.0}, "simclr": {"temperature": 0.5}},
        "color_strength": 0.5, "fine_tune": "head", "epochs": 100,
        "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0,
        "batch_size": 2 * 512,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", TAUFE_ROWS)
def test_feature_debiasing(name):
    _, config, _ = features.resolve(name, {})
    fields = dict(TAUFE_ROWS[name])
    for part, wanted in fields.pop("options").items():
        options = entry(part, "features").options
        found = {option: options[option].default for option in wanted}
        found |= {k: v for k, v in options_of(config, part).items() if k in wanted}
        assert found == wanted, TAUFE
    assert_holds(config, fields, TAUFE)
    if config.schedule == "steps":
        half, late = config.epochs // 2, 3 * config.epochs // 4
        assert feature_options(config).drop_epochs == (half, late)


def test_weights_of_taufe():
    """The thesis' 0.1 and 0.01, which belong to means over the entries (its code)."""
    want = {
        "cifar": (0.1, "features", "mean"),
        "imagenet10": (0.01, "features", "mean"),
        "boxes": (0.1, "feature_map", "mean"),
        "mix_match": (0.1, "features", "mean"),
    }
    assert {name: tuple(TAUFE_SETTINGS[name]) for name in want} == want


def test_mix_match_takes_a_million_steps():
    """1024 epochs of 1024 steps, in passes over 50,000 images by 128."""
    _, config, _ = features.resolve("cifar10_mix_match", {})
    steps = config.epochs * -(-50_000 // config.batch_size)
    assert steps == pytest.approx(1024 * 1024, rel=1e-3)


def test_every_preset_of_feature_debiasing_is_ours_or_in_the_table():
    ours = {name for name in features.PRESETS if name.endswith("_small")}
    ours |= {"cifar10_few_shot", "cifar10_held_out", "cifar10_photographs"}
    ours |= {"composed_boxes", "composed_localization"}
    assert set(features.PRESETS) - ours == set(TAUFE_ROWS)
