"""Named presets of instruction selection."""

from __future__ import annotations

from typing import Any

from experiments.study.presets import Preset

_NOT_YET = "not measured yet"
_METHODS = (
    *("random", "longest", "max_cover", "min_cover", "curated_stand_in"),
    *("cluster_random", "cluster_longest=cluster_score", "fp_instruction"),
)
_OPTIONS = ("cluster_score.by=length",)
_OWN: dict[str, Any] = {
    "shares": (0.01, 0.05, 0.1, 0.2, 0.3, 0.5),
    "repeats": 3,
    "teacher_noise": (0.0, 0.5),
    "methods": _METHODS,
    "options": _OPTIONS,
}
# What FP-Instruction was published with keeps one of 5.2 records.
_PUBLISHED_SHARE = round(10_000 / 52_002, 4)
_ALPACA: dict[str, Any] = {
    **_OWN,
    "dataset": "instructions/alpaca_random_9k.json",
    "shares": (_PUBLISHED_SHARE,),
    "methods": ("random", "longest", "cluster_random", "fp_instruction"),
    "options": (),
}

PRESETS: dict[str, Preset] = {
    "halueval": Preset(
        _OWN,
        about="HaluEval's 4,507 answers, of which people have marked 815",
        expect=(
            "wrong answers kept at a fifth: 19.4 % (random), 22.2 % (longest), 19.5 % "
            "(cluster_random), 0 and 10.1 % (fp_instruction, noise 0 and 0.5)"
        ),
    ),
    "halueval_400": Preset(
        {**_OWN, "wrong_count": 400},
        about="the same with 400 of the marked ones",
        expect=(
            "wrong answers kept at a fifth: 18.8 % (random), 23.9 % (longest), 21.4 % "
            "(cluster_random), 0 and 8.8 % (fp_instruction, noise 0 and 0.5)"
        ),
    ),
    "teacher_noise": Preset(
        {
            **_OWN,
            "shares": (_PUBLISHED_SHARE,),
            "repeats": 10,
            "teacher_noise": tuple(round(0.1 * i, 1) for i in range(11)),
            "methods": ("random", "longest", "cluster_random", "fp_instruction"),
            "options": (),
        },
        about="the same: how good must a teacher be?",
        expect=(
            "wrong answers kept by fp_instruction: 0 % without noise, 8.8 ±0.8 % at "
            "0.5, 17.9 ±0.7 % at 1; 19.2 % by chance"
        ),
    ),
    "teacher": Preset(
        {
            **_OWN,
            "limit": 150,
            "shares": (_PUBLISHED_SHARE,),
            "teacher": "model",
            "teacher_noise": (0.0,),
            "methods": ("random", "longest", "cluster_random", "fp_instruction"),
            "options": (),
            "form": "letters",
        },
        about="150 of them, ranked by a language model (--base_url or --model_folder)",
        expect=_NOT_YET,
        flags="--model_folder=models/smollm2",
    ),
    # Written down before the scores were read; records without one are left out.
    "halueval_scores": Preset(
        {
            **_OWN,
            "scores": "halueval_scores.csv",
            "methods": (
                *("random", "longest", "ifd", "superfiltering", "cluster_random"),
                "cluster_longest=cluster_score",
                "cluster_ifd=cluster_score",
                "cluster_perplexity=cluster_score",
            ),
            "options": (
                "cluster_longest.by=length",
                "cluster_ifd.by=ifd",
                "cluster_perplexity.by=perplexity",
            ),
        },
        about="the same by a language model's scores (robustjax score-instructions)",
        expect=(
            "wrong answers kept at a fifth: 19.9 % (random), 19.7 % (longest), 17.1 % "
            "(ifd), 16.8 % (superfiltering), 17.6 % (cluster_perplexity)"
        ),
    ),
    # Written down before anything was run, and no number chosen by what is held out: as
    # many trainings of 40 steps as fit into one and a half hours of a core.
    "halueval_finetune": Preset(
        {
            **_OWN,
            "limit": 416,
            "shares": (_PUBLISHED_SHARE,),
            "teacher_noise": (0.0, 0.5, 1.0),
            "methods": (
                "random",
                "longest",
                "max_cover",
                "min_cover",
                "fp_instruction",
            ),
            "options": (),
            "finetune": "models/smollm2",
            "held_out": 32,
            "choice_questions": 32,
            "text_tokens": 96,
            "held_out_tokens": 128,
            "tuned_epochs": 2,
            "tuned_batch_size": 4,
            "tuned_learning_rate": 1e-3,
            "lora_rank": 8,
        },
        about="416 short ones; SmolLM2-135M is fine-tuned on the kept (--finetune)",
        expect=(
            "log-likelihood of right answers against random, mnat: -2.6 ±8.1 "
            "(longest), -39.9 ±9.2 (max_cover), -12.0 ±11.6 (fp_instruction, noise 0)"
        ),
    ),
    "alpaca_9k": Preset(
        {**_ALPACA, "mix": "replace"},
        about="9,225 records of Alpaca, 158 of them with HaluEval's marked answers",
        expect=(
            "wrong answers kept: 18.8 % (random), 51.9 % (longest), 19.4 % "
            "(cluster_random), 0 and 11.4 % (fp_instruction, noise 0 and 0.5)"
        ),
    ),
    "alpaca_9k_added": Preset(
        {**_ALPACA, "mix": "add"},
        about="the same records with 657 marked answers beside them",
        expect=(
            "wrong answers kept: 19.2 % (random), 49.8 % (longest), 20.4 % "
            "(cluster_random), 0 and 9.0 % (fp_instruction, noise 0 and 0.5)"
        ),
    ),
}
