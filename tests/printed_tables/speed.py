"""Ratios of timed rounds."""

# ruff: noqa: RUF001 (the sign of multiplication is meant)

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tests.printed_tables.cells import RESULTS, Files, Table, builder


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
        "facility location, N = 10,000, 500 picks, against apricot (lazy both)",
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


@builder
def speed(files: Files) -> Table:
    table = [["what", "ratio", "command (`python -m experiments.benchmarks.…`)"]]
    for row in SPEED:
        ratios = [files.ratio(name, case) for name, case in row.cases]
        table.append([row.what, row.format.format(*ratios), f"`{row.command}`"])
    return [*table, corruptions_row(files)]


def corruption_ratios(files: Files) -> dict[str, float]:
    """How many times as fast on one core, by corruption, the fastest first."""
    names = [path.stem for path in (RESULTS / CORRUPTIONS).glob("*.json")]
    found = {
        name: files.ratio(f"image_corruptions/{name}", "robustjax, one core")
        for name in sorted(names)
    }
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def corruptions_row(files: Files) -> list[str]:
    """All of them in one."""
    ratios = corruption_ratios(files)
    many = [name for name, ratio in ratios.items() if ratio >= 5]
    few = ", ".join(
        f"{name.split('_')[0]} {ratio:.1f}×"
        for name, ratio in ratios.items()
        if name not in many
    )
    middle = np.median(list(ratios.values()))
    return [
        "corruption of an image (32×32, severity 5, one core) against imagecorruptions",
        f"{middle:.0f}× (median; at least 5× for {len(many)} of {len(ratios)}; {few})",
        "`image_corruptions`",
    ]


CORRUPTIONS = "benchmarks/image_corruptions"


@builder
def image_corruptions(files: Files) -> Table:
    table = [["corruption", "imagecorruptions", "robustjax, one core", "ratio"]]
    for name, ratio in corruption_ratios(files).items():
        path = f"image_corruptions/{name}"
        ours = files.milliseconds(path, "robustjax, one core")
        theirs = files.baseline_milliseconds(path)
        times = [f"{1e3 * each:,.0f}" for each in (theirs, ours)]
        table.append([name.replace("_", " "), *times, f"{ratio:.1f}×"])
    return table
