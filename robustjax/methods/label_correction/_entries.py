"""The entries of this family in the registry."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from robustjax.methods._entry import Entry, made_by_name
from robustjax.methods.label_correction import _correction_baselines as baselines
from robustjax.methods.label_correction._alc import alc
from robustjax.methods.label_correction._correction_loop import CorrectionMethod
from robustjax.methods.label_correction._dalc import Dalc
from robustjax.methods.label_correction._hard_detection import HardDetection
from robustjax.methods.label_correction._held_out import LabelIssues
from robustjax.methods.label_correction._o2u_net import O2UNet
from robustjax.methods.label_correction._simifeat import SimiFeat


def _o2u_net(
    name: str,
    *,
    noise_rate: float,
    epochs: int = O2UNet.epochs,
    batch_size: int = O2UNet.batch_size,
    cycle_epochs: int = O2UNet.cycle_epochs,
    high: float = O2UNet.high,
    low: float = O2UNet.low,
) -> HardDetection:
    detector = O2UNet(epochs, batch_size, cycle_epochs, high, low)
    return HardDetection(name, detector, noise_rate)


def _simifeat(
    name: str,
    *,
    neighbors: int = SimiFeat.neighbors,
    rule: str = SimiFeat.rule,
    passes: int = SimiFeat.passes,
    triplets: int = SimiFeat.triplets,
    jitter: float = SimiFeat.jitter,
    first_steps: int = SimiFeat.first_steps,
    later_steps: int = SimiFeat.later_steps,
) -> HardDetection:
    detector = SimiFeat(
        neighbors, rule, passes, triplets, jitter, first_steps, later_steps
    )
    return HardDetection(name, detector)


def _entry(
    name: str,
    make: Callable[..., CorrectionMethod],
    description: str,
    source: str,
    *needs: str,
    published: Mapping[str, Any] | None = None,
    unused: tuple[str, ...] = (),
    **settled: Any,
) -> Entry:
    """An entry whose method is called by its name, unless told otherwise."""
    return Entry(
        name,
        "label_correction",
        "correction",
        functools.partial(make, name=name, **settled),
        description,
        source,
        # The same on all data sets.
        published={"all": published} if published else {},
        setting_arguments=frozenset({"name"}),
        needs=frozenset(needs),
        unused=frozenset(unused),
    )


_OF_THE_GRAPH = ("graph_space", "neighbors", "diffusion_steps", "diffusion_step_size")
_OF_THE_WEIGHTS = (
    "candidates_per_query",
    "weight_step",
    "weight_scale",
    "freeze_scale",
    "loss_pass",
    "weighting",
    "extra_epochs",
)
_KIM = "Kim, ECCV 2022"
_LI = "Li et al., Machine Learning 2022"

ENTRIES = (
    _entry(
        "random",
        baselines.ScoreMethod,
        "random queries",
        "the standard baseline",
        score=baselines.random_score,
    ),
    _entry(
        "entropy",
        baselines.ScoreMethod,
        "highest entropy",
        "Rebbapragada et al., 2012",
        score=baselines.entropy_score,
    ),
    _entry(
        "corr_active",
        baselines.ScoreMethod,
        "highest loss",
        "Nallapati et al., 2009",
        score=baselines.label_loss,
    ),
    _entry(
        "loss_ent",
        baselines.ScoreMethod,
        "loss plus entropy",
        f"{_KIM}, as a baseline",
        score=baselines.loss_plus_entropy,
    ),
    _entry(
        "label_cleaning",
        baselines.ScoreMethod,
        "loss minus entropy",
        "Bernhardt et al., 2022",
        score=baselines.loss_minus_entropy,
    ),
    _entry(
        "dalc", Dalc, "entropy, transition matrix, self-labels", _LI, self_label=True
    ),
    _entry(
        "dalc_expert",
        Dalc,
        "DALC without self-labels",
        f"{_LI}, ablation",
        self_label=False,
    ),
    _entry(
        "robust",
        alc,
        "ALC without diffusion",
        f"{_KIM}, ablation",
        unused=_OF_THE_GRAPH,
        robust=True,
        diffusion_mode=None,
    ),
    _entry(
        "diffusion",
        alc,
        "ALC without robust updates",
        f"{_KIM}, ablation",
        unused=_OF_THE_WEIGHTS,
        robust=False,
    ),
    _entry(
        "alc",
        alc,
        "robust updates and diffusion",
        _KIM,
        published={
            "weight_step": 0.1,
            "diffusion_mode": "literal",
            "neighbors": 10,
            "diffusion_steps": 10,
            "diffusion_step_size": 0.1,
        },
        robust=True,
    ),
    _entry(
        "label_issues",
        LabelIssues,
        "lowest self-confidence under cross-validation",
        "Northcutt, Jiang, Chuang, JAIR 2021",
    ),
    _entry(
        "o2u_net",
        _o2u_net,
        "hard detection by O2U-Net, then entropy",
        "Huang, Qu, Jia, Zhao, ICCV 2019",
        "noise_rate",
        published={"epochs": 250, "batch_size": 16},
    ),
    _entry(
        "simifeat",
        _simifeat,
        "hard detection by SimiFeat, then entropy",
        "Zhu, Dong, Liu, ICML 2022",
        published={"passes": 21},
    ),
)
"""In the order in which a launcher runs them."""


def make_correction_method(method: str, /, **options: Any) -> CorrectionMethod:
    """Builds a method of label correction by name.

    Args:
      method: the name of an entry of this family.
      **options: of that entry, instead of their defaults; and `name`, what reports
        call it.

    Raises:
      ValueError: an unknown name or option, with the list of known ones, one that is
        missing, or one outside its range.
    """
    made: CorrectionMethod = made_by_name(ENTRIES, method, options)
    return made
