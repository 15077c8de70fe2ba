"""Selects from every pool at every budget, and measures what was chosen."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.studies.instruction_selection.config import InstructionSelectionConfig
from experiments.studies.instruction_selection.fine_tuning import FineTuning
from experiments.studies.instruction_selection.pools import Pools
from experiments.study.journal import Cell, Journal
from robustjax.methods import instructions
from robustjax.methods.instructions import (
    InstructionPool,
    PromptedRanker,
    RecordScores,
    TeacherReport,
)
from robustjax.tools.method_choice import Choice
from robustjax.tools.teacher import Teacher, counted
from robustjax.training import StopRequest, advance, progress_bar

SELECTED = "selected"
RANKED = "answer_ranks"
TEACHER = "teacher"
RANKS_CELL = "data/answer_ranks"
HELD_OUT = "held_out"
UNTUNED = "untuned"
UNTUNED_CELL = "data/untuned"

# Beyond the numbers of shares, whose keys are the selectors'.
_TUNING_KEY = 1000


class Task(NamedTuple):
    """One cell: a method on the pool of one repeat.

    Attributes:
      label: of the method.
      repeat: its number.
      noise: of the oracle that is its teacher; None where it asks none.
    """

    label: str
    repeat: int
    noise: float | None

    @property
    def cell(self) -> str:
        """Its name."""
        teacher = "" if self.noise is None else f"teacher_{self.noise:g}/"
        return f"{self.label}/{teacher}repeat_{self.repeat}"

    @property
    def name(self) -> str:
        """Of its columns in `examples.csv`."""
        return self.label if self.noise is None else f"{self.label}_{self.noise:g}"


def tasks_of(choice: Choice, config: InstructionSelectionConfig) -> list[Task]:
    """All cells, in the order of the tables."""
    oracle = config.teacher == "oracle"
    return [
        Task(label, repeat, noise)
        for label, entry in choice.chosen.items()
        for noise in (
            config.teacher_noise if oracle and "teacher" in entry.needs else (None,)
        )
        for repeat in range(config.repeats)
    ]


def max_size_of(size: int, clusters: int, wanted: int) -> int:
    """Records of a cluster at most: as wanted, or twice the mean where that is more."""
    return max(wanted, 2 * -(-size // clusters))


class Runner:
    """Runs the cells of a study, those of a repeat together."""

    def __init__(
        self,
        config: InstructionSelectionConfig,
        choice: Choice,
        pools: Pools,
        scores: RecordScores | None,
        embed: Callable[[Sequence[str]], np.ndarray],
        ranker: PromptedRanker | None = None,
        tuning: FineTuning | None = None,
    ):
        """Embeds nothing yet.

        Args:
          config: every flag.
          choice: of the methods.
          pools: what they choose from.
          scores: of all records, or None.
          embed: texts to vectors; called once for all texts of a kind.
          ranker: the teacher; None for an oracle.
          tuning: of a model on every selection; None for none.
        """
        self._config, self._choice, self._pools = config, choice, pools
        self._scores, self._embed, self._ranker = scores, embed, ranker
        self._tuning = tuning
        self._vectors: np.ndarray | None = None

    def run(self, journal: Journal, stop: StopRequest) -> None:
        """Runs what is not finished."""
        tasks = tasks_of(self._choice, self._config)
        if self._tuning is not None and not journal.finished(UNTUNED_CELL):
            self._untuned(journal.cell(UNTUNED_CELL), self._tuning)
        with progress_bar(len(tasks), "selections", unit="cell") as bar:
            for repeat in range(self._config.repeats):
                mine = [task for task in tasks if task.repeat == repeat]
                left = [task for task in mine if not journal.finished(task.cell)]
                bar.update(len(mine) - len(left))
                if not left:
                    continue
                pool = self._pool(repeat)
                groups: dict[int, list[np.ndarray]] = {}
                for task in left:
                    stop.check()
                    self._select(journal.cell(task.cell), task, pool, groups, stop)
                    advance(bar)
        if self._ranks_answers and not journal.finished(RANKS_CELL):
            stop.check()
            self._rank_answers(journal.cell(RANKS_CELL))

    @property
    def _ranks_answers(self) -> bool:
        return self._config.answer_ranks and bool(self._pools.own.size)

    def _all_vectors(self) -> np.ndarray:
        if self._vectors is None:
            texts = [f"{r.question}\n{r.output}" for r in self._pools.records]
            self._vectors = self._embed(texts)
        return self._vectors

    def _pool(self, repeat: int) -> InstructionPool:
        rows = self._pools.rows[repeat]
        scores = None
        if self._scores is not None:
            scores = RecordScores(*(column[rows] for column in self._scores))
        records = [self._pools.records[row] for row in rows.tolist()]
        return InstructionPool(records, self._all_vectors()[rows], scores=scores)

    def _select(
        self,
        cell: Cell,
        task: Task,
        pool: InstructionPool,
        groups: dict[int, list[np.ndarray]],
        stop: StopRequest,
    ) -> None:
        cell.rewind(0)
        config, entry = self._config, self._choice.chosen[task.label]
        rows = self._pools.rows[task.repeat]
        wrong = self._pools.wrong[rows]
        lengths = instructions.token_counts(pool)
        repeat_key = jax.random.fold_in(jax.random.key(config.seed), task.repeat)
        columns: dict[str, Any] = {"method": task.label}
        if task.noise is not None:
            columns["teacher_noise"] = task.noise
        kept = []
        started = time.monotonic()
        for number, share in enumerate(config.shares):
            stop.check()
            budget = max(1, round(share * len(rows)))
            key = jax.random.fold_in(repeat_key, number)
            given: dict[str, Any] = {"budget": budget, "key": key}
            given |= self._choice.values[task.label]
            if "max_size" in entry.options:
                if number not in groups:
                    # As the selectors themselves make them.
                    groups[number] = instructions.instruction_groups(
                        pool,
                        budget,
                        max_size_of(len(rows), budget, config.max_size),
                        key=jax.random.split(key)[0],
                    )
                given["groups"] = groups[number]
            if task.noise is not None:
                ids = [pool.records[i].id for i in np.flatnonzero(wrong).tolist()]
                given["ranker"] = instructions.OracleRanker({}, ids, task.noise)
            elif "teacher" in entry.needs:
                assert self._ranker is not None
                tell = functools.partial(_tell, cell, task, share)
                given["ranker"] = Teacher(self._ranker, stop, tell)
            with self._choice.errors(task.label):
                chosen = entry.make(pool, **given).selection.indices
            found = instructions.share_kept(chosen, wrong)
            values = {
                "kept": found.kept,
                "among_kept": found.among_kept,
                "selected": found.expected[0],
                "lift": found.among_kept / found.expected[1],
                "p_fewer": found.p_fewer,
                "radius": instructions.covering_radius(pool.embeddings, chosen),
                "tokens": float(lengths[chosen].mean()),
            }
            mask = np.zeros(len(rows), bool)
            mask[chosen] = True
            if self._tuning is not None:
                if not len(chosen):
                    raise ValueError(
                        f"shares: {task.name} keeps nothing at {share:g}, expected "
                        "something to train on"
                    )
                measured = self._tuning.tuned(
                    [pool.records[row] for row in np.flatnonzero(mask).tolist()],
                    budget,
                    jax.random.fold_in(repeat_key, _TUNING_KEY + number),
                    cell.folder / f"tuned_{number}",
                    stop,
                )
                values |= measured.values
                where = {**columns, "share": share, "repeat": task.repeat}
                cell.attach_arrays(
                    HELD_OUT, f"{HELD_OUT}_{number}.npz", measured.answers, **where
                )
                cell.keep(
                    task.name,
                    np.array([self._pools.score_ids[row] for row in rows.tolist()]),
                    {"repeat": task.repeat},
                    **{f"kept_{share:g}": mask},
                )
            cell.result(
                {**columns, "share": share},
                {name: [value] for name, value in values.items()},
                repeats=[task.repeat],
            )
            kept.append(mask[wrong])
        cell.attach_arrays(
            SELECTED,
            "wrong_kept.npz",
            {"rows": rows[wrong], "kept": np.array(kept)},
            **columns,
            repeat=task.repeat,
            shares=config.shares,
            seconds=round(time.monotonic() - started, 3),
        )
        cell.finish()

    def _untuned(self, cell: Cell, tuning: FineTuning) -> None:
        """What there is before any training, the same in every repeat."""
        cell.rewind(0)
        measured = tuning.untuned()
        repeats = range(self._config.repeats)
        columns = {"method": UNTUNED}
        cell.result(
            columns,
            {name: [value] * len(repeats) for name, value in measured.values.items()},
            repeats=repeats,
        )
        cell.attach_arrays(HELD_OUT, f"{HELD_OUT}.npz", measured.answers, **columns)
        cell.finish()

    def _rank_answers(self, cell: Cell) -> None:
        """Ranks HaluEval's answers among the records, and by the answers alone."""
        cell.rewind(0)
        pools = self._pools
        # The records as they came, with their own answers.
        base = np.arange(int(pools.others.min()))
        arrays = {"marked": pools.wrong[pools.others]}
        for kind in ("records", "answers"):
            if kind == "records":
                vectors = self._all_vectors()
            else:
                vectors = self._embed([each.output for each in pools.records])
            arrays[kind] = instructions.answer_ranks(
                vectors[base], pools.own, vectors[pools.others]
            )
        cell.attach_arrays(RANKED, "ranks.npz", arrays, size=len(base))
        cell.finish()


def _tell(cell: Cell, task: Task, share: float, report: TeacherReport) -> None:
    cell.write(
        TEACHER, method=task.label, repeat=task.repeat, share=share, **counted(report)
    )
