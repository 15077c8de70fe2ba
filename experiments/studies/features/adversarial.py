"""Adversarial training, and what is left of the accuracy under an attack.

Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR
2018; with TAUFE in Park et al., NeurIPS 2021.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.features.classification import Classification
from experiments.studies.features.options import make_attack
from experiments.studies.features.programs import Network, Training, build_training
from experiments.studies.features.setup import Data
from robustjax.methods.features import adversarial_accuracy
from robustjax.training import apply_prediction


def build_adversarial(
    study: Data, network: Network, method: str, count: int
) -> Training:
    """As `build_training`, on target images that are attacked; OOD images are not."""
    attack = make_attack(study.config)
    return build_training(study, network, method, count, attack=attack)


class AdversarialClassification(Classification):
    """Measures of classification, and after the last epoch those under an attack.

    "adversarial_accuracy" is of `attack_test_count` random test images, the same for
    all methods and repeats, as are the attack's random starts.
    """

    def __init__(self, study: Data, network: Network):
        """Takes what all methods share.

        Raises:
          ValueError: images that are no pixels in [0, 1] or of 8 bits.
        """
        super().__init__(study, network)
        config, test = study.config, study.target.test
        for images in (study.pool, test.inputs):
            # 8-bit images are scaled; there is nothing to check.
            if images.dtype != np.uint8 and not 0 <= images.min() <= images.max() <= 1:
                raise ValueError(
                    f"dataset: got pixels from {images.min():g} to {images.max():g} "
                    "with training=adversarial, expected 8-bit images or pixels in "
                    "[0, 1]"
                )
        attack = make_attack(config, config.test_attack_steps)

        def accuracy(
            params: Any, model_state: Any, images: jax.Array, labels: jax.Array
        ) -> jax.Array:
            return adversarial_accuracy(
                lambda x: apply_prediction(network.model, params, model_state, x),
                images,
                labels,
                jax.random.key(config.seed),
                attack,
            )

        rng = np.random.default_rng([config.seed, 41])
        count = min(config.attack_test_count, len(test))
        rows = np.sort(rng.choice(len(test), count, replace=False))
        self._attacked = jnp.asarray(test.inputs[rows]), jnp.asarray(test.labels[rows])
        self._accuracy = jax.jit(accuracy)

    def at_end(self, params: Any, model_state: Any) -> dict[str, float]:
        """The accuracy under the attack."""
        found = self._accuracy(params, model_state, *self._attacked)
        return {"adversarial_accuracy": float(found)}
