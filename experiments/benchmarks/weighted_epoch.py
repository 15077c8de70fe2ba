"""What contribution weights cost: an epoch with them against plain cross-entropy.

    python -m experiments.benchmarks.weighted_epoch

With `loss_pass="training"` an epoch collects the losses as it trains. The default
"evaluation" follows the notation of the paper (Kim, ECCV 2022) and adds a forward
pass over all examples, which is no part of the step.
"""

from __future__ import annotations

from absl import app, flags

from experiments.benchmarks.programs import epochs_of, made_up_features, mlp_program
from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import transforms

_EXAMPLES = flags.DEFINE_integer("examples", 12_800, "N.")
_ROUNDS = flags.DEFINE_integer("rounds", 15, "Timed rounds.")

_WIDTH, _HIDDEN, _CLASSES, _BATCH = 2048, (512, 512, 512), 10, 128


def main(argv: list[str]) -> None:
    """Times epochs of the same network under three losses."""
    del argv
    inputs, labels = made_up_features(_EXAMPLES.value, _WIDTH, _CLASSES)
    losses = {
        "plain": transforms.chain(transforms.ce()),
        "weighted, training losses": transforms.chain(
            transforms.alpha_weights(loss_pass="training"), transforms.ce()
        ),
        "weighted, evaluation pass": transforms.chain(
            transforms.alpha_weights(), transforms.ce()
        ),
    }
    cases = {}
    for name, loss in losses.items():
        program = mlp_program(loss, _EXAMPLES.value, _CLASSES, _HIDDEN, _BATCH)
        cases[name] = epochs_of(program, inputs, labels)
    times = interleaved(cases, _ROUNDS.value, warmup=2)
    report(
        "weighted_epoch",
        times,
        "plain",
        OUT_DIR.value,
        units=-(-_EXAMPLES.value // _BATCH),
    )


if __name__ == "__main__":
    app.run(main)
