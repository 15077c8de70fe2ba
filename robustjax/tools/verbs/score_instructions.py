"""Scores instructions by a language model alone: the verb `score-instructions`."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np

from robustjax import checks, data
from robustjax.methods import instructions
from robustjax.output_paths import check_output_file
from robustjax.tools.command.fields import need_options
from robustjax.tools.command.output import say
from robustjax.tools.options.score_instructions import ScoreInstructionsConfig
from robustjax.tools.record_scores import (
    COLUMNS,
    folder_digest,
    made_by,
    score_rows,
)
from robustjax.training import StopRequest, progress_bar, write_csv

_AT_ONCE = 20


def _done(path: str, made: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What the file holds already, by id.

    Args:
      path: of the file.
      made: id -> `made_by` of what is to be scored.

    Raises:
      ValueError: a file of something else, or scores of other texts, by another model
        or of other lengths.
    """
    if not pathlib.Path(path).exists():
        return {}
    rows = data.read_csv(path, name="out")
    known = bool(rows) and set(rows[0]) == set(COLUMNS)
    if not known or not {row["id"] for row in rows} <= set(made):
        raise ValueError(f"out: {path!r} holds no scores of these records")
    for row in rows:
        if row["made_by"] != made[row["id"]]:
            raise ValueError(
                f"out: {path!r} holds the score of {row['id']!r} by another model, "
                "with another max_tokens or of another text, expected a file of this "
                "scoring"
            )
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
    if not pathlib.Path(config.model_folder).is_dir():
        raise ValueError(f"model_folder: {config.model_folder!r} is not a folder")
    model_digest = folder_digest(config.model_folder)
    made = {
        name: made_by(record, model_digest, config.max_tokens)
        for name, record in records.items()
    }
    rows = _done(config.out, made)
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
                by = [made[name] for name in some]
                rows |= {row["id"]: row for row in score_rows(some, scores, by)}
                ordered = [rows[name] for name in names if name in rows]
                write_csv(config.out, ordered, COLUMNS)
                bar.update(len(some))
                stop.check()
    say(f"{config.out} holds the scores of {len(rows):,} of {len(records):,} records")
