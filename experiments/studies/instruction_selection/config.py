"""Flags of the instruction-selection launcher."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from experiments.study.flag_groups import RunFlags
from robustjax.tools.command.fields import option
from robustjax.tools.options.select_instructions import EMBEDDINGS, TeacherFlags

MIXES = ("own", "replace", "join", "add")

TEACHERS = ("oracle", "model")

TEMPLATES = ("alpaca", "chat")

HALUEVAL = "instructions/halueval_general.json"


@dataclasses.dataclass(frozen=True)
class FineTuningFlags:
    """Of what every selection is worth to a language model."""

    group: ClassVar[str] = "Fine-tuning"
    finetune: str | None = option(
        None,
        "Folder of a Llama model that is fine-tuned on every selection, as it is or "
        "under $ROBUSTJAX_DATA.",
    )
    template: str = option("chat", "How records are written.", choices=TEMPLATES)
    text_tokens: int = option(
        256, "Of a record, template included; longer ones are in no pool.", low=2
    )
    held_out_tokens: int = option(256, "The same of a held-out record.", low=2)
    held_out: int = option(
        32, "Answers without a mark that are in no pool, for the likelihood.", low=1
    )
    choice_questions: int = option(
        32,
        "Questions that are in no pool, each with a marked answer and with another "
        "one.",
        low=1,
    )
    own_answers: str = option(
        "instructions/alpaca_random_9k.json",
        "mix=own: file of records with those other answers.",
    )
    tuned_epochs: int = option(3, "Over what was kept.", low=1)
    tuned_batch_size: int = option(8, "Records of a step.", low=1)
    tuned_learning_rate: float = option(
        2e-4, "Of AdamW, from where it falls by a cosine to 0."
    )
    lora_rank: int = option(8, "Of the adapters of queries and values.", low=1)


@dataclasses.dataclass(frozen=True)
class InstructionSelectionConfig(RunFlags, TeacherFlags, FineTuningFlags):
    """All settings of one study; the flags of the launcher."""

    dataset: str = option(
        HALUEVAL,
        "File of records with answers, as it is or under $ROBUSTJAX_DATA; with mix=own "
        "that of HaluEval.",
    )
    halueval: str = option(
        HALUEVAL, "mix=replace, join or add: file of HaluEval's general queries."
    )
    mix: str = option(
        "own",
        "Where wrong answers are from. own: HaluEval's answers, of which people have "
        "marked some. replace: marked answers in place of the records' own; join: the "
        "same, and of the records those alone that HaluEval has answered. add: marked "
        "answers as records of their own.",
    )
    wrong_count: int = option(
        0, "Wrong answers in a pool, drawn anew in each repeat; 0: all.", low=0
    )
    limit: int = option(
        0, "Records of a pool at most, drawn anew in each repeat; 0: all.", low=0
    )
    shares: tuple[float, ...] = option(
        (0.05, 0.2, 0.5), "Shares of the records to keep."
    )
    max_size: int = option(
        10,
        "Records of a cluster at most, or twice the mean where that is more.",
        low=1,
    )
    embedding: str = option("tfidf", f"One of {', '.join(EMBEDDINGS)}.")
    embedding_model: str | None = option(
        None, "embedding=minilm: folder or wheel of the model."
    )
    cache: str | None = option(None, "Folder in which embeddings are kept.")
    scores: str | None = option(
        None,
        "File of robustjax score-instructions; records that it lacks are left out.",
    )
    teacher: str = option(
        "oracle",
        "Who ranks: an oracle that knows what is wrong, or a language model behind "
        "--base_url or in --model_folder.",
        choices=TEACHERS,
    )
    teacher_noise: tuple[float, ...] = option(
        (0.0,), "teacher=oracle: in what share of the clusters it knows nothing."
    )
    answer_ranks: bool = option(
        True, "mix=replace, join or add: rank other answers by distance."
    )
    methods: tuple[str, ...] = option(
        ("random", "longest", "max_cover", "min_cover", "cluster_random",
         "fp_instruction"),
        "Methods to run, or all; label=method gives one another name.",
    )  # fmt: skip
    options: tuple[str, ...] = option(
        (), "Of methods, such as longest.of=record or cluster_score.by=length."
    )
