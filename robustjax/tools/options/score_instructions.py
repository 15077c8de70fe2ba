r"""Score instructions by a language model alone: length, perplexity, IFD.

    robustjax score-instructions --records=alpaca.json \
        --model-folder=models/smollm2 --out=scores.csv

A row per record: the tokens of its answer, the mean loss of the answer after its
question and after the answer's heading alone, and whether it was cut off. Records are
scored in an order drawn once, so that a run that is stopped, or limited by --limit, has
scored some at random; the same command goes on where it was. The file is what
`robustjax select-instructions` and `experiments.instruction_selection` take as
--scores. The model is a folder as `robustjax unpack-language-model` writes it. Needs
the extra `instructions`.
"""

from __future__ import annotations

import dataclasses

from robustjax.tools.command.fields import option
from robustjax.tools.options.select_instructions import INCOMPLETE, LAYOUTS


@dataclasses.dataclass(frozen=True)
class ScoreInstructionsConfig:
    """The options."""

    records: str | None = option(None, "File or folder of instructions and answers.")
    layout: str | None = option(None, "By default seen.", choices=LAYOUTS)
    incomplete: str = option(
        "refuse",
        "Records without an answer: refuse the file, or drop them.",
        choices=INCOMPLETE,
    )
    model_folder: str | None = option(None, "Of the language model.")
    max_tokens: int = option(512, "Of question and answer; the rest is cut.", low=2)
    limit: int = option(0, "Records to score in all; 0: every one.", low=0)
    out: str | None = option(None, "CSV file to write.")
