r"""Does a teacher see the one wrong answer of five better than chance?

    python -m experiments.benchmarks.teacher_ranking --model_folder=models/smollm2
    python -m experiments.benchmarks.teacher_ranking --form=text --calls=1 \
        --base_url=http://127.0.0.1:8000/v1 --model=models/smollm2

Groups of five short records of Alpaca; in each group one answer is wrong: replaced by
HaluEval's hallucinated answer to the same question, or, as a control that nobody who
reads can miss, by the answer to another question (--wrong=swapped). By chance the wrong
answer is first in a fifth of the groups, and its mean place is 3.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import time
from collections.abc import Sequence

import numpy as np
from absl import app, flags

from robustjax import checks
from robustjax.data._instruction_records import Record
from robustjax.methods.instructions._endpoint import Endpoint
from robustjax.methods.instructions._local_teacher import LocalModel, load_local_model
from robustjax.methods.instructions._position_bias import (
    Call,
    agreement_by_calls,
    combine_calls,
    first_by_position,
)
from robustjax.methods.instructions._prompted_ranker import PromptedRanker
from robustjax.methods.instructions._question import Asker
from robustjax.methods.instructions._record_scores import record_scores

_FOLDER = flags.DEFINE_string("model_folder", None, "A local model.")
_BASE_URL = flags.DEFINE_string("base_url", None, "Or an endpoint, without a key.")
_MODEL = flags.DEFINE_string("model", "default", "Its model.")
_CACHE = flags.DEFINE_string("cache", "teacher_ranking.sqlite", "Its answers.")
_FORM = flags.DEFINE_string("form", "letters", "letters, choice or text.")
_CALLS = flags.DEFINE_integer("calls", 5, "Orders in which a group is shown.")
_RETRIES = flags.DEFINE_integer("retries", 0, "Of answers that cannot be read.")
_GROUPS = flags.DEFINE_integer("groups", 20, "Groups of five.")
_WRONG = flags.DEFINE_string("wrong", "halueval", "Or swapped: the control.")
_LONGEST = flags.DEFINE_integer("longest", 400, "Characters of a record's texts.")
_SCORES = flags.DEFINE_bool("scores", False, "Also length, perplexity, IFD.")

_SIZE = 5


def _read() -> tuple[list[Record], dict[str, str]]:
    """Alpaca's short records, and HaluEval's hallucinated answers by question."""
    folder = pathlib.Path(os.environ["ROBUSTJAX_DATA"]) / "instructions"
    rows = json.loads((folder / "alpaca_random_9k.json").read_text("utf-8"))
    records = [
        Record(str(at), row["instruction"], row["input"], row["output"])
        for at, row in enumerate(rows)
    ]
    lines = (folder / "halueval_general.json").read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    wrong = {
        row["user_query"]: row["chatgpt_response"]
        for row in found
        if row["hallucination"] == "yes"
    }
    short = [record for record in records if _is_short(record, record.output)]
    return short, wrong


def _is_short(record: Record, output: str) -> bool:
    return bool(output) and len(record.question) + len(output) <= _LONGEST.value


def _groups(rng: np.random.Generator) -> list[list[Record]]:
    """In each group the first record is the wrong one."""
    records, wrong = _read()
    bad = [
        dataclasses.replace(record, output=wrong[record.question])
        for record in records
        if record.question in wrong and _is_short(record, wrong[record.question])
    ]
    names = {record.id for record in bad}
    good = [record for record in records if record.id not in names]
    good = [good[at] for at in rng.permutation(len(good))]
    if _WRONG.value == "swapped":
        half = len(good) // 2
        bad = [
            dataclasses.replace(one, output=other.output)
            for one, other in itertools.pairwise(good[:half])
        ]
        good = good[half + 1 :]
    if len(bad) < _GROUPS.value:
        raise ValueError(f"groups: got {_GROUPS.value}, expected at most {len(bad)}")
    chosen = [bad[at] for at in rng.permutation(len(bad))[: _GROUPS.value]]
    rest = iter(good)
    return [[one, *(next(rest) for _ in range(_SIZE - 1))] for one in chosen]


def _place(calls: Sequence[Call]) -> float | None:
    """The place of the wrong record; dropped ones share the last places."""
    ranking = combine_calls(calls)
    if ranking.outcome == "malformed":
        return None
    if 0 in ranking.order:
        return 1.0 + ranking.order.index(0)
    return (1 + len(ranking.order) + _SIZE) / 2


def _line(name: str, places: Sequence[float | None]) -> str:
    known = np.array([place for place in places if place is not None])
    if not known.size:
        return f"{name}: nothing to read"
    # By chance places are uniform on 1 … 5: mean 3, variance 2.
    deviations = (known.mean() - 3) / np.sqrt(2 / len(known))
    return (
        f"{name}: n {len(known)}, wrong answer first {np.mean(known == 1):.3f} (chance "
        f"0.200), mean place {known.mean():.2f} (chance 3), {deviations:+.1f} standard "
        "errors from chance"
    )


def _asker() -> Asker:
    if _FOLDER.value:
        return load_local_model(_FOLDER.value)
    return Endpoint(
        _BASE_URL.value or "",
        _MODEL.value,
        _CACHE.value,
        api_key_variable=None,
        timeout_seconds=600.0,
        concurrency=2,
    )


def main(argv: list[str]) -> None:
    """Asks, and prints what came of it."""
    del argv
    if bool(_FOLDER.value) == bool(_BASE_URL.value):
        raise ValueError("model_folder: expected it or base_url, and not both")
    checks.one_of("wrong", _WRONG.value, ("halueval", "swapped"))
    groups = _groups(np.random.default_rng(0))
    asker = _asker()
    ranker = PromptedRanker(
        asker,
        _FORM.value,  # type: ignore[arg-type]
        _CALLS.value,
        _RETRIES.value,
    )
    start = time.perf_counter()
    _, report = ranker.rank_with_report(groups, seed=0)
    print(f"{time.perf_counter() - start:.1f} s; {report._replace(calls=())}")
    print(_line("one call", [_place([one]) for of in report.calls for one in of]))
    print(_line("all calls of a group", [_place(of) for of in report.calls]))
    for size, shares in first_by_position(report.calls).items():
        print(f"P(first | position) of {size}: {np.round(shares, 3)}")
    for agreement in agreement_by_calls(report.calls, draws=10):
        print(agreement)
    if _SCORES.value and isinstance(asker, LocalModel):
        _print_scores(groups, asker)


def _print_scores(groups: Sequence[Sequence[Record]], model: LocalModel) -> None:
    """The places of the wrong record by the model's scores alone, best first."""
    records = [record for group in groups for record in group]
    scores = record_scores(records, model)
    for name, values in {
        "longest first": -scores.length,
        "lowest perplexity first": scores.perplexity,
        "lowest IFD first": scores.ifd,
    }.items():
        by_group = values.reshape(len(groups), _SIZE)
        print(_line(name, (1.0 + (by_group[:, 1:] < by_group[:, :1]).sum(1)).tolist()))


if __name__ == "__main__":
    app.run(main)
