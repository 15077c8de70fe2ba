r"""Score instructions by a language model alone: length, perplexity, IFD.

    python -m experiments.score_instructions --records=alpaca.json \
        --model_folder=models/smollm2 --out=scores.csv

A row per record: the tokens of its answer, the mean loss of the answer after its
question and after the answer's heading alone, and whether it was cut off. Records are
scored in an order drawn once, so that a run that is stopped, or limited by --limit, has
scored some at random; the same command goes on where it was. The file is what
`experiments.select_instructions` and `experiments.instruction_selection` take as
--scores. The model is a folder as `experiments.unpack_language_model` writes it. Needs
the extra `instructions`.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from experiments.common.record_scores import COLUMNS, score_rows
from experiments.study.flags import define_flags, errors_name_flags, option, read_config
from experiments.study.launch import launch
from experiments.study.output import say
from robustjax import checks, data
from robustjax.methods import instructions
from robustjax.output_paths import check_output_file
from robustjax.training import StopRequest, progress_bar, write_csv

_AT_ONCE = 20


@dataclasses.dataclass(frozen=True)
class ScoreConfig:
    """The flags."""

    records: str | None = option(None, "File or folder of instructions and answers.")
    layout: str | None = option(
        None, f"One of {', '.join(data.INSTRUCTION_LAYOUTS)}; by default seen."
    )
    incomplete: str = option(
        "refuse", "Records without an answer: refuse the file, or drop them."
    )
    model_folder: str | None = option(None, "Of the language model.")
    max_tokens: int = option(512, "Of question and answer; the rest is cut.", low=2)
    limit: int = option(0, "Records to score in all; 0: every one.", low=0)
    out: str | None = option(None, "CSV file to write.")


define_flags(ScoreConfig)


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


def main(stop: StopRequest) -> None:
    """Scores what is not scored yet."""
    config = read_config(ScoreConfig)
    checks.one_of("incomplete", config.incomplete, ("refuse", "drop"))
    for name in ("records", "model_folder", "out"):
        if getattr(config, name) is None:
            raise ValueError(f"{name}: got nothing, expected --{name}=…")
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
        with errors_name_flags(folder="model_folder"):
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


if __name__ == "__main__":
    launch(main, ScoreConfig)
