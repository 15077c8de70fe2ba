"""Label correction after a hard decision on which labels are wrong.

The comparison of Kim (ECCV 2022), Fig. 4: a detector flags labels once, at the start;
every round trains on the presumed clean examples and those the oracle has answered,
and asks by entropy among all that are left. (The paper does not say what is asked
after detection.)
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from robustjax import checks, transforms
from robustjax.methods.label_correction import _o2u_net as o2u_net
from robustjax.methods.label_correction import _simifeat as simifeat
from robustjax.methods.label_correction._correction_baselines import (
    ScoreMethod,
    entropy_score,
)
from robustjax.methods.label_correction._correction_loop import (
    CorrectionState,
    RoundModel,
)
from robustjax.methods.label_correction._round_training import (
    RoundTrainer,
    phase_keys,
    with_given_weights,
)
from robustjax.selection import Spending


@dataclasses.dataclass(frozen=True)
class HardDetection:
    """Correction after a detector.

    Attributes:
      name: for reports.
      detector: settings of O2U-Net or SimiFeat.
      noise_rate: the known share of wrong labels; O2U-Net needs it.
    """

    name: str
    detector: o2u_net.O2UNet | simifeat.SimiFeat
    noise_rate: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.detector, o2u_net.O2UNet):
            if self.noise_rate is None:
                raise ValueError(
                    "noise_rate: got None, but O2U-Net must be told the rate"
                )
            checks.in_range(
                "noise_rate", self.noise_rate, 0, 1, low_open=True, high_open=True
            )

    def init_memory(
        self, trainer: RoundTrainer, labels: jax.Array, keys: jax.Array
    ) -> Any:
        """The verdict, which the first round's training makes.

        Raises:
          ValueError: settings that do not fit the data.
        """
        del keys
        if isinstance(self.detector, o2u_net.O2UNet):
            self.detector.check(trainer.spec.num_examples)
        else:
            simifeat.check(trainer.points(), self.detector)
        return {
            "flagged": jax.device_put(np.zeros(labels.shape, bool)),
            "started": jax.device_put(np.False_),
        }

    def train(
        self, trainer: RoundTrainer, state: CorrectionState, keys: jax.Array
    ) -> tuple[RoundModel, Any]:
        """Detects once; trains on what is presumed clean or was corrected."""
        memory = state.memory
        if not bool(memory["started"]):
            flagged = self._detect(trainer, state.labels, keys)
            memory = {"flagged": flagged, "started": jax.device_put(np.True_)}
        kept = ~np.asarray(memory["flagged"]) | np.asarray(state.queried)
        padding = trainer.spec.padded_examples - trainer.spec.num_examples
        weight = jax.device_put(np.pad(kept.astype(np.float32), ((0, 0), (0, padding))))

        fitted = trainer.fit(
            "presumed clean",
            lambda: transforms.chain(transforms.given_weights(), transforms.ce()),
            state.labels,
            phase_keys(keys, 2),
            prepare=lambda train_state: with_given_weights(train_state, weight),
        )
        return RoundModel(fitted, fitted.logits(trainer.inputs)), memory

    def select(
        self,
        trainer: RoundTrainer,
        model: RoundModel,
        state: CorrectionState,
        keys: jax.Array,
        count: int,
        spending: Spending | None = None,
    ) -> tuple[jax.Array, Any]:
        """Top-Q by entropy."""
        by_entropy = ScoreMethod(self.name, entropy_score)
        return by_entropy.select(trainer, model, state, keys, count, spending)

    def _detect(
        self, trainer: RoundTrainer, labels: jax.Array, keys: jax.Array
    ) -> jax.Array:
        if isinstance(self.detector, o2u_net.O2UNet):
            assert self.noise_rate is not None
            return o2u_net.detect(trainer, labels, self.noise_rate, keys, self.detector)
        return simifeat.detect(
            trainer.points(),
            labels,
            trainer.spec.num_classes,
            phase_keys(keys, 1),
            self.detector,
        )
