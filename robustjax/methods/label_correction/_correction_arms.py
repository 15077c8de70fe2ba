"""The methods of active label correction by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from robustjax import checks
from robustjax.methods.label_correction import _correction_baselines as baselines
from robustjax.methods.label_correction._active_label_correction import (
    ActiveLabelCorrection,
    Propagation,
)
from robustjax.methods.label_correction._correction_loop import Arm
from robustjax.methods.label_correction._dalc import Dalc
from robustjax.methods.label_correction._hard_detection import HardDetection
from robustjax.methods.label_correction._o2u_net import O2UNet
from robustjax.methods.label_correction._simifeat import SimiFeat


@dataclasses.dataclass(frozen=True)
class ArmOptions:
    """What the arms of one study share.

    Attributes:
      alc: the ALC arm; its ablations are derived from it.
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


def _diffusion_only(options: ArmOptions) -> Arm:
    propagation = options.alc.propagation or Propagation()
    return dataclasses.replace(
        options.alc, name="diffusion", robust=False, propagation=propagation
    )


_ARMS: dict[str, tuple[str, Callable[[ArmOptions], Arm]]] = {
    "random": ("random queries", lambda o: baselines.random_arm()),
    "entropy": ("highest entropy", lambda o: baselines.entropy_arm()),
    "corr_active": ("highest loss", lambda o: baselines.corr_active_arm()),
    "loss_ent": ("loss plus entropy", lambda o: baselines.loss_entropy_arm()),
    "label_cleaning": (
        "loss minus entropy",
        lambda o: baselines.label_cleaning_arm(),
    ),
    "dalc": ("entropy, transition matrix, self-labels", lambda o: Dalc()),
    "dalc_expert": (
        "DALC without self-labels",
        lambda o: Dalc("dalc_expert", self_label=False),
    ),
    "robust": (
        "ALC without diffusion",
        lambda o: dataclasses.replace(o.alc, name="robust", propagation=None),
    ),
    "diffusion": ("ALC without robust updates", _diffusion_only),
    "alc": ("robust updates and diffusion", lambda o: o.alc),
    "o2u_net": (
        "hard detection by O2U-Net, then entropy",
        lambda o: HardDetection("o2u_net", o.o2u_net, o.noise_rate),
    ),
    "simifeat": (
        "hard detection by SimiFeat, then entropy",
        lambda o: HardDetection("simifeat", o.simifeat),
    ),
}

ARM_NAMES = tuple(_ARMS)


def describe_arm(name: str) -> str:
    """A few words on an arm."""
    checks.one_of("methods", name, ARM_NAMES)
    return _ARMS[name][0]


def make_arm(name: str, options: ArmOptions | None = None) -> Arm:
    """Builds an arm by name.

    Raises:
      ValueError: an unknown name, with the list of known ones.
    """
    checks.one_of("methods", name, ARM_NAMES)
    return _ARMS[name][1](options or ArmOptions())
