"""Presets of methods for the noisy-label launcher: what each was published with.

Names are "method/scope/noise": the scope is the name of the preset of the data set or,
without one, the data set's; the noise is its model with the rate in percent
("symmetric-20"), its model, or the label set. They are tried from the longest to
"method/scope". `noise_include_true` and `noise_count` say how the authors drew their
symmetric noise, and the latter also how they drew other noise.

Sources: the authors' repositories shengliu66/ELR and shengliu66/SOP,
LiJunnan1992/DivideMix, bhanML/Co-teaching, hongxin001/JoCoR, HanxunH/Active-Passive-
Losses, ErikEnglesson/GJS, and of generalised cross-entropy AlanChou/Truncated-Loss,
which has the paper's numbers. `DIFFERENCES` says where a preset cannot be, or is not,
what was published.
"""

from __future__ import annotations

from typing import Any

from experiments.studies.label_noise.presets import PUBLISHED

NOISE_FIELDS = ("noise_include_true", "noise_count")
"""Of a method preset, but of one value for all methods of a study."""

# Who is redrawn, and whether to any class or to another one.
_EXACT_ANY = {"noise_include_true": True, "noise_count": "exact"}
_DRAWN_OTHER = {"noise_include_true": False, "noise_count": "bernoulli"}
_PER_CLASS_OTHER = {"noise_include_true": False, "noise_count": "exact_per_class"}
_PER_CLASS = {"noise_count": "exact_per_class"}
_DRAWN = {"noise_count": "bernoulli"}

_DIVIDE_MIX = {"schedule": "steps", "drop_at": (150,), **_EXACT_ANY}

# Epochs 1 to 199 of a fall that would reach zero at epoch 200.
_CO_TEACHING = {
    "network": "nine_layer_cnn",
    "augment": "none",
    "normalize": False,
    "optimizer": "co_teaching",
    "learning_rate": 1e-3,
    "schedule": "constant",
    "weight_decay": 0.0,
    "epochs": 199,
    "decay_from_epoch": 80,
    **_DRAWN_OTHER,
}
_CO_TEACHING_100 = {**_CO_TEACHING, "decay_from_epoch": 100}

_CIFAR_CE = {
    "network": "resnet34",
    "epochs": 100,
    "learning_rate": 0.1,
    "schedule": "steps",
    "drop_at": (60,),
}

_GCE = {
    "network": "resnet34",
    "epochs": 120,
    "learning_rate": 0.01,
    "schedule": "steps",
    "drop_at": (40, 80),
    "weight_decay": 1e-4,
    **_DRAWN_OTHER,
}
_GCE_100 = {**_GCE, "epochs": 150, "drop_at": (80, 120)}

_APL = {
    "network": "nine_layer_cnn",
    "epochs": 120,
    "learning_rate": 0.01,
    "weight_decay": 1e-4,
    "clip_norm": 5.0,
    **_PER_CLASS_OTHER,
}
_APL_100 = {
    **_APL,
    "network": "resnet34",
    "epochs": 200,
    "learning_rate": 0.1,
    "weight_decay": 1e-5,
}

_JS = {
    "epochs": 400,
    "learning_rate": 0.01,
    "schedule": "steps",
    "drop_at": (200, 300),
    "nesterov": True,
    **_EXACT_ANY,
}
_JS_ASYMMETRIC = {**_JS, "learning_rate": 0.1, "weight_decay": 1e-3, **_PER_CLASS}
_JS_100 = {**_JS, "learning_rate": 0.2, "weight_decay": 1e-4}
_JS_100_ASYMMETRIC = {**_JS_100, "learning_rate": 0.1}

_ELR = {"network": "resnet34", "weight_decay": 1e-3, **_EXACT_ANY}
# A cosine from 0.02 to 0.001, anew every ten epochs.
_ELR_RESTARTED = {
    **_ELR,
    "epochs": 150,
    "schedule": "warm_restarts",
    "restart_epochs": 10,
    "final_factor": 0.05,
}
_ELR_DROPS = {**_ELR, "schedule": "steps", "drop_factor": 0.01}
_ELR_ASYMMETRIC = {**_ELR_DROPS, "epochs": 120, "drop_at": (40, 80), **_PER_CLASS}
_ELR_100 = {**_ELR_DROPS, "epochs": 150, "drop_at": (80, 120)}
_ELR_PLUS = {
    "epochs": 200,
    "schedule": "steps",
    "drop_at": (150,),
    **_EXACT_ANY,
}
_ELR_PLUS_100 = {**_ELR_PLUS, "epochs": 250, "drop_at": (200,)}

_SOP = {"network": "resnet34", **_EXACT_ANY}
# Down to 2e-4.
_SOP_PLUS_100 = {"weight_decay": 1e-3, "final_factor": 0.01, **_EXACT_ANY}
_SOP_100 = {**_SOP, **_SOP_PLUS_100}


def _with(base: dict[str, Any], *options: str, **fields: Any) -> dict[str, Any]:
    return {**base, **fields, "options": options}


METHOD_PRESETS: dict[str, dict[str, Any]] = {
    # Short trainings of small networks; ours, chosen by accuracy on noisy labels. With
    # few epochs, SOP's variables must grow faster and every phase come earlier; without
    # augmentation two views of an image are the same. Self-learning's cutoff should
    # leave about as many pairs above it as are of one class.
    "sop/mnist": _with({}, "lr_u=1000", "lr_v=10000"),
    "self_learning/mnist": _with({}, "warmup_epochs=3", "percentile=90"),
    "self_learning/mnist/pairflip": _with({}, "warmup_epochs=3", "percentile=60"),
    "co_teaching/mnist": _with({}, "num_gradual=4"),
    # Dropping four examples of five from the fourth epoch on loses whole classes.
    "co_teaching/mnist/symmetric-80": _with({}, "num_gradual=8"),
    "jocor/mnist": _with({}, "num_gradual=4", "co_lambda=0.65"),
    "divide_mix/mnist": _with({}, "warmup_epochs=2", "num_views=1", "lambda_u=0"),
    "divide_mix/mnist/pairflip": _with(
        {}, "warmup_epochs=2", "num_views=1", "lambda_u=0", "confidence_penalty=1"
    ),
    "sop/digits": _with({}, "lr_u=5", "lr_v=50"),
    "sop_plus/digits": _with({}, "lr_u=5", "lr_v=50"),
    "self_learning/digits": _with({}, "sample_size=100"),
    "jocor/digits": _with({}, "co_lambda=0.65"),
    "divide_mix/digits": _with({}, "warmup_epochs=5", "num_views=1", "lambda_u=0"),
    "elr_plus/digits": _with({}, "average_ramp_steps=300"),
    "heteroscedastic/digits": _with({}, "num_samples=200"),
    "elr_plus/cifar10_n_small": _with({}, "average_ramp_steps=500"),
    "sop/cifar10_n_small": _with({}, "lr_u=10", "lr_v=100"),
    "sop_plus/cifar10_n_small": _with({}, "lr_u=10", "lr_v=100"),
    "divide_mix/cifar10_n_small": _with({}, "warmup_epochs=10", "lambda_u=0"),
    # CIFAR-N baseline code: ResNet-34, the drop at epoch 60.
    "ce/cifar10_n": _CIFAR_CE,
    "gce/cifar10_n": _CIFAR_CE,
    "forward/cifar10_n": _CIFAR_CE,
    "gce/cifar10": _with(_GCE, "q=0.7"),
    "gce/cifar100": _with(_GCE_100, "q=0.7"),
    # The public code's start_prune 40 chooses the examples of the 40th epoch: 39 keep
    # all.
    "truncated_gce/cifar10": _with(_GCE, "q=0.7", "k=0.5", "start_epoch=39"),
    "truncated_gce/cifar100": _with(_GCE_100, "q=0.7", "k=0.5", "start_epoch=79"),
    "active_passive/cifar10": _with(_APL, "alpha=1", "beta=1"),
    "active_passive/cifar100": _with(_APL_100, "alpha=10", "beta=0.1"),
    "symmetric_ce/cifar10": _with(_APL, "alpha=0.1", "beta=1"),
    "symmetric_ce/cifar100": _with(_APL_100, "alpha=6", "beta=0.1"),
    "jensen_shannon/cifar10/symmetric": _with(_JS, "label_weight=0.7"),
    "jensen_shannon/cifar10/symmetric-60": _with(_JS, "label_weight=0.9"),
    "jensen_shannon/cifar10/symmetric-80": _with(_JS, "label_weight=0.9"),
    "jensen_shannon/cifar10/asymmetric": _with(_JS_ASYMMETRIC, "label_weight=0.3"),
    "jensen_shannon/cifar100/symmetric": _with(_JS_100, "label_weight=0.3"),
    "jensen_shannon/cifar100/symmetric-20": _with(_JS_100, "label_weight=0.1"),
    "jensen_shannon/cifar100/symmetric-60": _with(_JS_100, "label_weight=0.5"),
    "jensen_shannon/cifar100/asymmetric": _with(_JS_100_ASYMMETRIC, "label_weight=0.5"),
    "elr/cifar10/symmetric": _with(_ELR_RESTARTED, "strength=3", "decay=0.7"),
    "elr/cifar10/asymmetric": _with(_ELR_ASYMMETRIC, "strength=1", "decay=0.9"),
    "elr/cifar10_n": _with(_ELR_RESTARTED, "strength=3", "decay=0.7"),
    "elr/cifar100": _with(_ELR_100, "strength=7", "decay=0.9"),
    "elr/cifar100/asymmetric": _with({**_ELR_100, **_DRAWN}, "strength=7", "decay=0.9"),
    "elr_plus/cifar10": _with(_ELR_PLUS, "strength=3", "decay=0.7"),
    "elr_plus/cifar10_n": _with(_ELR_PLUS, "strength=3", "decay=0.7"),
    "elr_plus/cifar10/asymmetric": _with(
        {**_ELR_PLUS, **_PER_CLASS}, "strength=1", "decay=0.9"
    ),
    **{
        f"elr_plus/cifar100{noise}": _with(
            {**_ELR_PLUS_100, **count},
            "strength=7",
            "decay=0.9",
            "ramp_steps=40000",
            "weight_labels=True",
        )
        for noise, count in (("", {}), ("/asymmetric", _DRAWN))
    },
    # SOP and SOP+: learning rates of u and v.
    "sop/cifar10": _with(_SOP, "lr_u=10", "lr_v=10"),
    "sop/cifar10/asymmetric": _with({**_SOP, **_PER_CLASS}, "lr_u=10", "lr_v=100"),
    "sop/cifar10_n": _with(_SOP, "lr_u=10", "lr_v=100"),
    "sop/cifar100": _with(_SOP_100, "lr_u=1", "lr_v=10"),
    "sop/cifar100/asymmetric": _with({**_SOP_100, **_DRAWN}, "lr_u=1", "lr_v=100"),
    "sop_plus/cifar10": _with(_EXACT_ANY, "lr_u=10", "lr_v=10"),
    "sop_plus/cifar10/asymmetric": _with(
        {**_EXACT_ANY, **_PER_CLASS}, "lr_u=10", "lr_v=100"
    ),
    "sop_plus/cifar10_n": _with({}, "lr_u=10", "lr_v=100"),
    "sop_plus/cifar100": _with(_SOP_PLUS_100, "lr_u=1", "lr_v=10"),
    "sop_plus/cifar100/asymmetric": _with(
        {**_SOP_PLUS_100, **_DRAWN}, "lr_u=1", "lr_v=100"
    ),
    # DivideMix: lambda_u by noise; 0 for low and for asymmetric noise.
    "divide_mix/cifar10/symmetric": _with(_DIVIDE_MIX, "lambda_u=25"),
    "divide_mix/cifar10/symmetric-20": _with(_DIVIDE_MIX, "lambda_u=0"),
    "divide_mix/cifar10/symmetric-50": _with(_DIVIDE_MIX, "lambda_u=25"),
    "divide_mix/cifar10/symmetric-80": _with(_DIVIDE_MIX, "lambda_u=25"),
    "divide_mix/cifar10/symmetric-90": _with(
        _DIVIDE_MIX, "lambda_u=50", "threshold=0.6", "average_epochs=5"
    ),
    "divide_mix/cifar10/asymmetric": _with(
        _DIVIDE_MIX, "lambda_u=0", "confidence_penalty=1"
    ),
    "divide_mix/cifar10_n": _with(_DIVIDE_MIX, "lambda_u=0"),
    "divide_mix/cifar10_n/worse": _with(_DIVIDE_MIX, "lambda_u=25"),
    **{
        f"divide_mix/cifar100{noise}": _with(
            _DIVIDE_MIX, "lambda_u=150", "warmup_epochs=30"
        )
        for noise in ("", "/symmetric-50", "/symmetric-80")
    },
    "divide_mix/cifar100/symmetric-20": _with(
        _DIVIDE_MIX, "lambda_u=25", "warmup_epochs=30"
    ),
    "divide_mix/cifar100/symmetric-90": _with(
        _DIVIDE_MIX,
        "lambda_u=150",
        "warmup_epochs=30",
        "threshold=0.6",
        "average_epochs=5",
    ),
    "co_teaching/cifar10": _CO_TEACHING,
    "co_teaching/cifar10_n": _CO_TEACHING,
    "co_teaching/cifar100": _CO_TEACHING_100,
    "jocor/cifar10": _with(_CO_TEACHING, "co_lambda=0.9"),
    "jocor/cifar10/symmetric-80": _with(_CO_TEACHING, "co_lambda=0.65"),
    "jocor/cifar10_n": _with(_CO_TEACHING, "co_lambda=0.9"),
    "jocor/cifar100": _with(_CO_TEACHING_100, "co_lambda=0.85"),
}

_HELD_OUT = "the authors hold 10 % of the training set out (--validation_fraction=0.1)"
_COMPOUNDED = (
    "the authors' loop redraws some labels twice, which makes 18.4 % of all labels "
    "wrong at 40 %, not 20 %"
)
_PAIRS = (
    "the authors exchange one pair of classes in every block of five, which makes 16 % "
    "of all labels wrong at 40 %; here all move to the next of the block"
)
_SOP_LENGTH = "no length of SOP without the plus is known here: that of SOP+"
_NO_RATE = "no lambda_u is published for this noise"
_APL_CNN = "published with a CNN of eight layers"
_APL_RESNET = "the authors' code has a ResNet-50, the paper a ResNet-34"
_JS_IMAGES = (
    "the authors' images pass RandAugment and Cutout, and their PreActResNet has three "
    "stages of five blocks, from 32 channels on"
)
_SCE = "trained as in the comparison of Ma et al. (2020), not as in Wang et al. (2019)"
_HUMAN = "nothing is published for human labels: that of CIFAR-10"

DIFFERENCES: dict[str, str] = {
    **{
        name: _HELD_OUT
        for name in METHOD_PRESETS
        if name.startswith("elr") and name.split("/")[1] in PUBLISHED
    },
    "elr/cifar10/asymmetric": f"{_HELD_OUT}; {_COMPOUNDED}",
    "elr_plus/cifar10/asymmetric": f"{_HELD_OUT}; {_COMPOUNDED}",
    "elr/cifar10_n": f"{_HUMAN}; {_HELD_OUT}",
    "elr_plus/cifar10_n": f"{_HUMAN}; {_HELD_OUT}",
    "sop/cifar10": _SOP_LENGTH,
    "sop/cifar10/asymmetric": f"{_SOP_LENGTH}; {_COMPOUNDED}",
    "sop/cifar10_n": _SOP_LENGTH,
    "sop/cifar100": _SOP_LENGTH,
    "sop/cifar100/asymmetric": f"{_SOP_LENGTH}; {_PAIRS}",
    "sop_plus/cifar10/asymmetric": _COMPOUNDED,
    "sop_plus/cifar100/asymmetric": _PAIRS,
    "divide_mix/cifar10/symmetric": f"{_NO_RATE}: that of 50 %",
    "divide_mix/cifar100": f"{_NO_RATE}: that of symmetric 50 %",
    "divide_mix/cifar10_n": "lambda_u is that of the least human noise",
    "divide_mix/cifar10_n/worse": f"{_NO_RATE}: that of symmetric 50 %",
    "truncated_gce/cifar10": "examples are chosen anew every epoch, not every tenth",
    "truncated_gce/cifar100": "examples are chosen anew every epoch, not every tenth",
    "active_passive/cifar10": _APL_CNN,
    "active_passive/cifar100": _APL_RESNET,
    **{
        name: _JS_IMAGES
        for name in METHOD_PRESETS
        if name.startswith("jensen_shannon") and name.split("/")[1] in PUBLISHED
    },
    "symmetric_ce/cifar10": f"{_SCE}; {_APL_CNN}",
    "symmetric_ce/cifar100": f"{_SCE}; {_APL_RESNET}",
    "co_teaching/cifar10_n": _HUMAN,
    "jocor/cifar10_n": _HUMAN,
}
"""By method preset: where it is not what was published. Printed by the launcher."""
