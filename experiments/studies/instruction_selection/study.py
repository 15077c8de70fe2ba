"""Instruction selection, selector against selector and against chance."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from experiments.studies.instruction_selection import report
from experiments.studies.instruction_selection.config import (
    MIXES,
    TEACHERS,
    TEMPLATES,
    InstructionSelectionConfig,
)
from experiments.studies.instruction_selection.fine_tuning import FineTuning
from experiments.studies.instruction_selection.pools import read_pools
from experiments.studies.instruction_selection.presets import PRESETS
from experiments.studies.instruction_selection.runner import (
    RANKS_CELL,
    UNTUNED_CELL,
    Runner,
    tasks_of,
)
from experiments.study.examples import Known
from experiments.study.journal import Journal
from experiments.study.presets import preset_of
from experiments.study.run import Plan, Ready, Request, Study
from robustjax import checks
from robustjax.methods import Entry, entries
from robustjax.tools.command.output import say
from robustjax.tools.method_choice import Choice
from robustjax.tools.method_options import choose_methods, preset_options, read_options
from robustjax.tools.record_scores import read_scores
from robustjax.tools.teacher import check_teacher, prompted_ranker
from robustjax.tools.text_embedding import check_embedding, embedding_of
from robustjax.training import StopRequest

METHODS = tuple(
    entry
    for entry in entries("instructions")
    if not {"ratings", "gradients"} & entry.needs or "by" in entry.options
)
"""Without those that need ratings, which nobody has given HaluEval's answers, or a
training."""


_ANYWHERE = {"base_url", "key_variable", "answers", "concurrency", "max_tokens"}


class Settings(NamedTuple):
    """What was asked for.

    Attributes:
      config: every flag.
      choice: of the methods.
      preset: its name, or None.
    """

    config: InstructionSelectionConfig
    choice: Choice
    preset: str | None


class Parts(NamedTuple):
    """What is run.

    Attributes:
      choice: of the methods.
      runner: that runs them.
    """

    choice: Choice
    runner: Runner


def _needs_scores(entry: Entry, by: str) -> bool:
    return "scores" in entry.needs or by in ("perplexity", "ifd")


def check(config: InstructionSelectionConfig, choice: Choice) -> None:
    """Raises `ValueError` for a bad flag, before any file is read."""
    checks.one_of("mix", config.mix, MIXES)
    if not config.shares:
        raise ValueError("shares: got none, expected at least one")
    checks.in_range("shares", config.shares, 0, 1, low_open=True)
    if not config.teacher_noise:
        raise ValueError("teacher_noise: got none, expected at least one")
    checks.in_range("teacher_noise", config.teacher_noise, 0, 1)
    _check_teacher(config)
    for name in ("shares", "teacher_noise"):
        values = getattr(config, name)
        if len(set(values)) < len(values):
            raise ValueError(f"{name}: got {values}, expected each once")
    checks.one_of("template", config.template, TEMPLATES)
    checks.in_range("tuned_learning_rate", config.tuned_learning_rate, 0, low_open=True)
    check_embedding(config.embedding, config.embedding_model, config.cache)
    for label, entry in choice.chosen.items():
        values = choice.values[label]
        by = str(values.get("by", "rating"))
        if "max_size" in values:
            raise ValueError(
                f"options ({label}.max_size): is the same for all methods, expected "
                "--max_size"
            )
        if entry.name == "cluster_score" and by == "rating":
            raise ValueError(
                f"options ({label}.by): got rating, which no record has; expected "
                "length, perplexity or ifd"
            )
        if values.get("fallback") == "rating":
            raise ValueError(f"options ({label}.fallback): no record has a rating")
        if _needs_scores(entry, by) and config.scores is None:
            raise ValueError(
                f"scores: got nothing, expected a file for {label} "
                "(robustjax score-instructions)"
            )


def _check_teacher(config: InstructionSelectionConfig) -> None:
    checks.one_of("teacher", config.teacher, TEACHERS)
    named = check_teacher(config)
    if named and config.teacher == "oracle":
        name = "model_folder" if config.base_url is None else "base_url"
        raise ValueError(f"{name}: got one with teacher=oracle, expected teacher=model")
    if config.teacher == "oracle":
        return
    if not named:
        raise ValueError("teacher: got model, expected a base_url or a model_folder")
    if config.teacher_noise != (0.0,):
        raise ValueError(
            f"teacher_noise: got {config.teacher_noise} with teacher=model, which has "
            "its own"
        )


def _plan(request: Request) -> Plan[Settings]:
    preset, base = preset_of(PRESETS, request.preset, request.given.get("dataset"))
    config = InstructionSelectionConfig(**{**base, **request.given})
    chosen = choose_methods(config.methods, METHODS)
    own = preset_options(chosen, base.get("options", ()))
    options = (*own, *request.given.get("options", ()))
    choice = Choice(chosen, read_options(options, chosen))
    config = dataclasses.replace(config, methods=choice.methods, options=choice.options)
    check(config, choice)
    name = preset or f"{pathlib.Path(config.dataset).stem}-{config.mix}"
    if config.embedding != "tfidf" and preset is None:
        name = f"{name}-{config.embedding}"
    # The same model may answer from elsewhere when a killed run goes on.
    known = {k: v for k, v in dataclasses.asdict(config).items() if k not in _ANYWHERE}
    # A folder of models may be moved, too; what is in it is among the run's data.
    known["finetune"] = config.finetune is not None
    return Plan(known, name, Settings(config, choice, preset))


def _prepare(plan: Plan[Settings], stop: StopRequest) -> Ready[Parts]:
    config, choice, preset = plan.settings
    tuning = None if config.finetune is None else FineTuning(config)
    pools = read_pools(config, None if tuning is None else tuning.narrowed)
    scores, of_all = None, ""
    if config.scores is not None:
        there, scores = read_scores(config.scores, pools.score_ids)
        of_all = f"; of {len(pools.rows[0]):,}, those that have scores"
        pools = pools.limited(there, "scores: no wrong answer has any, expected some")
    smallest = min(len(rows) for rows in pools.rows)
    for share in config.shares:
        checks.at_least("shares", round(share * smallest), 1)
    if tuning is not None:
        tuning.check_budgets(smallest)
    embed = _embedder(config, stop)
    # A server that is not there ends here.
    ranker = prompted_ranker(config) if config.teacher == "model" else None
    tasks = tasks_of(choice, config)
    ranks = config.answer_ranks and pools.own.size
    return Ready(
        f"{pathlib.Path(config.dataset).stem}, {config.mix}: {pools.description}, "
        f"{config.repeats} repeat(s)",
        [
            *(task.cell for task in tasks),
            # It is run first, but has the fewest columns.
            *([] if tuning is None else [UNTUNED_CELL]),
            *([RANKS_CELL] if ranks else []),
        ],
        {
            "records": pools.digests(),
            "wrong answers": pools.wrong,
            "pools": np.concatenate(pools.rows),
            **({} if scores is None else {"scores": np.stack(scores[1:3])}),
            **({} if tuning is None else tuning.digests),
        },
        (
            f"preset: {preset or 'none'}",
            f"{pools.description}{of_all}",
            *([] if tuning is None else [tuning.description]),
            *(f"  {n}: {e.description}" for n, e in choice.chosen.items()),
        ),
        Parts(choice, Runner(config, choice, pools, scores, embed, ranker, tuning)),
        [
            Known(
                {"repeat": repeat},
                np.array([pools.score_ids[row] for row in rows.tolist()]),
                {"is_wrong": pools.wrong[rows]},
            )
            for repeat, rows in enumerate(pools.rows)
        ],
    )


def _embedder(
    config: InstructionSelectionConfig, stop: StopRequest
) -> Callable[[Sequence[str]], np.ndarray]:
    # A model that is not there ends here, before anything is selected.
    embed = embedding_of(config.embedding, config.embedding_model, config.cache)

    def checked(texts: Sequence[str]) -> np.ndarray:
        stop.check()
        return embed(texts, stop)

    return checked


def _run(ready: Ready[Parts], journal: Journal, stop: StopRequest) -> None:
    say("")
    ready.parts.runner.run(journal, stop)


STUDY = Study("instruction_selection", report.MEASURES, _plan, _prepare, _run,
              report.report)  # fmt: skip
