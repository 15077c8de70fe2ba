"""Points are run until each has finished or failed, whoever runs them."""

from __future__ import annotations

import collections
import errno
import pathlib
import time

import pytest

from experiments.study.launch import ending
from experiments.study.run_folder import AT_WORK, locked
from experiments.sweeping import loop
from experiments.sweeping.folder import (
    SweepFolder,
    read_seconds,
    seconds_left,
    sweep_path,
)
from experiments.sweeping.jobs import Ending, Job, Running, packed, run_job
from experiments.sweeping.loop import run_points
from experiments.sweeping.points import state_of
from experiments.sweeping.results import Results
from robustjax.training import InterruptedRunError, StopRequest
from tests.harness.stops import AfterChecks
from tests.harness.toy_points import run_toy, toy_points

KILLED = Ending(-9, 1.0, "killed by SIGKILL")


class InProcess:
    """Runs a job where it is started; `kills` are how often each dies, and where."""

    def __init__(self, points, kills=(), at_once=2):
        self._points = {point.name: point for point in points}
        self._kills, self._at_once = collections.deque(kills), at_once
        self._ended, self.started, self.closed = [], [], False
        self.together = []

    def free(self):
        return self._at_once - len(self._ended)

    def start(self, jobs):
        assert len(jobs) <= self.free()
        for job in jobs:
            members = job.members or (job,)
            self.together.append(len(members))
            for each in members:
                self.started.append(each.name)
                self._ended.append((each, self._run(self._points[each.name])))

    def _run(self, point):
        kill = self._kills.popleft() if self._kills else None
        if kill == 0:
            return KILLED
        try:
            run_toy(point, AfterChecks(kill or 10**9))
        except InterruptedRunError:
            return KILLED
        except ValueError as error:
            return Ending(2, 1.0, f"error: {error}")
        return Ending(0, 1.0)

    def ended(self):
        found, self._ended = self._ended, []
        return found

    def close(self):
        self.closed = True


def job_of(points):
    jobs = [Job(point.name, point.arguments, "", "") for point in points]
    return jobs[0] if len(jobs) == 1 else packed("pack", jobs, "", ())


def run(points, engine, stop=None, retries=2, packs=None):
    said = []
    failed = run_points(
        points,
        job_of,
        engine,
        stop or StopRequest(),
        retries=retries,
        report=lambda point, what, ending: said.append((str(point), what)),
        packs=packs,
    )
    return failed, said


def bytes_of(run_dir, points):
    folder = SweepFolder.write(sweep_path(str(run_dir), "s"), points, {})
    results = Results(folder)
    results.write(folder, {}, {})
    names = ("results.csv", "summary.csv")
    return {name: (folder.path / name).read_bytes() for name in names}


@pytest.fixture
def whole(tmp_path):
    points = toy_points(tmp_path / "whole", "rate=0.2,0.5; sizes=1,2; seed=0,1")
    engine = InProcess(points)
    failed, said = run(points, engine)
    assert failed == {}
    assert [what for _, what in said] == ["finished"] * 8
    assert engine.closed
    return bytes_of(tmp_path / "whole", points)


def test_deaths_continue_and_leave_the_same_bytes(tmp_path, whole):
    points = toy_points(tmp_path / "dies", "rate=0.2,0.5; sizes=1,2; seed=0,1")
    # At once, and after one and two records of three; then to the end.
    engine = InProcess(points, [0, 1, 2, 0, 1, 1, 2, None, 0, 2])
    failed, said = run(points, engine)
    assert failed == {}
    counts = collections.Counter(what for _, what in said)
    assert counts == {"finished": 8, "died": 9}
    assert bytes_of(tmp_path / "dies", points) == whole


def test_points_of_a_pack_start_together_and_each_is_judged_alone(tmp_path, whole):
    points = toy_points(tmp_path / "packs", "rate=0.2,0.5; sizes=1,2; seed=0,1")
    packs = {point.name: number // 3 for number, point in enumerate(points[:6])}
    engine = InProcess(points, [0, None, 1], at_once=2)
    failed, said = run(points, engine, packs=packs)
    assert failed == {}
    # The two that died are a job again.
    assert sorted(engine.together) == [1, 1, 2, 3, 3]
    assert engine.together[:2] == [3, 3]
    counts = collections.Counter(what for _, what in said)
    assert counts == {"finished": 8, "died": 2}
    assert bytes_of(tmp_path / "packs", points) == whole


def test_of_a_process_of_points_each_has_its_own_line_and_share(tmp_path):
    logs = [str(tmp_path / name) for name in ("a", "b", "c")]
    pathlib.Path(logs[0]).write_text("error: of an earlier attempt\n")
    code = (
        "import sys; open(sys.argv[1], 'a').write('error: its own\\n'); "
        "open(sys.argv[2], 'a').write('not packed with a: x\\nfinished\\n'); "
        "sys.exit(1)"
    )
    members = tuple(Job(n, (), "", log) for n, log in zip("ab", logs))
    job = Job("pack", ("-c", code, *logs), str(tmp_path), logs[2], members=members)
    running = Running(job)
    while (found := running.poll()) is None:
        time.sleep(0.01)
    assert [each.name for each, _ in found] == ["a", "b"]
    (_, first), (_, second) = found
    assert (first.status, first.error, first.note) == (1, "error: its own", "")
    assert second.note == "not packed with a: x"
    assert running.wait().error == "ended with status 1"
    assert first.seconds <= running.wait().seconds


def test_what_dies_without_coming_further_fails_in_the_end(tmp_path):
    (point,) = toy_points(tmp_path, "rate=0.2", epochs=9)
    # Deaths that came further do not count.
    engine = InProcess([point], [1, 1, 0, 1, 0, 0, 1, 1], at_once=1)
    failed, said = run([point], engine)
    assert failed == {}
    assert len(said) == 9
    (other,) = toy_points(tmp_path, "rate=0.5", epochs=9)
    failed, _ = run([other], InProcess([other], [2, 0, 0, 0], at_once=1))
    assert failed == {
        other.name: "died 3 times without coming further: killed by SIGKILL"
    }
    # The next sweep continues it.
    assert run([other], InProcess([other], at_once=1)) == (
        {},
        [("rate=0.5", "finished")],
    )


def test_a_failure_is_one_points_own_and_is_tried_again(tmp_path):
    points = toy_points(tmp_path, "rate=0.2,0.13,0.5")
    for _ in range(2):
        engine = InProcess(points)
        failed, said = run(points, engine)
        assert failed == {points[1].name: "error: rate: got 0.13, expected more luck"}
        assert ("rate=0.13", "failed") in said
    # Only what had failed was started.
    assert engine.started == [points[1].name]
    assert said[0] == ("rate=0.2", "finished")


def test_a_grid_that_has_grown_runs_what_is_new(tmp_path):
    few = toy_points(tmp_path, "rate=0.2,0.5")
    run(few, InProcess(few))
    folder = SweepFolder.write(sweep_path(str(tmp_path), "s"), few, {})
    more = toy_points(tmp_path, "rate=0.1,0.2,0.5; seed=0,1")
    engine = InProcess(more)
    run(more, engine)
    assert len(engine.started) == 4
    assert len(SweepFolder.write(folder.path, more, {}).members) == 6
    with pytest.raises(ValueError, match="points that are not among these"):
        SweepFolder.write(folder.path, few, {})
    raw = (folder.path / "sweep.json").read_text()
    (folder.path / "sweep.json").write_text(raw.replace("0.1", "0.3"))
    with pytest.raises(ValueError, match="cannot be read as a sweep, or was altered"):
        SweepFolder.read(folder.path)


def test_a_point_that_another_sweep_is_at_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_BUSY_SECONDS", 0.01)
    points = toy_points(tmp_path, "rate=0.2,0.5")
    with pytest.raises(InterruptedRunError):
        # Asked to stop while the first was dying: it is begun, not finished.
        run(points[:1], InProcess(points, [1, 1, 1], at_once=1), AfterChecks(2))
    lock = locked(points[0].folder)
    lock.__enter__()

    class Other(InProcess):
        polls = 0

        def ended(self):
            self.polls += 1
            if self.polls == 4:
                lock.__exit__(None, None, None)
            return super().ended()

    engine = Other(points)
    assert run(points, engine)[0] == {}
    assert engine.started == [points[1].name, points[0].name]
    assert engine.polls > 4
    # Found to be at work only by the job itself: no attempt is counted.
    (third,) = toy_points(tmp_path, "rate=0.7")
    engine = InProcess([third], at_once=1)
    inner = engine._run
    answers = iter([Ending(2, 1.0, "error: run_dir: another process is at work in x")])
    engine._run = lambda point: next(answers, None) or inner(point)
    assert run([third], engine, retries=0) == ({}, [("rate=0.7", "finished")])


def test_a_sweep_that_is_stopped_closes_its_engine(tmp_path):
    points = toy_points(tmp_path, "rate=0.2,0.5,0.7")
    engine = InProcess(points, at_once=1)
    with pytest.raises(InterruptedRunError):
        run(points, engine, AfterChecks(2))
    assert engine.closed
    assert [state_of(point) for point in points].count("finished") == 1


def test_a_full_disk_stops_the_sweep_and_its_jobs(tmp_path):
    points = toy_points(tmp_path, "rate=0.2,0.5")
    engine = InProcess(points, at_once=1)

    def report(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "attempts.jsonl")

    with pytest.raises(OSError, match="No space left") as error:
        run_points(points, job_of, engine, StopRequest(), retries=0, report=report)
    assert engine.closed
    line, status = ending(error.value)
    assert line.startswith("error: the disk is full while writing 'attempts.jsonl'")
    assert status == 1
    # What had finished is not run again.
    engine = InProcess(points, at_once=1)
    assert run(points, engine)[0] == {}
    assert engine.started == [points[1].name]


def test_the_time_left_is_that_of_the_nearest_finished_points(tmp_path):
    points = toy_points(tmp_path, "rate=0.2,0.5")
    folder = SweepFolder.write(sweep_path(str(tmp_path), "s"), points, {})
    assert read_seconds(folder.path) == {}
    folder.note(points[0].name, "died", Ending(-9, 3.0))
    folder.note(points[1].name, "failed", Ending(1, 5.0))
    assert read_seconds(folder.path) == {}
    folder.note(points[0].name, "finished", Ending(0, 4.0))
    with open(folder.path / "attempts.jsonl", "a") as file:
        file.write('{"point": "torn')
    assert read_seconds(folder.path) == {points[0].name: 7.0}
    there = [({"m": "ce", "r": "1"}, 2.0), ({"m": "sop", "r": "1"}, 10.0)]
    assert seconds_left([], []) is None
    assert seconds_left([{"m": "sop", "r": "2"}], there) == 10.0
    assert seconds_left([{"m": "elr", "r": "1"}, {"m": "ce", "r": "2"}], there) == 8.0


@pytest.mark.parametrize("begin", ["", "x:   0%|   | 0/3 [00:00<?, ?epoch/s]"])
def test_the_error_is_found_among_what_another_process_prints(begin, tmp_path):
    said = f"{begin}error: run_dir: {AT_WORK} 'x'"
    code = f"import sys; print({said!r}); print('random is finished'); sys.exit(2)"
    log = tmp_path / "log"
    log.write_text("error: of an earlier attempt\n")
    found = run_job(Job("point", ("-c", code), str(tmp_path), str(log)))
    assert (found.status, found.error) == (2, f"error: run_dir: {AT_WORK} 'x'")
