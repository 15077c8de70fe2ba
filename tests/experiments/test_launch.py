"""Every way to end is one line and the right status."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from experiments.study.launch import ending
from robustjax import data
from robustjax.files import original_cell, safe_cell
from robustjax.tools import compilation_cache
from robustjax.tools.command import output
from robustjax.training import InterruptedRunError, NonFiniteLossError, write_csv
from tests.harness.forked import ROOT, Command
from tests.harness.several_processes import free_address

# A launcher in one file: its main function is what the test is about.
SCRIPT = """
import sys, time
from experiments.study.launch import launch
from robustjax.tools.command.output import say
import jax

def main(stop):
{body}

launch(main)
"""


def code(body):
    """A launcher's text."""
    return SCRIPT.format(body="\n".join(f"    {line}" for line in body.splitlines()))


def run(body, *arguments):
    """Starts a launcher."""
    return Command("-c", code(body), *arguments)


def run_anew(body, *arguments, **environment):
    """Starts a launcher that reads the environment when it imports JAX."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(
        [sys.executable, "-c", code(body), *arguments],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def raised(error):
    """The error, with the traceback of one that this library raises itself."""
    scope = {"__name__": "robustjax.somewhere", "error": error}
    try:
        exec("raise error", scope)
    except BaseException as caught:
        return caught


CAUSED = ValueError("could not write")
CAUSED.__cause__ = RuntimeError("orbax: writing 'x': No space left on device [28]")


@pytest.mark.parametrize(
    ("error", "status", "parts"),
    [
        (InterruptedRunError("stopped by SIGTERM"), 143, ["SIGTERM", "same command"]),
        (InterruptedRunError("stopped by SIGINT"), 130, ["SIGINT", "same command"]),
        (KeyboardInterrupt(), 130, ["SIGINT"]),
        (NonFiniteLossError("loss: non-finite"), 1, ["loss: non-finite"]),
        (OSError(errno.ENOSPC, "No space left on device"), 1, ["disk is full"]),
        (OSError(errno.EDQUOT, "Quota", "a.csv"), 1, ["disk is full", "'a.csv'"]),
        (CAUSED, 1, ["disk is full", "same command"]),
        (MemoryError("Unable to allocate 8 TiB"), 1, ["out of memory", "8 TiB"]),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory: 9 bytes"),
            1,
            ["out of memory", "RESOURCE_EXHAUSTED"],
        ),
        (PermissionError(errno.EACCES, "Denied", "b.csv"), 1, ["'b.csv': Denied"]),
    ],
)
def test_errors_end_in_one_line(error, status, parts):
    line, code = ending(error)
    assert code == status
    assert "\n" not in line
    assert all(part in line for part in parts), line


def test_bad_arguments_end_with_status_2_and_bugs_are_shown():
    assert ending(raised(ValueError("seed: got -1"))) == ("error: seed: got -1", 2)
    assert ending(ValueError("from a dependency")) is None
    assert ending(raised(RuntimeError("a bug"))) is None
    assert ending(jax.errors.JaxRuntimeError("INTERNAL: a bug")) is None


@pytest.mark.slow
def test_signals_bad_platforms_and_closed_pipes():
    """As processes of their own, all at once."""
    waits = "say('ready')\nfor _ in range(600):\n    time.sleep(0.1)\n    stop.check()"
    terminated, interrupted = run(waits), run(waits)
    impatient = run("say('ready')\ntime.sleep(60)")
    no_gpu = run_anew("say('began')", JAX_PLATFORMS="cuda")
    no_tpu = run_anew("say('began')", "--jax_platforms=tpu", JAX_PLATFORMS="cpu")
    unknown = run("say('began')", "--sede=1")
    helps = run("say('began')", "--help")
    address = free_address()
    joined = [
        run(
            "say(f'{jax.process_count()} processes')",
            f"--coordinator={address}",
            "--num_processes=2",
            f"--process_id={index}",
        )
        for index in range(2)
    ]
    alone = run("say('began')", "--num_processes=2")
    closed = run(
        "say('first')\ntime.sleep(2)\n"
        "for _ in range(2000):\n    print('more' * 100)\n"
        "print('results written', file=sys.stderr)"
    )
    assert closed.stdout.readline() == "first\n"
    closed.stdout.close()
    for process, number, status in (
        (terminated, signal.SIGTERM, 143),
        (interrupted, signal.SIGINT, 130),
    ):
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=240)
        name = number.name
        want = f"stopped by {name}; run the same command again to continue\n"
        assert (process.returncode, errors) == (status, want)
    assert impatient.stdout.readline() == "ready\n"
    impatient.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert impatient.poll() is None
    impatient.send_signal(signal.SIGINT)
    impatient.communicate(timeout=240)
    assert impatient.returncode == -signal.SIGINT
    for process, start in (
        (no_gpu, "error: JAX_PLATFORMS: got cuda, expected a platform of this machine"),
        (no_tpu, "error: jax_platforms: got tpu, expected a platform of this machine"),
        (unknown, "error: Unknown command line flag 'sede'"),
        (alone, "error: coordinator: got nothing beside --num_processes"),
    ):
        out, errors = process.communicate(timeout=240)
        assert process.returncode == 2, errors
        assert out == ""
        (line,) = errors.splitlines()
        assert line.startswith(start), line
    out, errors = helps.communicate(timeout=240)
    assert (helps.returncode, errors) == (0, "")
    assert "--coordinator" in out
    assert "began" not in out
    assert closed.communicate(timeout=240) == ("", "results written\n")
    assert closed.returncode == 0
    ends = [process.communicate(timeout=240) for process in joined]
    assert [process.returncode for process in joined] == [0, 0], ends
    assert [out for out, _ in ends] == ["2 processes\n", ""]


def test_other_processes_print_nothing(monkeypatch, capsys):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    output.say("twice")
    monkeypatch.setattr(jax, "process_index", lambda: 0)
    output.say("once", 1)
    output.say("problem", error=True)
    assert capsys.readouterr() == ("once 1\n", "problem\n")


def test_no_cache_that_others_can_write_to(tmp_path, monkeypatch):
    updates = {}
    monkeypatch.setattr(jax.config, "update", updates.__setitem__)
    folder = tmp_path / "cache"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
    assert compilation_cache.enable_compilation_cache() is None
    assert updates["jax_compilation_cache_dir"] == str(folder)
    assert folder.stat().st_mode & 0o77 == 0
    for mode in (0o770, 0o707):
        folder.chmod(mode)
        warning = compilation_cache.enable_compilation_cache()
        assert "can be written to by others" in warning
        assert "\n" not in warning
    assert updates["jax_enable_compilation_cache"] is False
    folder.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    assert "another user" in compilation_cache.enable_compilation_cache()


def _lying(path):
    """An array whose header promises a million times what is there."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
        )
        file.write(bytes(80))


def test_files_that_lie_or_wait_are_refused_at_once(tmp_path):
    (tmp_path / "empty.npz").write_bytes(b"")
    _lying(tmp_path / "lies.npz")
    os.mkfifo(tmp_path / "pipe.npz")
    os.mkfifo(tmp_path / "labels.csv")
    for name in ("empty.npz", "lies.npz", "pipe.npz"):
        with pytest.raises(ValueError, match="path: cannot read ") as error:
            data.load(str(tmp_path / name), "train")
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"labels\.csv': it is no ordinary file"):
        data.read_csv(tmp_path / "labels.csv", name="labels")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe.* is neither an .npz file nor a folder"):
        data.load(str(tmp_path / "pipe"), "train")


def test_a_small_file_of_more_arrays_than_memory(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", inputs=np.zeros((1 << 20,)))
    pages = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 1 << 20}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    with pytest.raises(ValueError, match="GiB of arrays, more than this machine's"):
        data.read_arrays(tmp_path / "bomb.npz", "dataset")


FORMULAS = ["=1+1", "+cmd", "-a", "@x", "\tx", "\rx", "'=x", "''+y"]
ORDINARY = ["-5", "+1.5e3", "-inf", "owl", "'owl", "", "a=b", "''"]


def test_no_cell_is_a_formula_and_ids_survive(tmp_path):
    texts = FORMULAS + ORDINARY
    write_csv(tmp_path / "x.csv", ({"id": t, "value": -0.5} for t in texts))
    content = (tmp_path / "x.csv").read_bytes().decode()
    assert "\n'=1+1,-0.5\n" in content
    assert "\n-5,-0.5\n" in content
    for text in FORMULAS:
        assert safe_cell(text) == f"'{text}"
    assert [safe_cell(text) for text in ORDINARY] == ORDINARY
    assert [original_cell(safe_cell(text)) for text in texts] == texts
    rows = data.read_csv(tmp_path / "x.csv", name="x")
    assert [row["id"] for row in rows] == texts


def test_labels_join_by_ids_that_look_like_formulas(tmp_path):
    names = ("=owl", "crow")
    dataset = data.make_dataset(
        np.zeros((3, 2)), [0, 1, 0], ids=["=a", "-b", "'=a"], class_names=names
    )
    rows = (
        {"id": name, "label": names[label]}
        for name, label in zip(dataset.ids, dataset.labels)
    )
    write_csv(tmp_path / "labels.csv", rows)
    found, labels = data.read_labels(
        tmp_path / "labels.csv", dataset, "label", name="labels"
    )
    np.testing.assert_array_equal(found, [0, 1, 2])
    np.testing.assert_array_equal(labels, dataset.labels)
