"""A language model of this machine as the teacher, through the same questions.

A ranking is read from the log-probabilities of the items' letters as the first token
of the answer (Gangi Reddy, Doo, Xu, Sultan, Swain, Sil, Ji, "FIRST: Faster Improved
Listwise Reranking with Single Token Decoding", EMNLP 2024): small models know more than
they can write in a grammar. Needs the extra `instructions` (PyTorch, transformers).
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from robustjax import checks
from robustjax.methods.instructions._chat_tokens import chat_tokens, encode
from robustjax.methods.instructions._extra import need
from robustjax.methods.instructions._question import Answer, AskReport, Question

_WHAT = "a local language model"
_FAILED = Answer("", "failed")


@dataclasses.dataclass(frozen=True)
class LocalModel:
    """A causal language model with its tokenizer. Implements `Asker`.

    Made by `load_local_model`. Questions are answered greedily and one by one, so that
    an answer depends on nothing but its question. What does not fit into the context is
    left and counted as rejected.

    Attributes:
      model: of `transformers`.
      tokenizer: of `transformers`; with a chat template, for questions.
      context: tokens that a prompt and its answer may have together.
    """

    model: Any
    tokenizer: Any
    context: int

    def ask(self, questions: Sequence[Question]) -> tuple[list[Answer], AskReport]:
        """See `Asker.ask`.

        Raises:
          ValueError: a question with `choices`, a tokenizer without a chat template, or
            letters that it does not tell apart by one token.
        """
        if any(question.choices for question in questions):
            raise ValueError("form: got choice, expected letters or text (local model)")
        if questions and not self.tokenizer.chat_template:
            raise ValueError("tokenizer: has no chat template, expected one for chats")
        found: dict[Question, tuple[Answer, int]] = {}
        counts = dict.fromkeys(("requests", "prompt_tokens", "answer_tokens"), 0)
        for question in dict.fromkeys(questions):
            tokens = self.prompt_tokens(question)
            if len(tokens) + question.max_tokens > self.context:
                found[question] = _FAILED, 0
                continue
            found[question] = self._answer(tokens, question)
            counts["requests"] += 1
            counts["prompt_tokens"] += len(tokens)
            counts["answer_tokens"] += found[question][1]
        answers = [found[question][0] for question in questions]
        left = answers.count(_FAILED)
        return answers, AskReport(
            questions=len(questions),
            from_cache=len(questions) - len(found),
            rejected=left,
            failed=left,
            **counts,
        )

    def prompt_tokens(self, question: Question) -> list[int]:
        """The prompt by the chat template, in which no message can open a turn."""
        return chat_tokens(self.tokenizer, question.messages)

    def _answer(self, tokens: list[int], question: Question) -> tuple[Answer, int]:
        torch = need("torch", _WHAT)
        inputs = torch.tensor([tokens], device=self.model.device)
        if question.letters:
            with torch.inference_mode():
                logits = self.model(inputs, logits_to_keep=1).logits[0, -1]
            logs = torch.log_softmax(logits.float(), -1)
            scores = tuple(
                float(torch.logsumexp(logs[ids], 0))
                for ids in self._letter_tokens(question.letters)
            )
            return Answer("", scores=scores), 1
        with torch.inference_mode():
            written = self.model.generate(
                inputs,
                attention_mask=torch.ones_like(inputs),
                max_new_tokens=question.max_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=self.tokenizer.eos_token_id,
            )[0, len(tokens) :]
        text = self.tokenizer.decode(written, skip_special_tokens=True)
        ends = self.model.generation_config.eos_token_id
        ended = int(written[-1]) in (ends if isinstance(ends, list) else [ends])
        return Answer(text, "answered" if ended else "cut"), len(written)

    def _letter_tokens(self, letters: Sequence[str]) -> list[list[int]]:
        """The first tokens that each letter may begin with, a space before it or not.

        Raises:
          ValueError: two of them that cannot be told apart by one token.
        """
        found = []
        for letter in letters:
            plain, spaced = (
                encode(self.tokenizer, text) for text in (letter, f" {letter}")
            )
            # A space alone is no letter.
            found.append(sorted({plain[0], *(spaced if len(spaced) == 1 else ())}))
        known = [token for tokens in found for token in tokens]
        if len(known) != len(set(known)):
            raise ValueError(
                f"tokenizer: tells {', '.join(letters)} not apart by one token"
            )
        return found


def load_local_model(
    folder: str | os.PathLike[str], *, context: int | None = None, device: str = "cpu"
) -> LocalModel:
    """Loads a model from a folder. Nothing is downloaded, and no code of it is run.

    Args:
      folder: as `transformers` saves models, with safetensors and a tokenizer; see
        `robustjax unpack-language-model`.
      context: tokens of a prompt and its answer; by default what the model was made
        for.
      device: of PyTorch.

    Raises:
      ValueError: a folder that is missing or holds no such model.
      ModuleNotFoundError: without the extra `instructions`.
    """
    path = pathlib.Path(folder)
    if not (path / "config.json").is_file():
        raise ValueError(
            f"folder: {os.fspath(folder)!r} has no config.json, expected a folder with "
            "a language model"
        )
    if context is not None:
        checks.at_least("context", context, 2)
    transformers = need("transformers", _WHAT)
    torch = need("torch", _WHAT)
    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, use_safetensors=True, **options
        )
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"folder: cannot load {os.fspath(folder)!r} ({reason}), expected a "
            "language model with safetensors and a tokenizer"
        ) from None
    made_for = getattr(model.config, "max_position_embeddings", None) or 2048
    return LocalModel(model.to(device).eval(), tokenizer, context or made_for)
