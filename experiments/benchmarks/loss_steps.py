"""What per-example memory costs: ELR's, SOP's, alpha's epoch against cross-entropy's.

    python -m experiments.benchmarks.loss_steps [--classes=100]

Memory of C numbers per example (alpha's: three) is read and written for the batch's
rows alone, after the batch's indices were checked.
"""

from __future__ import annotations

from absl import app, flags

from experiments.benchmarks.programs import epochs_of, made_up_features, mlp_program
from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import transforms

_EXAMPLES = flags.DEFINE_integer("examples", 12_800, "N.")
_CLASSES = flags.DEFINE_integer("classes", 10, "C.")
_ROUNDS = flags.DEFINE_integer("rounds", 15, "Timed rounds.")

_WIDTH, _HIDDEN, _BATCH = 2048, (512, 512, 512), 128


def main(argv: list[str]) -> None:
    """Times epochs of the same network under four losses."""
    del argv
    examples, classes = _EXAMPLES.value, _CLASSES.value
    inputs, labels = made_up_features(examples, _WIDTH, classes)
    losses = {
        "cross-entropy": transforms.chain(transforms.ce()),
        "elr": transforms.chain(transforms.ce(), transforms.elr()),
        "sop": transforms.chain(transforms.sop()),
        "alpha": transforms.chain(
            transforms.alpha_weights(loss_pass="training"), transforms.ce()
        ),
    }
    cases = {}
    for name, loss in losses.items():
        program = mlp_program(loss, examples, classes, _HIDDEN, _BATCH)
        cases[name] = epochs_of(program, inputs, labels)
    times = interleaved(cases, _ROUNDS.value, warmup=2)
    steps = -(-examples // _BATCH)
    name = "loss_steps" if classes == 10 else f"loss_steps_{classes}_classes"
    report(name, times, "cross-entropy", OUT_DIR.value, units=steps)


if __name__ == "__main__":
    app.run(main)
