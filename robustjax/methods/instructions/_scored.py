"""Selections by scores of a language model, and by rules in place of people."""

from __future__ import annotations

import re

import jax
import numpy as np

from robustjax import checks, selection
from robustjax.data import Record
from robustjax.methods.instructions._baselines import by_value, kept_or_not
from robustjax.methods.instructions._pool import (
    InstructionPool,
    InstructionSelection,
    make,
)

_RULES = (
    ("a refusal", re.compile(r"\bas an? (ai|artificial|language)\b|\bi('m| am) sorry")),
    ("first person", re.compile(r"\b(i|my|me)\b")),
    ("a link or a picture", re.compile(r"https?://|www\.|<img\b")),
    ("another answer", re.compile(r"\bas mentioned\b|\bother answers?\b")),
)


def ifd(pool: InstructionPool, budget: int, *, key: jax.Array) -> InstructionSelection:
    """The highest instruction-following difficulty among what the question helps.

    Li et al., "From Quantity to Quality" (NAACL 2024): records whose ratio of losses
    is above 1 do not fit their question and are ruled out; so are those that did not
    fit into the model.

    Args:
      pool: records with scores.
      budget: to keep, at most: fewer where fewer are left.
      key: draws among equal ones.

    Raises:
      ValueError: a budget that is not 1 … N, no scores, or none is left.
    """
    ratio = pool.need_scores().ifd
    return by_value(pool, budget, ratio, "IFD", key, allowed=ratio <= 1)


def superfiltering(
    pool: InstructionPool, budget: int, *, key: jax.Array
) -> InstructionSelection:
    """The highest ratio of perplexities, below 1.

    Li et al., "Superfiltering: Weak-to-Strong Data Filtering for Fast
    Instruction-Tuning" (ACL 2024): by a small model, and ruled out from 1 on.

    Args:
      pool: records with scores.
      budget: to keep, at most: fewer where fewer are left.
      key: draws among equal ones.

    Raises:
      ValueError: a budget that is not 1 … N, no scores, or none is left.
    """
    ratio = pool.need_scores().ifd_perplexity
    return by_value(pool, budget, ratio, "ratio", key, allowed=ratio < 1)


def curated_stand_in(
    pool: InstructionPool,
    budget: int,
    *,
    key: jax.Array,
    min_characters: int = 300,
    max_characters: int = 4096,
) -> InstructionSelection:
    """Rules in place of a choice by people, and then the most diverse.

    LIMA (Zhou et al., "LIMA: Less Is More for Alignment", NeurIPS 2023) is chosen and
    partly written by its authors, and no subset of anything: this is no LIMA. It
    applies those of its rules for answers of community sites that can be applied: no
    first person, no reference to other answers, no links, neither too short (there
    1,200 characters, more than most of Alpaca's answers have) nor too long; and no
    refusals. Of what is left, farthest first.

    Args:
      pool: records with embeddings.
      budget: to keep, at most: fewer where fewer pass.
      key: draws the first record.
      min_characters: of an answer.
      max_characters: of an answer.

    Raises:
      ValueError: a budget that is not 1 … N, no embeddings, or no record passes.
    """
    checks.at_least("min_characters", min_characters, 0)
    checks.at_least("max_characters", max_characters, min_characters)
    points = pool.need_embeddings()
    pool.check_budget(budget)
    failed = [_failed(each, min_characters, max_characters) for each in pool.records]
    rows = np.flatnonzero([not each for each in failed])
    if not rows.size:
        raise ValueError(
            f"min_characters: got {min_characters}, and none of {len(failed)} records "
            "passes the rules, expected some"
        )
    found = selection.k_center(points[rows], min(budget, rows.size), key=key)
    chosen = rows[found.indices]
    reasons = kept_or_not(pool, chosen, "passes, farthest from those before", "covered")
    for row, reason in enumerate(failed):
        if reason:
            reasons[row] = f"ruled out: {reason}"
    ranks = np.zeros(len(failed), np.int32)
    ranks[chosen] = np.arange(1, len(chosen) + 1)
    return make(
        pool,
        chosen,
        reasons,
        gains=found.gains,
        objective=found.objective,
        ranks=ranks,
    )


def _failed(record: Record, least: int, most: int) -> str:
    """The first rule that an answer breaks, or ""."""
    if len(record.output) < least:
        return f"fewer than {least} characters"
    if len(record.output) > most:
        return f"more than {most} characters"
    answer = record.output.lower()
    return next((name for name, rule in _RULES if rule.search(answer)), "")
