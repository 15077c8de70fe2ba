"""What TAUFE and OAT cost: their epoch against one of as many images without OOD.

    python -m experiments.benchmarks.taufe_step

Batches are 64 target images for the baseline, and 32 target and 32 OOD images for the
others, so that every step sees equally many. Two passes of half the size take the
place of one.
"""

from __future__ import annotations

import numpy as np
import optax
from absl import app, flags

from experiments.benchmarks.programs import epochs_of
from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import transforms
from robustjax.methods.features import OOD, TARGET, feature_debiasing
from robustjax.models import SmallCNN
from robustjax.training import RecipeProgram, choose_execution
from robustjax.transforms import ExampleSpec

_EXAMPLES = flags.DEFINE_integer("examples", 3_200, "Target images, N.")
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Timed rounds.")

_CLASSES, _BATCH, _SIZE = 10, 64, 32


def main(argv: list[str]) -> None:
    """Times epochs of the same network with and without OOD images."""
    del argv
    rng = np.random.default_rng(0)
    examples = _EXAMPLES.value
    shape = (2 * examples, _SIZE, _SIZE, 3)
    inputs = rng.integers(0, 256, shape).astype(np.uint8)
    labels = rng.integers(0, _CLASSES, 2 * examples).astype(np.int32)
    roles = np.repeat([TARGET, OOD], examples)
    execution = choose_execution(convolutional=True)
    model = SmallCNN(
        _CLASSES,
        ((32,), (64,), (128,)),
        downsampling="stride",
        convolution=execution.convolution,
    )
    losses = {
        "standard": transforms.chain(transforms.ce()),
        "taufe": transforms.chain(transforms.ce(), transforms.taufe(0.1)),
        "oat": transforms.chain(transforms.ce(), transforms.oat()),
    }
    cases = {}
    for name, loss in losses.items():
        recipe = feature_debiasing(
            model,
            loss,
            optax.sgd(0.01, momentum=0.9),
            epochs=1,
            roles=roles,
            use_ood=name != "standard",
            steps_per_epoch=examples // _BATCH,
        )
        program = RecipeProgram(
            recipe,
            ExampleSpec(len(inputs), _CLASSES),
            batch_size=_BATCH,
            execution=execution,
        )
        cases[name] = epochs_of(program, inputs, labels)
    times = interleaved(cases, _ROUNDS.value, warmup=2)
    report("taufe_step", times, "standard", OUT_DIR.value, units=examples // _BATCH)


if __name__ == "__main__":
    app.run(main)
