"""An instruction with its answer: one example of instruction tuning."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Record:
    """An instruction and the answer to it.

    All texts come from files of others: nothing in them is ever evaluated or obeyed.

    Attributes:
      id: stable and unique within a data set.
      instruction: what is asked.
      input: what it is asked about, "" where the instruction says all.
      output: the answer.
      source: what the record was taken from, or None.
    """

    id: str
    instruction: str
    input: str
    output: str
    source: str | None = None

    @property
    def question(self) -> str:
        """The instruction, and the input in a line of its own where there is one."""
        return f"{self.instruction}\n{self.input}" if self.input else self.instruction
