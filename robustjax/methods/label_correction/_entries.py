"""The entries of this family in the registry."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from robustjax import checks
from robustjax.methods._entry import Entry
from robustjax.methods.label_correction import _correction_baselines as baselines
from robustjax.methods.label_correction._active_label_correction import (
    ActiveLabelCorrection,
    Propagation,
)
from robustjax.methods.label_correction._correction_loop import CorrectionMethod
from robustjax.methods.label_correction._dalc import Dalc
from robustjax.methods.label_correction._hard_detection import HardDetection
from robustjax.methods.label_correction._o2u_net import O2UNet
from robustjax.methods.label_correction._simifeat import SimiFeat


@dataclasses.dataclass(frozen=True)
class CorrectionOptions:
    """What the methods of one study share.

    Attributes:
      alc: ALC; its ablations are derived from it.
      noise_rate: the known share of wrong labels, for O2U-Net.
      o2u_net: of the detector.
      simifeat: of the detector.
    """

    alc: ActiveLabelCorrection = dataclasses.field(
        default_factory=ActiveLabelCorrection
    )
    noise_rate: float | None = None
    o2u_net: O2UNet = dataclasses.field(default_factory=O2UNet)
    simifeat: SimiFeat = dataclasses.field(default_factory=SimiFeat)


def _robust(shared: CorrectionOptions) -> CorrectionMethod:
    return dataclasses.replace(shared.alc, name="robust", propagation=None)


def _diffusion(shared: CorrectionOptions) -> CorrectionMethod:
    propagation = shared.alc.propagation or Propagation()
    return dataclasses.replace(
        shared.alc, name="diffusion", robust=False, propagation=propagation
    )


def _alc(shared: CorrectionOptions) -> CorrectionMethod:
    return shared.alc


def _o2u_net(shared: CorrectionOptions) -> CorrectionMethod:
    return HardDetection("o2u_net", shared.o2u_net, shared.noise_rate)


def _simifeat(shared: CorrectionOptions) -> CorrectionMethod:
    return HardDetection("simifeat", shared.simifeat)


def _entry(
    name: str,
    make: Callable[[CorrectionOptions], CorrectionMethod],
    description: str,
    source: str,
    *needs: str,
) -> Entry:
    """An entry whose settings are all in the `CorrectionOptions` of a study."""

    def with_defaults(shared: CorrectionOptions | None = None) -> CorrectionMethod:
        return make(shared or CorrectionOptions())

    return Entry(
        name,
        "label_correction",
        with_defaults,
        description,
        source,
        setting_arguments=frozenset({"shared"}),
        needs=frozenset(needs),
    )


def _alone(make: Callable[..., CorrectionMethod], *settled: Any, **named: Any) -> Any:
    """The factory of a method that shares nothing."""

    def from_shared(shared: CorrectionOptions) -> CorrectionMethod:
        del shared
        return make(*settled, **named)

    return from_shared


_KIM = "Kim, ECCV 2022"
_LI = "Li et al., Machine Learning 2022"

ENTRIES = (
    _entry(
        "random",
        _alone(baselines.random_method),
        "random queries",
        "the standard baseline",
    ),
    _entry(
        "entropy",
        _alone(baselines.entropy_method),
        "highest entropy",
        "Rebbapragada et al., 2012",
    ),
    _entry(
        "corr_active",
        _alone(baselines.corr_active_method),
        "highest loss",
        "Nallapati et al., 2009",
    ),
    _entry(
        "loss_ent",
        _alone(baselines.loss_entropy_method),
        "loss plus entropy",
        f"{_KIM}, as a baseline",
    ),
    _entry(
        "label_cleaning",
        _alone(baselines.label_cleaning_method),
        "loss minus entropy",
        "Bernhardt et al., 2022",
    ),
    _entry("dalc", _alone(Dalc), "entropy, transition matrix, self-labels", _LI),
    _entry(
        "dalc_expert",
        _alone(Dalc, "dalc_expert", self_label=False),
        "DALC without self-labels",
        f"{_LI}, ablation",
    ),
    _entry("robust", _robust, "ALC without diffusion", f"{_KIM}, ablation"),
    _entry("diffusion", _diffusion, "ALC without robust updates", f"{_KIM}, ablation"),
    _entry("alc", _alc, "robust updates and diffusion", _KIM),
    _entry(
        "o2u_net",
        _o2u_net,
        "hard detection by O2U-Net, then entropy",
        "Huang, Qu, Jia, Zhao, ICCV 2019",
        "noise_rate",
    ),
    _entry(
        "simifeat",
        _simifeat,
        "hard detection by SimiFeat, then entropy",
        "Zhu, Dong, Liu, ICML 2022",
    ),
)
"""In the order in which a launcher runs them."""


def make_correction_method(
    name: str, options: CorrectionOptions | None = None
) -> CorrectionMethod:
    """Builds a method of label correction by name.

    Args:
      name: of an entry of this family.
      options: what the methods of a study share; by default the defaults.

    Raises:
      ValueError: an unknown name, with the list of known ones, or settings that the
        method does not take.
    """
    known = {each.name: each for each in ENTRIES}
    checks.one_of("methods", name, known)
    made: CorrectionMethod = known[name].make(options)
    return made
