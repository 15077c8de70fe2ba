"""What a person sees of a process that JAX's runtime ends, or that ends itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from experiments.study.fatal_page import Telling, lost_line, say_last

_NOTICED = (
    "E1130 08:14:08.838311   12742 coordination_service_agent.cc:289] Polled an error "
    "from coordination service (this can be an error from this or another task).\n"
)
_FATAL = (
    "F1130 08:14:08.838445   12742 client.h:80] Terminating process because the JAX "
    "distributed service detected fatal errors. This most likely indicates that "
    "another task died. absl::Status: UNAVAILABLE: Failed to send RPC to the service.\n"
)
_TRACE = "*** Check failure stack trace: ***\n    @     0x7f9ee1240634  Flush()\n"
_LINE = lost_line("UNAVAILABLE: Failed to send RPC to the service.")
_OTHER = "[Gloo] Rank 0 is connected to 1 peer ranks.\nW1130 08:14:08 o.cc:3] slow\n"


def told(*parts):
    said = []
    telling = Telling(said.append)
    for part in parts:
        telling.take(part.encode())
    telling.quiet()
    return b"".join(said).decode()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ((_OTHER,), _OTHER),
        ((_OTHER, _NOTICED, _FATAL, _TRACE), _OTHER + _LINE),
        ((_OTHER, _FATAL), _OTHER + _LINE),
        ((_FATAL.split(" UNAVAILABLE")[0], " \n"), lost_line("no reason given")),
        ((_OTHER, _NOTICED), _OTHER + _NOTICED),
        ((_OTHER, "half a line"), _OTHER + "half a line"),
        (("", "\n", "\r"), "\n\r"),
    ],
)
@pytest.mark.parametrize("size", [1, 50, 10_000])
def test_the_page_is_one_line_however_it_is_cut_and_all_else_stays(
    written, expected, size
):
    text = "".join(written)
    cut = [text[at : at + size] for at in range(0, len(text), size)]
    assert told(*cut) == expected


def test_what_is_no_page_is_told_after_a_silence():
    said = []
    telling = Telling(said.append)
    assert telling.wait() is None
    telling.take(_NOTICED.encode())
    telling.take(b"next\npart")
    assert not said
    assert telling.wait() > 1
    telling.quiet()
    assert b"".join(said).decode() == _NOTICED + "next\npart"
    assert telling.wait() is None
    telling.take(b" of a line")
    assert 0 < telling.wait() < 1


@pytest.mark.parametrize("before", [_OTHER, _OTHER + _NOTICED, "half a line"])
def test_after_a_last_line_nothing_is_told(before):
    line = "error: another process has ended\n"
    mark = "\x1elast line: "
    kept = before.replace(_NOTICED, "")
    assert told(before, mark + line, _NOTICED, _FATAL, _TRACE) == kept + line


def test_a_last_line_after_the_page_is_not_a_second_one():
    last = "\x1elast line: " + lost_line("UNKNOWN: Gloo all-reduce failed")
    assert told(_NOTICED, _FATAL, _TRACE, last) == _LINE


def test_the_page_is_told_before_its_process_is_gone():
    said = []
    Telling(said.append).take((_NOTICED + _FATAL).encode())
    assert b"".join(said).decode() == _LINE


def test_without_a_reader_the_last_line_is_printed(capsys):
    say_last("error: another process\n")
    assert capsys.readouterr().err == "error: another process\n"


_PROCESS = """
import os, sys
from experiments.study.fatal_page import hold_back_pages, say_last
hold_back_pages()
hold_back_pages()
print("from Python", file=sys.stderr)
os.write(2, b"from C++\\n")
how, page = sys.argv[1:]
if how == "says":
    say_last("error: last\\n")
os.write(2, page.encode())
if how != "ends":
    os.abort()
"""


@pytest.mark.parametrize(
    ("how", "page", "last"),
    [
        ("aborts", _NOTICED + _FATAL + _TRACE, _LINE),
        ("says", _NOTICED + _FATAL + _TRACE, "error: last\n"),
        ("aborts", "terminate called without an exception\n", None),
        ("ends", _NOTICED, None),
    ],
)
def test_a_real_process_is_read_until_it_is_gone(how, page, last):
    done = subprocess.run(
        [sys.executable, "-c", _PROCESS, how, page],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode == 0) == (how == "ends")
    assert done.stdout == ""
    lines = done.stderr.splitlines(keepends=True)
    # Of two ways to one place, either may be the shorter one.
    assert sorted(lines[:2]) == ["from C++\n", "from Python\n"]
    assert "".join(lines[2:]) == (page if last is None else last)
