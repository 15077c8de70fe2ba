"""What a language model alone says of records: length, perplexity, IFD.

Li et al., "From Quantity to Quality: Boosting LLM Performance with Self-Guided Data
Selection for Instruction Tuning", NAACL 2024 (the instruction-following difficulty);
Li et al., "Superfiltering: Weak-to-Strong Data Filtering for Fast Instruction-Tuning",
ACL 2024 (the ratio of perplexities, by a small model).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from robustjax import checks
from robustjax.data._instruction_records import Record
from robustjax.methods.instructions._chat_tokens import encode, opening
from robustjax.methods.instructions._extra import need
from robustjax.methods.instructions._local_teacher import LocalModel

_WHAT = "scores by a language model"
_RESPONSE = "### Response:"


class RecordScores(NamedTuple):
    """Scores of records, by their order.

    Attributes:
      length: (N,) tokens of the answer, all of them.
      answer_loss: (N,) mean negative log-likelihood of its tokens after the question.
      alone_loss: (N,) likewise after the response's heading alone.
      cut: (N,) whether the answer was cut off, or (with NaN as losses) had no room.
    """

    length: np.ndarray
    answer_loss: np.ndarray
    alone_loss: np.ndarray
    cut: np.ndarray

    @property
    def perplexity(self) -> np.ndarray:
        """(N,) of the answer after the question."""
        return np.exp(self.answer_loss)

    @property
    def ifd(self) -> np.ndarray:
        """(N,) instruction-following difficulty: the ratio of the losses (Cherry LLM).

        Above 1 the question does not help to foresee the answer.
        """
        return self.answer_loss / self.alone_loss

    @property
    def ifd_perplexity(self) -> np.ndarray:
        """(N,) the ratio of the perplexities instead (Superfiltering)."""
        return np.exp(self.answer_loss - self.alone_loss)


def alpaca_prompt(record: Record) -> str:
    """The question in the layout of Stanford Alpaca, up to where the answer begins."""
    given = f"### Input:\n{record.input}\n\n" if record.input else ""
    with_input = ", paired with an input that provides further context" if given else ""
    return (
        f"Below is an instruction that describes a task{with_input}. Write a response "
        "that appropriately completes the request.\n\n"
        f"### Instruction:\n{record.instruction}\n\n{given}{_RESPONSE}"
    )


def record_scores(
    records: Sequence[Record],
    model: LocalModel,
    *,
    max_tokens: int = 512,
    on_record: Callable[[int], None] | None = None,
) -> RecordScores:
    """Scores records by a local model, in the Alpaca layout.

    Args:
      records: with answers.
      model: see `load_local_model`.
      max_tokens: of question and answer, with the token that begins a sequence, if the
        tokenizer writes one; both losses are over the part of the answer
        that fits.
      on_record: told how many are done, after each.

    Raises:
      ValueError: a record without an answer.
    """
    checks.in_range("max_tokens", max_tokens, 2, model.context)
    for record in records:
        if not record.output.strip():
            raise ValueError(f"records: {record.id!r} has no answer, expected one")
    lengths, losses, alone, cut = [], [], [], []
    first = opening(model.tokenizer)
    heading = first + encode(model.tokenizer, _RESPONSE)
    for done, record in enumerate(records, 1):
        prompt, answer, alone_answer = (
            encode(model.tokenizer, text, plain=True)
            for text in (alpaca_prompt(record), f"\n{record.output}", record.output)
        )
        prompt = first + prompt
        part = answer[: max(0, max_tokens - len(prompt))]
        lengths.append(len(alone_answer))
        cut.append(len(part) < len(answer))
        losses.append(_mean_loss(model, prompt, part))
        alone.append(_mean_loss(model, heading, part))
        if on_record is not None:
            on_record(done)
    return RecordScores(*map(np.array, (lengths, losses, alone, cut)))


def _mean_loss(model: LocalModel, prompt: list[int], answer: list[int]) -> float:
    if not answer:
        return float("nan")
    torch = need("torch", _WHAT)
    inputs = torch.tensor([[*prompt, *answer]], device=model.model.device)
    with torch.inference_mode():
        logits = model.model(inputs, logits_to_keep=len(answer) + 1).logits[0, :-1]
        targets = inputs[0, len(prompt) :]
        return float(torch.nn.functional.cross_entropy(logits.float(), targets))
