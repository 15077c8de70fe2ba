r"""Choose which of your own instructions to train a language model on.

    python -m experiments.select_instructions --records=alpaca.json \
        --method=cluster_random --budget=10000 --out_dir=selected
    python -m experiments.select_instructions --records=alpaca.json \
        --method=fp_instruction --budget=10000 --groups=groups.jsonl
    python -m experiments.select_instructions --records=alpaca.json \
        --method=fp_instruction --budget=10000 --rankings=ranked.jsonl \
        --out_dir=selected

Records are a JSON array or JSON lines in the layout of Alpaca, Dolly, HaluEval, OpenAI
chats or ShareGPT; a Parquet file; or a saved Hugging Face folder. Embeddings are made
by TF-IDF unless given, or by a model of this machine (--embedding=minilm).
`selected.jsonl` holds the records that are kept, and `examples.csv` every record with
its cluster, its rank and the reason for its fate.

fp_instruction asks a teacher to rank the records of every cluster: a server that
speaks OpenAI's protocol (--base_url=http://127.0.0.1:8000/v1 --model=NAME
--answers=answers.sqlite), or a model on this machine (--model_folder=FOLDER).
`teacher.json` tells how it answered; a run that was killed asks nothing twice. Or
somebody else ranks: the second command writes the clusters, a line each, with the ids
and texts; whoever ranks them adds `order`, the ids worth keeping, best first, and the
third command selects by that file. The same seed makes the same clusters.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from experiments.common.array_files import read_array
from experiments.common.record_scores import read_scores
from experiments.common.teacher import (
    NothingAsked,
    Teacher,
    TeacherFlags,
    check_teacher,
)
from experiments.common.text_embedding import (
    EMBEDDINGS,
    check_embedding,
    embedding_of,
)
from experiments.study.flag_groups import SeedFlags
from experiments.study.flags import define_flags, errors_name_flags, option, read_config
from experiments.study.launch import launch
from experiments.study.output import say
from robustjax import checks, data, methods
from robustjax.data._located_json import read_objects
from robustjax.files import write_atomically
from robustjax.methods import instructions
from robustjax.methods.instructions import InstructionPool, InstructionSelection
from robustjax.output_paths import check_output_file, check_output_folder
from robustjax.selection._size_constrained_kmeans import check_sizes
from robustjax.training import StopRequest, write_csv

METHODS = {
    entry.name: entry
    for entry in methods.entries("instructions")
    if "gradients" not in entry.needs
}
_OPTIONS = ("max_size", "threshold", "of", "by", "fallback")
_COLUMNS = ("id", "kept", "cluster", "rank", "reason", "line")


@dataclasses.dataclass(frozen=True)
class SelectConfig(SeedFlags, TeacherFlags):
    """The flags. Those of one method alone are None unless given."""

    records: str | None = option(None, "File or folder of instructions and answers.")
    layout: str | None = option(
        None, f"One of {', '.join(data.INSTRUCTION_LAYOUTS)}; by default seen."
    )
    split: str | None = option(None, "Split of a folder that has several.")
    incomplete: str = option(
        "refuse", "Records without an answer: refuse the file, or drop them."
    )
    method: str = option("cluster_random", f"One of {', '.join(METHODS)}.")
    budget: int | None = option(
        None, "Records to keep; where clusters are made, their number.", low=1
    )
    max_size: int | None = option(
        None, "Records of a cluster at most; 10 if not given.", low=1
    )
    threshold: float | None = option(None, "alpagasus: 4.5 if not given.")
    of: str | None = option(None, "longest: output or record.")
    by: str | None = option(
        None, "cluster_score: rating, or length, perplexity or ifd without ratings."
    )
    fallback: str | None = option(
        None, "fp_instruction: skip or rating, where a ranking is malformed."
    )
    ratings: str | None = option(
        None, "File of ratings: an array (N,), or CSV or JSON lines of id and rating."
    )
    embeddings: str | None = option(None, "File of embeddings (N, d).")
    embedding: str = option(
        "tfidf", f"How texts are embedded without it: {' or '.join(EMBEDDINGS)}."
    )
    embedding_model: str | None = option(
        None, "embedding=minilm: folder or wheel of the model."
    )
    scores: str | None = option(
        None, "File of experiments.score_instructions, for ifd and superfiltering."
    )
    cache: str | None = option(None, "Folder in which embeddings are kept.")
    rankings: str | None = option(None, "fp_instruction: JSON lines of ids and order.")
    groups: str | None = option(
        None, "fp_instruction: write the clusters to this file, and stop."
    )
    out_dir: str | None = option(None, "Folder for selected.jsonl and examples.csv.")


define_flags(SelectConfig)


def _check(config: SelectConfig) -> dict[str, Any]:
    """The method's options; raises `ValueError` for a bad flag, before any work."""
    checks.one_of("method", config.method, METHODS)
    checks.one_of("incomplete", config.incomplete, ("refuse", "drop"))
    entry = METHODS[config.method]
    wanted = ["records", *(["budget"] if _takes(config.method, "budget") else [])]
    by = config.by or "rating"
    wanted += ["ratings"] if "ratings" in entry.needs and by == "rating" else []
    needs_scores = "scores" in entry.needs or by in ("perplexity", "ifd")
    wanted += ["scores"] if needs_scores else []
    teacher = "teacher" in entry.needs
    asks = check_teacher(config)
    if asks and not teacher:
        raise ValueError(f"method: {config.method} asks no teacher")
    for name in ("rankings", "groups"):
        if asks and getattr(config, name) is not None:
            raise ValueError(f"{name}: got a file beside a teacher, expected one")
    if config.groups is None:
        wanted += ["rankings"] if teacher and not asks else []
        wanted += ["out_dir"]
    for name in wanted:
        if getattr(config, name) is None:
            also = ""
            if name == "rankings":
                also = ", --groups=…, or a teacher by --base_url or --model_folder"
            raise ValueError(f"{name}: got nothing, expected --{name}=…{also}")
    of_teacher = [] if teacher else ["rankings", "groups"]
    for name in ("budget", *_OPTIONS, *of_teacher):
        if getattr(config, name) is not None and not _takes(config.method, name):
            raise ValueError(f"{name}: {config.method} does not take it")
    checks.one_of("of", config.of or "output", ("output", "record"))
    checks.one_of("by", by, ("rating", "length", "perplexity", "ifd"))
    if config.scores is not None and not needs_scores:
        raise ValueError(f"scores: {config.method} does not take any")
    if config.embeddings is not None and config.embedding_model is not None:
        raise ValueError("embedding_model: got one beside embeddings, expected one")
    check_embedding(config.embedding, config.embedding_model, config.cache)
    checks.one_of("fallback", config.fallback or "skip", ("skip", "rating"))
    if config.fallback == "rating" and config.ratings is None:
        raise ValueError("ratings: got nothing, expected --ratings=… to fall back on")
    read = ("records", "ratings", "embeddings", "rankings", "scores")
    inputs = {name: getattr(config, name) for name in read}
    if config.groups is not None:
        check_output_file("groups", config.groups, inputs=inputs)
    elif config.out_dir is not None:
        check_output_folder("out_dir", config.out_dir)
    given = {name: getattr(config, name) for name in _OPTIONS}
    return {name: value for name, value in given.items() if value is not None}


def _takes(method: str, argument: str) -> bool:
    return argument in inspect.signature(METHODS[method].make).parameters


def _embeddings(
    config: SelectConfig, records: Sequence[data.Record], stop: StopRequest
) -> np.ndarray:
    if config.embeddings is not None:
        return read_array(config.embeddings, "embeddings")
    texts = [f"{each.question}\n{each.output}" for each in records]
    embed = embedding_of(config.embedding, config.embedding_model, config.cache)
    return embed(texts, stop)


def _pool(
    config: SelectConfig, records: Sequence[data.Record], stop: StopRequest
) -> InstructionPool:
    """What the method needs to know of the records."""
    entry = METHODS[config.method]
    ratings = None
    if config.ratings is not None:
        ratings = read_ratings(config.ratings, [each.id for each in records])
    scores = None
    if config.scores is not None:
        there, scores = read_scores(config.scores, [each.id for each in records])
        if not there.all():
            raise ValueError(
                f"scores: {config.scores!r} lacks {(~there).sum()} of {len(there)} "
                "records; experiments.score_instructions goes on where it was"
            )
    embeddings = None
    if "features" in entry.needs or config.embeddings is not None:
        embeddings = _embeddings(config, records, stop)
    return InstructionPool(records, embeddings, ratings, scores)


def read_ratings(path: str, ids: Sequence[str], *, name: str = "ratings") -> np.ndarray:
    """Ratings of all records, by position in an array or by id in a table.

    Args:
      path: an `.npy` or `.npz` file, a `.csv` file, or JSON lines or a JSON array of
        objects; the last three with `id` and `rating`.
      ids: of the records.
      name: what to call the file in an error.

    Raises:
      ValueError: a file that cannot be read, an id that is missing or there twice, a
        rating that is no number.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix in (".npy", ".npz"):
        return read_array(path, name)
    table: list[tuple[str, Any]]
    if suffix == ".csv":
        cells = data.read_csv(path, name=name)
        table = [(f"row {number}", row) for number, row in enumerate(cells, 1)]
    else:
        table = [(o.place, o.value) for o in read_objects(path, name=name)]
    rows: list[tuple[str, float]] = []
    for place, row in table:
        try:
            rows.append((str(row["id"]), float(row["rating"])))
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"{name}: {place} of {path!r} lacks an id or a rating that is a number"
            ) from None
    known = dict(rows)
    if len(known) < len(rows):
        raise ValueError(f"{name}: {path!r} has an id twice")
    missing = [each for each in ids if each not in known]
    if missing:
        raise ValueError(
            f"{name}: {path!r} lacks {len(missing)} of {len(ids)} records (first: "
            f"{missing[0]!r})"
        )
    return np.array([known[each] for each in ids])


def _write_groups(config: SelectConfig, pool: InstructionPool) -> None:
    assert config.budget is not None
    assert config.groups is not None
    # The key that `fp_instruction` gives its clusters.
    cluster_key, _ = jax.random.split(jax.random.key(config.seed))
    groups = instructions.instruction_groups(
        pool, config.budget, config.max_size or 10, key=cluster_key
    )
    lines = []
    for rows in groups:
        members = [pool.records[row] for row in rows.tolist()]
        row = {
            "ids": [each.id for each in members],
            "records": [
                {"id": each.id, "question": each.question, "output": each.output}
                for each in members
            ],
        }
        lines.append(json.dumps(row, ensure_ascii=False))
    write_atomically(config.groups, "".join(f"{line}\n" for line in lines))
    sizes = np.array([len(rows) for rows in groups])
    say(
        f"{len(groups):,} clusters of {sizes.min()} to {sizes.max()} records, "
        f"{(sizes == 1).sum():,} of one; {config.groups} lists them"
    )


def _write(
    config: SelectConfig,
    pool: InstructionPool,
    chosen: InstructionSelection,
    found: data.Instructions,
) -> None:
    assert config.out_dir is not None
    folder = pathlib.Path(config.out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for row in chosen.selection.indices.tolist():
        each = pool.records[row]
        fields = ("id", "instruction", "input", "output", "source")
        lines.append(
            json.dumps({f: getattr(each, f) for f in fields}, ensure_ascii=False)
        )
    write_atomically(folder / "selected.jsonl", "".join(f"{x}\n" for x in lines))
    write_csv(folder / "examples.csv", _rows(pool, chosen, found), _COLUMNS)
    kept, size = len(lines), len(pool.records)
    say(
        f"kept {kept:,} of {size:,} records ({kept / size:.1%}); {folder} holds "
        "selected.jsonl, and examples.csv with the reason for each"
    )


def _rows(
    pool: InstructionPool, chosen: InstructionSelection, found: data.Instructions
) -> Iterator[dict[str, Any]]:
    kept = np.zeros(len(pool.records), bool)
    kept[chosen.selection.indices] = True
    for row, each in enumerate(pool.records):
        yield {
            "id": each.id,
            "kept": bool(kept[row]),
            "cluster": int(chosen.clusters[row]) if chosen.clusters[row] >= 0 else "",
            "rank": int(chosen.ranks[row]) if chosen.ranks[row] > 0 else "",
            "reason": chosen.reasons[row],
        }
    for finding in found.findings:
        if finding.kind.startswith("empty"):
            yield {
                "id": finding.id,
                "kept": False,
                "reason": finding.kind,
                "line": finding.place,
            }


def main(stop: StopRequest) -> None:
    """Selects, and writes the records and the table."""
    config = read_config(SelectConfig)
    options = _check(config)
    assert config.records is not None
    found = data.load_instructions(
        config.records,
        layout=config.layout,
        split=config.split,
        incomplete=config.incomplete,  # type: ignore[arg-type]
        name="records",
    )
    if found.findings:
        say(f"records: {found.summary()}", error=True)
    size = len(found.records)
    if config.budget is not None and config.budget > size:
        raise ValueError(f"budget: got {config.budget}, expected 1 … {size} records")
    if _takes(config.method, "max_size"):
        assert config.budget is not None
        with errors_name_flags(clusters="budget"):
            check_sizes(size, config.budget, config.max_size or 10)
    # Read before anything is embedded: a bad file ends here.
    given: dict[str, Any] = {}
    if config.rankings is not None:
        given["ranker"] = instructions.ReplayRanker(config.rankings)
    elif "teacher" in METHODS[config.method].needs and config.groups is None:
        assert config.out_dir is not None
        report = pathlib.Path(config.out_dir) / "teacher.json"
        given["ranker"] = Teacher(config, stop, report)
    pool = _pool(config, found.records, stop)
    stop.check()
    if config.groups is not None:
        _write_groups(config, pool)
        return
    if _takes(config.method, "budget"):
        given |= {"budget": config.budget, "key": jax.random.key(config.seed)}
    try:
        chosen = METHODS[config.method].make(pool, **given, **options)
    except NothingAsked:
        return
    _write(config, pool, chosen, found)


if __name__ == "__main__":
    launch(main, SelectConfig)
