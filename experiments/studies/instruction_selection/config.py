"""Flags of the instruction-selection launcher."""

from __future__ import annotations

import dataclasses

from experiments.study.flag_groups import RunFlags
from robustjax.tools.command.fields import option
from robustjax.tools.options.select_instructions import EMBEDDINGS, TeacherFlags

MIXES = ("own", "replace", "join", "add")

TEACHERS = ("oracle", "model")

HALUEVAL = "instructions/halueval_general.json"


@dataclasses.dataclass(frozen=True)
class InstructionSelectionConfig(RunFlags, TeacherFlags):
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
