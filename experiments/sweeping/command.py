"""`python -m experiments.sweep`: from flags to points, tables and a status."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import get_args

from absl import flags

from experiments.study.flags import define_flags, define_run_flags, read_config
from experiments.study.run_folder import Status
from experiments.sweeping import engines
from experiments.sweeping.choose import best
from experiments.sweeping.config import SweepConfig
from experiments.sweeping.folder import (
    SweepFolder,
    read_seconds,
    seconds_left,
    sweep_path,
)
from experiments.sweeping.grid import product, read_grid, read_points, read_values
from experiments.sweeping.jobs import Ending, Job, packed
from experiments.sweeping.launchers import Launcher, import_launcher, known_launchers
from experiments.sweeping.loop import run_points
from experiments.sweeping.packs import check as check_pack
from experiments.sweeping.packs import packs_of
from experiments.sweeping.pictures import draw_sweep
from experiments.sweeping.points import (
    BadPointsError,
    Resolved,
    delete,
    resolve_points,
    state_of,
)
from experiments.sweeping.results import SEED, Results, number, same
from robustjax import checks
from robustjax.tools.command.output import say
from robustjax.training import InterruptedRunError, StopRequest

_ONE_PROCESS = (
    *("distributed", "coordinator", "num_processes", "process_id"),
    "heartbeat_seconds",
)


def define_study_flags(arguments: Sequence[str]) -> None:
    """Defines the flags of the study that a command line names, and the sweep's own."""
    define_flags(SweepConfig)
    name = None
    for number_, argument in enumerate(arguments):
        key, equals, value = argument.partition("=")
        if key in ("--study", "-study"):
            name = value if equals else "".join(arguments[number_ + 1 : number_ + 2])
    if name is None:
        define_run_flags()
        return
    try:
        import_launcher(name)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def main(stop: StopRequest) -> None:
    """Runs the sweep that the flags describe, or says what of it is there."""
    config = read_config(SweepConfig)
    if config.best is not None:
        say(_best(config))
        return
    sweep = _Sweep(config)
    states = {point.name: state_of(point) for point in sweep.points}
    if config.dry_run:
        sweep.show(states)
        return
    sweep.run(states, stop)


def _best(config: SweepConfig) -> str:
    values = flags.FLAGS
    name, run_dir = values["name"].value, str(values["run_dir"].value)
    if name is None:
        raise ValueError("best: got no --name, expected that of a sweep")
    folder = SweepFolder.read(sweep_path(run_dir, name))
    if folder is None:
        raise ValueError(f"name: there is no sweep {name!r} in {run_dir!r}")
    return best(
        Results(folder),
        str(config.best),
        config.select,
        config.per,
        read_values("where", config.where),
    )


class _Sweep:
    """What the flags describe, all of it checked and nothing run."""

    def __init__(self, config: SweepConfig):
        if config.study is None:
            raise ValueError(
                f"study: got none, expected one of {', '.join(known_launchers())}"
            )
        self.config = config
        engines.check(config)
        self.launcher = import_launcher(config.study)
        check_pack(config.pack, self.launcher)
        given, methods = self.launcher.given()
        extra = _of_every_run()
        points = _points(config, self.launcher)
        beside = self.launcher.methods is not None and flags.FLAGS["methods"].present
        if beside and any("methods" in point for point in points):
            raise ValueError(
                "grid: got methods, which --methods gives to all points, expected it "
                "once"
            )
        try:
            self.points = resolve_points(self.launcher, points, given, methods, extra)
        except BadPointsError as error:
            for line in error.lines[:-1]:
                say(f"error: {line}", error=True)
            raise
        self.swept = list(dict.fromkeys(name for point in points for name in point))
        self.base = read_values("baseline", config.baseline)
        self.mark = read_values("mark", config.mark)
        self.where = read_values("where", config.where)
        self._check_values()
        self.over = self._over()
        self.measure = self._measure()
        text = repr((config.grid, config.points, config.seeds, given.fields, methods))
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        name = given.name or f"{self.launcher.study.name}-{digest}"
        self.path = sweep_path(given.run_dir, name)
        self.preset, self.given = given.preset, given.fields

    def _check_values(self) -> None:
        for flag, values in (("baseline", self.base), ("mark", self.mark)):
            for name, value in values.items():
                known = {p.values[name] for p in self.points if name in p.values}
                if not known and flag == "baseline":
                    # A column of the study's own table, such as method.
                    continue
                if not known:
                    checks.one_of(flag, name, self.swept)
                if not any(same(value, each) for each in known):
                    raise ValueError(
                        f"{flag}: got {name}={value}, expected one of "
                        f"{', '.join(sorted(known))}"
                    )

    @property
    def _measures(self) -> list[str]:
        return [measure.key for measure in self.launcher.study.measures]

    def _measure(self) -> str | None:
        """What is shown; by default it is seen by what the points have measured."""
        wanted, keys = self.config.measure, self._measures
        # One that ends in "*" stands for all that begin like it.
        if wanted and not any(fnmatch.fnmatchcase(wanted, key) for key in keys):
            checks.one_of("measure", wanted, keys)
        return wanted or None

    def _over(self) -> tuple[str, ...]:
        """The names that plots are drawn over: by default the last two of numbers."""
        for name in self.config.over:
            checks.one_of("over", name, self.swept)
        if len(self.config.over) > 2:
            raise ValueError(
                f"over: got {len(self.config.over)} names, expected one or two"
            )
        if self.config.over:
            return self.config.over
        several = []
        for name in self.swept:
            values = {p.values[name] for p in self.points if name in p.values}
            numbers = all(number(value) is not None for value in values)
            if name != SEED and len(values) > 1 and numbers:
                several.append(name)
        return tuple(several[-2:])

    def show(self, states: Mapping[str, Status]) -> None:
        """What would run, what has, and how long the rest may take."""
        for point in self.points:
            say(f"{states[point.name]:>10}  {point.name}  {point}")
        say(f"\n{self._counts(states)}")
        say(self._estimate(states))
        if self.config.pack > 1:
            self._packs(self._left(states))
        if self.config.engine == "slurm":
            left = self._left(states)
            say(f"\n{engines.batch_file(self.config, self.path, len(left))}")

    def _left(self, states: Mapping[str, Status]) -> list[Resolved]:
        return [p for p in self.points if states[p.name] != "finished"]

    def _packs(self, left: Sequence[Resolved]) -> dict[str, int]:
        """The number of its pack by the name of each point; says what they are."""
        if self.config.pack < 2:
            return {}
        packs, apart = packs_of(left, self.config.pack)
        line = f"packed: {len(left)} points, processes: {len(packs)}"
        if apart:
            line += f"; not together where {', '.join(apart)} differ"
        say(line)
        return {p.name: number for number, pack in enumerate(packs) for p in pack}

    def _counts(self, states: Mapping[str, Status]) -> str:
        there = list(states.values())
        return f"{len(there)} points: " + ", ".join(
            f"{there.count(state)} {state}" for state in get_args(Status)
        )

    def _estimate(self, states: Mapping[str, Status]) -> str:
        left = self._left(states)
        if not left:
            return "nothing is left to run"
        seconds = read_seconds(self.path)
        there = [(p.values, seconds[p.name]) for p in self.points if p.name in seconds]
        total = seconds_left([p.values for p in left], there)
        if total is None:
            return "no estimate: no point of this sweep has finished yet"
        return (
            f"about {total / 60:.1f} minutes of work are left, by the "
            f"{len(there)} that have finished (fewer where several run at once)"
        )

    def run(self, states: Mapping[str, Status], stop: StopRequest) -> None:
        """Runs what is left and writes the tables."""
        left = self._left(states)
        with contextlib.ExitStack() as stack:
            # Before anything is written: it can refuse.
            engine = None
            if left:
                engine = engines.make(self.config, self.path, _platforms())
                stack.callback(engine.close)
            folder = SweepFolder.write(self.path, self.points, self._about())
            say(f"sweep folder {self.path}")
            say(self._counts(states))
            if self.config.delete_incomplete:
                for point in left:
                    if states[point.name] != "new" and not delete(point):
                        say(f"another process is at work on {point}: left alone")
            failed: dict[str, str] = {}
            try:
                if engine is not None:
                    failed = run_points(
                        left,
                        self._job,
                        engine,
                        stop,
                        retries=self.config.retries,
                        report=self._reporter(folder, len(left)),
                        packs=self._packs(left),
                    )
            except InterruptedRunError:
                self._conclude(folder)
                raise
        self._conclude(folder)
        if failed:
            say(f"error: {len(failed)} of {len(self.points)} points failed", error=True)
            sys.exit(1)

    def _about(self) -> dict[str, object]:
        config = self.config
        return {
            "study": self.launcher.study.name,
            "launcher": self.launcher.name,
            "preset": self.preset,
            "base": self.given,
            "grid": config.grid,
            "swept": self.swept,
            "measure": self.measure,
            "baseline": self.base,
            "mark": self.mark,
            "over": list(self.over),
        }

    def _job(self, points: Sequence[Resolved]) -> Job:
        logs = self.path / "logs"
        logs.mkdir(exist_ok=True)

        def log(name: str) -> str:
            return os.path.abspath(logs / f"{name}.log")

        jobs = [Job(p.name, p.arguments, os.getcwd(), log(p.name)) for p in points]
        if len(jobs) == 1:
            return jobs[0]
        name = f"pack-{points[0].name.removeprefix('point-')}"
        return packed(name, jobs, log(name), _of_every_run())

    def _reporter(
        self, folder: SweepFolder, count: int
    ) -> Callable[[Resolved, str, Ending | None], None]:
        done = 0

        def report(point: Resolved, what: str, ending: Ending | None) -> None:
            nonlocal done
            done += what != "died"
            if ending is not None:
                folder.note(point.name, what, ending)
            took = "by another sweep" if ending is None else f"{ending.seconds:.0f} s"
            line = f"[{done}/{count}] {what}: {point} ({took})"
            if ending is not None and ending.note:
                line += f": {ending.note}"
            if ending is not None and ending.error:
                say(f"{line}: {ending.error}", error=True)
            else:
                say(line)

        return report

    def _conclude(self, folder: SweepFolder) -> None:
        """Tables and pictures of what is finished, from the run folders alone."""
        results = Results(folder)
        say(f"\n{len(results.finished)} of {len(folder.members)} points are finished")
        for line in results.warnings(self.base):
            say(f"warning: {line}", error=True)
        results.write(folder, self.base, self.mark)
        if not results.results:
            return
        measure = self.measure or results.first_measured(self._measures)
        found = results.chosen(measure, self.where)
        say(results.text(found, self.base, self.mark))
        over = [name for name in self.over if any(r.columns.get(name) for r in found)]
        if over:
            title = f"{self.launcher.study.name}: {self.path.name}"
            draw_sweep(self.path / "sweep.png", results, found, over, self.mark, title)
        say(f"written to {self.path}")


def _points(config: SweepConfig, launcher: Launcher) -> list[dict[str, str]]:
    if (config.grid is None) == (config.points is None):
        got = "none" if config.grid is None else "both"
        raise ValueError(f"grid: got {got} of --grid and --points, expected one")
    if config.grid is not None:
        points = product(read_grid(config.grid, launcher.takes_list))
    else:
        points = read_points(str(config.points))
    if not config.seeds:
        return points
    if any(SEED in point for point in points):
        raise ValueError("seeds: the points have seeds of their own")
    if len(set(config.seeds)) < len(config.seeds):
        raise ValueError("seeds: got one twice, expected each once")
    return [{**p, SEED: str(seed)} for p in points for seed in config.seeds]


def _platforms() -> str | None:
    return flags.FLAGS["jax_platforms"].value


def _of_every_run() -> list[str]:
    """Arguments that every point's process gets as they are."""
    for name in _ONE_PROCESS:
        if flags.FLAGS[name].value != flags.FLAGS[name].default:
            raise ValueError(
                f"{name}: a point of a sweep is one process; use --engine for several "
                "machines"
            )
    platforms = _platforms()
    return [] if platforms is None else [f"--jax_platforms={platforms}"]
