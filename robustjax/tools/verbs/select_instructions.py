"""Selects instructions for a language model: the verb `select-instructions`."""

from __future__ import annotations

import functools
import inspect
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from robustjax import checks, data, methods
from robustjax.data._located_json import read_objects
from robustjax.files import write_atomically
from robustjax.methods import instructions
from robustjax.methods.instructions import (
    InstructionPool,
    InstructionSelection,
    TeacherReport,
)
from robustjax.output_paths import check_output_file, check_output_folder
from robustjax.selection._size_constrained_kmeans import check_sizes
from robustjax.tools.array_files import in_order_of, read_rows
from robustjax.tools.command.output import say
from robustjax.tools.options.select_instructions import SelectInstructionsConfig
from robustjax.tools.record_scores import read_scores
from robustjax.tools.teacher import (
    DryRun,
    NothingAsked,
    Teacher,
    check_teacher,
    counted,
    prompted_ranker,
)
from robustjax.tools.text_embedding import check_embedding, embedding_of
from robustjax.training import StopRequest, write_csv

METHODS = {
    entry.name: entry
    for entry in methods.entries("instructions")
    if "gradients" not in entry.needs
}
_OPTIONS = ("max_size", "threshold", "of", "by", "fallback")
_COLUMNS = ("id", "kept", "cluster", "rank", "reason", "line")


def _check(config: SelectInstructionsConfig) -> dict[str, Any]:
    """The method's options; raises `ValueError` for a bad option, before any work."""
    entry = METHODS[config.method]
    wanted = ["records", *(["budget"] if _takes(config.method, "budget") else [])]
    by = config.by or "rating"
    wanted += ["ratings"] if "ratings" in entry.needs and by == "rating" else []
    needs_scores = "scores" in entry.needs or by in ("perplexity", "ifd")
    wanted += ["scores"] if needs_scores else []
    teacher = "teacher" in entry.needs
    asks = check_teacher(config)
    if config.dry_run and config.base_url is None:
        raise ValueError("dry_run: a server is asked for what it takes: give base_url")
    if asks and not teacher:
        raise ValueError(f"method: {config.method} asks no teacher")
    for name in ("rankings", "groups"):
        if asks and getattr(config, name) is not None:
            raise ValueError(f"{name}: got a file beside a teacher, expected one")
    if config.groups is None:
        wanted += ["rankings"] if teacher and not asks else []
        wanted += ["out"]
    for name in wanted:
        if getattr(config, name) is None:
            also = ""
            if name == "rankings":
                also = ", --groups=…, or a teacher by --base-url or --model-folder"
            raise ValueError(f"{name}: got nothing, expected --{name}=…{also}")
    of_teacher = [] if teacher else ["rankings", "groups"]
    for name in ("budget", *_OPTIONS, *of_teacher):
        if getattr(config, name) is not None and not _takes(config.method, name):
            raise ValueError(f"{name}: {config.method} does not take it")
    if config.scores is not None and not needs_scores:
        raise ValueError(f"scores: {config.method} does not take any")
    if config.embeddings is not None and config.embedding_model is not None:
        raise ValueError("embedding_model: got one beside embeddings, expected one")
    check_embedding(config.embedding, config.embedding_model, config.cache)
    if config.fallback == "rating" and config.ratings is None:
        raise ValueError("ratings: got nothing, expected --ratings=… to fall back on")
    read = ("records", "ratings", "embeddings", "rankings", "scores")
    inputs = {name: getattr(config, name) for name in read}
    if config.groups is not None:
        check_output_file("groups", config.groups, inputs=inputs)
    elif config.out is not None:
        check_output_folder("out", config.out)
    given = {name: getattr(config, name) for name in _OPTIONS}
    return {name: value for name, value in given.items() if value is not None}


def _takes(method: str, argument: str) -> bool:
    return argument in inspect.signature(METHODS[method].make).parameters


def _embeddings(
    config: SelectInstructionsConfig,
    records: Sequence[data.Record],
    stop: StopRequest,
) -> np.ndarray:
    if config.embeddings is not None:
        names = [each.id for each in records]
        return _rows_of_records(config.embeddings, names, "embeddings")
    texts = [f"{each.question}\n{each.output}" for each in records]
    embed = embedding_of(config.embedding, config.embedding_model, config.cache)
    return embed(texts, stop)


def _pool(
    config: SelectInstructionsConfig,
    records: Sequence[data.Record],
    stop: StopRequest,
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
                "records; robustjax score-instructions goes on where it was"
            )
    embeddings = None
    if "features" in entry.needs or config.embeddings is not None:
        embeddings = _embeddings(config, records, stop)
    return InstructionPool(records, embeddings, ratings, scores)


def _rows_of_records(path: str, ids: Sequence[str], name: str) -> np.ndarray:
    """An array of a file, a row per record: by id where the file has `ids`.

    Raises:
      ValueError: a file that cannot be read, or other ids than the records'.
    """
    rows = read_rows(path, name)
    if rows.ids is None:
        return rows.array
    size = len(ids)
    known = data.Dataset(
        np.zeros((size, 1)),
        np.zeros(size, np.int32),
        np.array(ids),
        ("record",),
        "the records",
    )
    return in_order_of(known, rows, path=path, name=name)


def read_ratings(path: str, ids: Sequence[str], *, name: str = "ratings") -> np.ndarray:
    """Ratings of all records, by position in an array or by id in a table.

    Args:
      path: an `.npy` or `.npz` file (by id where it has `ids`), a `.csv` file, or JSON
        lines or a JSON array of objects; the last three with `id` and `rating`.
      ids: of the records.
      name: what to call the file in an error.

    Raises:
      ValueError: a file that cannot be read, an id that is missing or there twice, a
        rating that is no number.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix in (".npy", ".npz"):
        return _rows_of_records(path, ids, name)
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


def _write_groups(config: SelectInstructionsConfig, pool: InstructionPool) -> None:
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
    config: SelectInstructionsConfig,
    pool: InstructionPool,
    chosen: InstructionSelection,
    found: data.Instructions,
) -> None:
    assert config.out is not None
    folder = pathlib.Path(config.out)
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


def _tell(path: pathlib.Path, report: TeacherReport) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(counted(report), indent=2) + "\n")
    say(
        f"the teacher ranked {report.ranked:,} clusters, dropped all of "
        f"{report.all_dropped:,} and answered {report.malformed:,} in no readable "
        f"way; {path} tells more"
    )


def main(config: SelectInstructionsConfig, stop: StopRequest) -> None:
    """Selects, and writes the records and the table."""
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
        with checks.errors_name(clusters="budget"):
            check_sizes(size, config.budget, config.max_size or 10)
    # Read before anything is embedded: a bad file ends here.
    given: dict[str, Any] = {}
    if config.rankings is not None:
        given["ranker"] = instructions.ReplayRanker(config.rankings)
    elif "teacher" in METHODS[config.method].needs and config.groups is None:
        assert config.out is not None
        ranker = prompted_ranker(config, check=not config.dry_run)
        report = pathlib.Path(config.out) / "teacher.json"
        tell = functools.partial(_tell, report)
        given["ranker"] = (
            DryRun(ranker) if config.dry_run else Teacher(ranker, stop, tell)
        )
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
