"""A toy training that several processes share, under the launchers' own entry."""

from __future__ import annotations

import os
import signal

import jax
from absl import flags

from experiments.study.launch import launch
from robustjax import training
from tests.training import toy

_FOLDER = flags.DEFINE_string("spread_folder", None, "Of the checkpoints.")
_DIES = flags.DEFINE_integer("spread_dies", -1, "The process that kills itself,")
_AFTER = flags.DEFINE_integer("spread_after", -1, "and the epoch after which it does.")
_SIGNAL = flags.DEFINE_string("spread_by", "SIGKILL", "By which signal.")
_STREAM = flags.DEFINE_bool("spread_stream", False, "Inputs stay with the host.")

EPOCHS = 4


def transform():
    """With rows that are trained, and that every process has a part of."""
    import robustjax as rj

    return rj.sop()


def main(stop):
    """Trains, and says how many rows of the state this process holds."""
    mesh = training.data_mesh() if jax.device_count() > 1 else None
    program = toy.program(transform(), mesh=mesh)
    state, data = toy.start(program)
    if _STREAM.value:
        x, y = toy.arrays()
        data = program.make_data(training.Stream(x), y)
    rows = jax.tree.leaves(state.loss_state.rows)[0]
    held = sum(part.data.shape[1] for part in rows.addressable_shards)
    print(f"rows {held} of {rows.shape[1]}", flush=True)

    def report(epoch, metrics):
        if (jax.process_index(), epoch) == (_DIES.value, _AFTER.value):
            os.kill(os.getpid(), signal.Signals[_SIGNAL.value])

    training.fit(
        program,
        state,
        data,
        epochs=EPOCHS,
        report=report,
        stop=stop,
        checkpoints=training.CheckpointFolder(_FOLDER.value),
    )


if __name__ == "__main__":
    launch(main)
