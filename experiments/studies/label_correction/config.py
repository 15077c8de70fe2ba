"""Flags of the active label correction launcher.

Values that Kim (ECCV 2022) gives: 80 % of the labels corrupted, batches of 1,000 up
to 15,000 labels, 10 repeats, SGD with learning rate 0.01, momentum 0.9, weight decay
1e-4 and a drop by 10 every 10 epochs, k = 10, 10 diffusion steps of 0.1, weight step
0.1, frozen ResNet-101 features and four fully connected layers. The paper gives no
widths, batch size, number of epochs, candidate-set size or resolution; those are ours.
"""

from __future__ import annotations

import dataclasses

from experiments.study.flag_groups import (
    DataFlags,
    MlpFlags,
    NoiseFlags,
    RunFlags,
    SgdFlags,
    StandardizeFlags,
)
from experiments.study.flags import option


@dataclasses.dataclass(frozen=True)
class CorrectionConfig(
    RunFlags, SgdFlags, MlpFlags, NoiseFlags, StandardizeFlags, DataFlags
):
    """All settings of one study; the flags of the launcher."""

    noise: str = "uniform"
    noise_rate: float = 0.8
    hidden: tuple[int, ...] = (1024, 512, 256)
    learning_rate: float = 0.01
    # Every ten epochs; whatever drops would come later, no step is left by then.
    drop_at: tuple[float, ...] = tuple(range(10, 101, 10))
    weight_decay: float = 1e-4
    repeats: int = 10

    features: str | None = option(
        None, "Extract features by resnet18, resnet50 or resnet101 first."
    )
    weights: str | None = option(
        None, "State dict for --features: .safetensors, .npz or .pth."
    )
    feature_image_size: int = option(
        224, "Images enter it at this size; 0: theirs.", low=0
    )
    feature_batch_size: int = option(64, "Images per call of it.", low=1)
    feature_cache: str = option("runs/features", "Where extracted features are kept.")

    methods: tuple[str, ...] = option(
        ("random", "entropy", "robust", "alc"), "Methods to run, or all."
    )
    budget: int = option(15_000, "G, labels to ask for.")
    batch: int = option(1_000, "Q, labels per round.")
    warm_start: bool = option(False, "ALC: continue from the last round's network.")

    weight_step: float = option(0.1, "delta_alpha.")
    weight_scale: str = option(
        "mean_loss", "sigma_alpha: mean_loss, pairwise, a number."
    )
    freeze_scale: bool = option(False, "Keep the first epoch's sigma_alpha.")
    loss_pass: str = option("evaluation", "Losses for alpha: evaluation or training.")
    weighting: str = option("unit_mean", "Scale of alpha: unit_mean or literal.")
    extra_epochs: int = option(0, "Extra epochs with the final weights held fixed.")
    candidates_per_query: float = option(5.0, "|C| / Q; 0 makes everyone a candidate.")
    diffusion_mode: str = option("literal", "literal or delta.")
    graph_space: str = option("input", "Where the graph lives: input or hidden.")
    neighbors: int = option(10, "k of the graph.")
    diffusion_steps: int = option(10, "Euler steps per pick.")
    diffusion_step_size: float = option(0.1, "delta_L.")

    o2u_epochs: int = option(250, "O2U-Net: epochs of cyclic training.")
    o2u_batch_size: int = option(16, "O2U-Net: examples per step of that stage.")
    simifeat_passes: int = option(21, "SimiFeat: passes that vote.")
