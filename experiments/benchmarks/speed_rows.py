"""The rows of the table of speeds: what is timed, by which command, in which file."""

# ruff: noqa: RUF001 (the sign of multiplication is meant)

from __future__ import annotations

from typing import NamedTuple


class Speed(NamedTuple):
    """A row: what is timed, (file, case) of every ratio, the words around, the command.

    `format` gets the ratios in order; with `inverse` they say how long against the
    baseline instead of how fast.
    """

    what: str
    cases: tuple[tuple[str, str], ...]
    format: str
    command: str


SPEED = (
    Speed(
        "one label's selection at N = 50,000 (868,094 edges) against a SciPy CSR loop",
        (
            ("entropy_selection", "robustjax, chebyshev"),
            ("entropy_selection", "SciPy CSR, float32"),
            ("entropy_selection", "BCOO @ v"),
        ),
        "{:.1f}× (float32 SciPy {:.1f}×, `BCOO @ v` {:.1f}×)",
        "entropy_selection",
    ),
    Speed(
        "epoch with contribution weights against plain cross-entropy",
        (
            ("weighted_epoch", "weighted, training losses"),
            ("weighted_epoch", "weighted, evaluation pass"),
        ),
        "{:.2f}× ({:.2f}× with a separate evaluation pass)",
        "weighted_epoch",
    ),
    Speed(
        "ten repeats as one program against ten runs, compilation included, small / "
        "medium MLP",
        (
            ("vmapped_repeats_small_job", "10 vmapped"),
            ("vmapped_repeats_medium_job", "10 vmapped"),
        ),
        "{:.1f}× / {:.1f}×",
        "vmapped_repeats",
    ),
    Speed(
        "their epochs alone",
        (
            ("vmapped_repeats_small_epochs", "10 vmapped"),
            ("vmapped_repeats_medium_epochs", "10 vmapped"),
        ),
        "{:.1f}× / {:.1f}×",
        "vmapped_repeats",
    ),
    Speed(
        "exact 10 nearest neighbours at N = 50,000, d = 64 against scikit-learn",
        (("nearest_neighbors", "robustjax"),),
        "{:.1f}×",
        "nearest_neighbors",
    ),
    Speed(
        "training step of the label-correction MLP (2048-512-512-512-10, batch 128) "
        "against PyTorch eager, same CPU",
        (("mlp_step", "robustjax, epoch as a scan"),),
        "{:.2f}×",
        "mlp_step",
    ),
    Speed(
        "epoch with ELR / with SOP against plain cross-entropy (MLP, 10 classes)",
        (("loss_steps", "elr"), ("loss_steps", "sop")),
        "{:.2f}× / {:.2f}×",
        "loss_steps",
    ),
    Speed(
        "the same with 100 classes",
        (("loss_steps_100_classes", "elr"), ("loss_steps_100_classes", "sop")),
        "{:.2f}× / {:.2f}×",
        "loss_steps --classes=100",
    ),
    Speed(
        "DivideMix epoch against two epochs of cross-entropy (small CNN), one view / "
        "two views",
        (
            ("divide_mix_epoch", "DivideMix, one view"),
            ("divide_mix_epoch", "DivideMix, two views"),
        ),
        "{:.2f}× / {:.2f}×",
        "divide_mix_epoch",
    ),
    Speed(
        "step with TAUFE / OAT (32 + 32 images) against a plain step of 64 images "
        "(small CNN)",
        (("taufe_step", "taufe"), ("taufe_step", "oat")),
        "{:.2f}× / {:.2f}×",
        "taufe_step",
    ),
    Speed(
        "step of LfF against one that trains both its networks by cross-entropy alone "
        "(Colored MNIST's MLP, batch 256, N = 60,000)",
        (("bias_steps_lff", "lff"),),
        "{:.2f}×",
        "bias_steps --only=steps --steps=10 --rounds=41",
    ),
    Speed(
        "the same of DFA, in work of threads",
        (("bias_steps_dfa", "dfa"),),
        "{:.2f}×",
        "bias_steps --only=steps --methods=dfa --steps=5 --rounds=15 --clock=cpu",
    ),
    Speed(
        "ten repeats of LfF / of DFA as one program against ten runs of a compiled one "
        "(what compiling once saves is not in it), one core",
        (
            ("bias_steps_lff_repeats", "10 vmapped"),
            ("bias_steps_dfa_repeats", "10 vmapped"),
        ),
        "{:.2f}× / {:.2f}×",
        "bias_steps --only=repeats --steps=10",
    ),
    Speed(
        "Prune4ReL's selection, N = 50,000, d = 512, 10,000 picks, against the "
        "published loop in PyTorch",
        (("prune4rel", "robustjax"),),
        "{:.1f}×",
        "prune4rel --rounds=1",
    ),
    Speed(
        "k-center, the same sizes, against PyTorch with one product per pick",
        (("k_center", "robustjax"),),
        "{:.1f}×",
        "k_center --rounds=2",
    ),
    Speed(
        "facility location, N = 10,000, 500 picks, one core, against apricot (lazy)",
        (("facility_location", "robustjax"),),
        "{:.1f}×",
        "facility_location --rounds=2",
    ),
    Speed(
        "FLCMI there, 500 labelled examples, against submodlib (lazy)",
        (("facility_location_cmi", "robustjax"),),
        "{:.0f}×",
        "facility_location --query=500 --rounds=2",
    ),
    Speed(
        "FLQMI there, likewise",
        (("facility_location_qmi", "robustjax"),),
        "{:.1f}×",
        "facility_location --query=500 --function=qmi --rounds=5",
    ),
    Speed(
        "`find_label_issues` at N = 1,000,000, C = 10 against cleanlab 2.9, same flags",
        (("label_issues/prune_by_noise_rate", "robustjax"),),
        "{:.1f}×",
        "label_issues",
    ),
    Speed(
        "`label_quality_scores` there, self-confidence / margin / weighted entropy",
        (
            ("label_issues/self_confidence", "robustjax"),
            ("label_issues/normalized_margin", "robustjax"),
            ("label_issues/confidence_weighted_entropy", "robustjax"),
        ),
        "{:.1f}× / {:.1f}× / {:.1f}×",
        "label_issues",
    ),
    Speed(
        "training step of ResNet-18 (32×32, batch 64) against PyTorch eager, its "
        "faster layout",
        (("resnet_step", "JAX, patches in a scan"),),
        "{:.2f}×",
        "resnet_step",
    ),
    Speed(
        "training step of a small CNN (28×28, batch 128) against PyTorch eager, its "
        "faster layout, one pool / two pools",
        (
            ("small_cnn_step_one_pool", "JAX, patches in a scan"),
            ("small_cnn_step_two_pools", "JAX, patches in a scan"),
            ("small_cnn_step_one_pool", "JAX, native in steps"),
            ("small_cnn_step_two_pools", "JAX, native in steps"),
        ),
        "{:.2f}× / {:.2f}× (XLA's own convolution {:.2f}× / {:.2f}×)",
        "small_cnn_step",
    ),
)

# The command of a table of its own, a row per corruption.
CORRUPTIONS = "image_corruptions"
