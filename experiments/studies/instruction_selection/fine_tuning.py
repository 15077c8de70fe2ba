"""Fine-tunes one language model on every selection, and measures what it learned."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.studies.instruction_selection.config import InstructionSelectionConfig
from experiments.studies.instruction_selection.held_out import draw_held_out
from experiments.studies.instruction_selection.pools import Pools, place_of
from experiments.study.flags import errors_name_flags
from robustjax import checks
from robustjax.data import Record
from robustjax.methods import instructions
from robustjax.models import language
from robustjax.training import StopRequest
from robustjax.training import language as tuning


class Measured(NamedTuple):
    """What a model says of held-out answers.

    Attributes:
      values: measure -> number.
      answers: by held-out record: log-likelihood per token of right, wrong and other
        answers, and which choice was taken.
    """

    values: dict[str, float]
    answers: dict[str, np.ndarray]


class FineTuning:
    """A model, what is held out, and how the model is trained."""

    def __init__(self, config: InstructionSelectionConfig):
        """Reads the model and draws what is held out; trains nothing.

        Args:
          config: every flag.

        Raises:
          ValueError: a folder without a model, records that do not fit its context,
            or too few to hold out.
        """
        assert config.finetune is not None
        self._config = config
        folder = place_of(config.finetune)
        with errors_name_flags(folder="finetune"):
            self._model = language.load_language_model(folder)
            self._tokenizer = instructions.load_tokenizer(folder)
        context = self._model.config.context
        for name in ("text_tokens", "held_out_tokens"):
            checks.in_range(name, getattr(config, name), 2, context)
        self.held_out = draw_held_out(
            config, lambda records: self._fits(records, "held_out_tokens")
        )
        for question in self.held_out.choices:
            size = len(self._tokenizer(instructions.choice_prompt(question)).input_ids)
            if size > context:
                raise ValueError(
                    f"held_out_tokens: got {config.held_out_tokens}, expected so few "
                    f"that a question with two answers, here of {size} tokens, fits "
                    f"the model's context of {context}"
                )
        self._held = {
            name: tuning.padded_rows(self._texts(records, "held_out_tokens"))
            for name, records in self.held_out._asdict().items()
        }
        self._lora = language.Lora(config.lora_rank)
        with errors_name_flags(rank="lora_rank"):
            # The shapes alone say whether the rank is one that matrices have.
            jax.eval_shape(
                lambda key: language.init_adapters(self._model.params, self._lora, key),
                jax.random.key(0),
            )

    @property
    def digests(self) -> dict[str, np.ndarray]:
        """Of the weights and of what is held out, as the run's data."""
        hasher = hashlib.sha256()
        for leaf in jax.tree.leaves(self._model.params):
            hasher.update(np.asarray(leaf).tobytes())
        return {
            "model": np.frombuffer(hasher.digest(), np.uint8),
            **{f"held-out {name}": rows.tokens for name, rows in self._held.items()},
        }

    @property
    def description(self) -> str:
        """For people."""
        config = self._config
        return (
            f"fine-tuned: adapters of rank {config.lora_rank}, {config.tuned_epochs} "
            f"epoch(s) of batches of {config.tuned_batch_size}, learning rate "
            f"{config.tuned_learning_rate:g}; held out: {len(self.held_out.right)} "
            f"right answers, {len(self.held_out.wrong)} questions with a wrong and "
            "another one"
        )

    def narrowed(self, pools: Pools) -> Pools:
        """Pools without what is held out and what is too long.

        Raises:
          ValueError: a pool without a wrong answer is left.
        """
        asked = self.held_out.questions
        there = self._fits(pools.records, "text_tokens")
        there &= np.array([each.question not in asked for each in pools.records])
        return pools.limited(
            there,
            f"text_tokens: got {self._config.text_tokens}, expected enough for a "
            "wrong answer that is not held out",
        )

    def check_budgets(self, smallest: int) -> None:
        """Raises `ValueError` where a selection is smaller than a batch.

        Args:
          smallest: records of the smallest pool.
        """
        for share in self._config.shares:
            budget = round(share * smallest)
            if budget < self._config.tuned_batch_size:
                raise ValueError(
                    f"tuned_batch_size: got {self._config.tuned_batch_size}, expected "
                    f"at most {budget}, the records that a share of {share:g} keeps"
                )

    def untuned(self) -> Measured:
        """What the model says before any training."""
        return self._measure(self._model)

    def tuned(
        self,
        records: Sequence[Record],
        budget: int,
        key: jax.Array,
        checkpoints: pathlib.Path,
        stop: StopRequest,
    ) -> Measured:
        """What the model says after a training on some records.

        Args:
          records: that were kept, at least one.
          budget: records of an epoch; where fewer were kept, some come again.
          key: of the adapters and of all orders.
          checkpoints: the folder from which the same training is continued.
          stop: checked after every epoch.
        """
        order_key, key = jax.random.split(key)
        config = self._config
        texts = self._texts(records, "text_tokens")
        places = as_often(len(texts), budget, order_key)
        found = tuning.fine_tune(
            self._model,
            tuning.padded_rows([texts[at] for at in places], config.text_tokens),
            tuning.FineTuningRecipe(
                epochs=config.tuned_epochs,
                batch_size=config.tuned_batch_size,
                learning_rate=config.tuned_learning_rate,
                max_tokens=config.text_tokens,
            ),
            key=key,
            lora=self._lora,
            checkpoints=checkpoints,
            stop=stop,
        )
        return self._measure(found.model)

    def _measure(self, model: language.LanguageModel) -> Measured:
        found = {
            name: tuning.answer_losses(model, rows) for name, rows in self._held.items()
        }
        choice = instructions.multiple_choice(
            model, self._tokenizer, self.held_out.choices
        )
        right, wrong = (-found[name].per_token for name in ("right", "wrong"))
        likelier = found["instead"].loss < found["wrong"].loss
        return Measured(
            {
                "right_ll": right,
                "wrong_ll": wrong,
                "margin": right - wrong,
                "preferred": float(likelier.mean()),
                "choice_accuracy": choice.accuracy,
            },
            {
                **{name: -each.loss for name, each in found.items()},
                "chosen": choice.predicted,
            },
        )

    def _fits(self, records: Sequence[Record], flag: str) -> np.ndarray:
        fits = np.zeros(len(records), bool)
        found = self._written(records, flag)
        fits[found.records[~found.cut]] = True
        return fits

    def _texts(
        self, records: Sequence[Record], flag: str
    ) -> tuple[tuning.TokenText, ...]:
        found = self._written(records, flag)
        # They were chosen because they fit.
        assert len(found.texts) == len(records)
        assert not found.cut.any()
        return found.texts

    def _written(
        self, records: Sequence[Record], flag: str
    ) -> instructions.TrainingTexts:
        with errors_name_flags(max_tokens=flag):
            return instructions.training_texts(
                records,
                self._tokenizer,
                template="chat" if self._config.template == "chat" else "alpaca",
                max_tokens=getattr(self._config, flag),
            )


def as_often(count: int, budget: int, key: jax.Array) -> np.ndarray:
    """Which of some records an epoch has, each as often as the others, or once more.

    Args:
      count: of records.
      budget: of the epoch.
      key: chooses those that come once more.

    Returns:
      (budget,) numbers below `count`.
    """
    order: Any = jax.random.permutation(key, count)
    rest = np.sort(np.asarray(order)[: budget % count])
    return np.concatenate([np.tile(np.arange(count), budget // count), rest])
