"""Scores instructions by a language model alone: the verb `score-instructions`."""

from __future__ import annotations

import pathlib

import numpy as np

from robustjax import checks, data
from robustjax.methods import instructions
from robustjax.output_paths import check_output_file
from robustjax.tools.command.fields import need_options
from robustjax.tools.command.output import say
from robustjax.tools.options.score_instructions import ScoreInstructionsConfig
from robustjax.tools.record_scores import COLUMNS, score_rows
from robustjax.training import StopRequest, progress_bar, write_csv

_AT_ONCE = 20


def _done(path: str, ids: set[str]) -> dict[str, dict[str, str]]:
    """What the file holds already, by id.

    Raises:
      ValueError: a file of something else.
    """
    if not pathlib.Path(path).exists():
        return {}
    rows = data.read_csv(path, name="out")
    if not rows or set(rows[0]) != set(COLUMNS) or not {r["id"] for r in rows} <= ids:
        raise ValueError(f"out: {path!r} holds no scores of these records")
    return {row["id"]: row for row in rows}


def main(config: ScoreInstructionsConfig, stop: StopRequest) -> None:
    """Scores what is not scored yet."""
    need_options(config, "records", "model_folder", "out")
    assert config.records is not None
    assert config.model_folder is not None
    assert config.out is not None
    if not pathlib.Path(config.out).exists():
        check_output_file("out", config.out, inputs={"records": config.records})
    found = data.load_instructions(
        config.records,
        layout=config.layout,
        incomplete=config.incomplete,  # type: ignore[arg-type]
        name="records",
    )
    records = {each.id: each for each in found.records}
    rows = _done(config.out, set(records))
    order = np.random.default_rng(0).permutation(len(records))
    names = [found.records[i].id for i in order.tolist()]
    left = [name for name in names[: config.limit or None] if name not in rows]
    if left:
        with checks.errors_name(folder="model_folder"):
            model = instructions.load_local_model(config.model_folder)
        with progress_bar(
            len(left) + len(rows), "scores", unit="record", done=len(rows)
        ) as bar:
            for start in range(0, len(left), _AT_ONCE):
                some = left[start : start + _AT_ONCE]
                scores = instructions.record_scores(
                    [records[name] for name in some],
                    model,
                    max_tokens=config.max_tokens,
                )
                rows |= {row["id"]: row for row in score_rows(some, scores)}
                ordered = [rows[name] for name in names if name in rows]
                write_csv(config.out, ordered, COLUMNS)
                bar.update(len(some))
                stop.check()
    say(f"{config.out} holds the scores of {len(rows):,} of {len(records):,} records")
