"""What a test process keeps in memory, and when it looks for what it need not keep."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import pathlib

import jax

# Memory that stayed with the process when it last forgot its programs.
_stayed = 0


def collect_rarely() -> None:
    """Tracing allocates too much for a collection after every 700 objects."""
    gc.set_threshold(50_000, 20, 20)


def keep_what_is_there() -> None:
    """Imported modules and collected tests stay: no collection looks at them again."""
    gc.collect()
    gc.freeze()


def _resident_bytes() -> int | None:
    """What this process has in memory; None where the system does not say."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _room() -> int:
    """Bytes from which on a process forgets its programs: half of its share."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(3 * 2**30, memory // (2 * workers))


def _mapped_share() -> float:
    """Memory maps of this process, of those the system allows it.

    Every compiled program takes several. At the limit, LLVM ends the process.
    """
    try:
        maps = pathlib.Path("/proc/self/maps").read_bytes().count(b"\n")
        most = int(pathlib.Path("/proc/sys/vm/max_map_count").read_text())
    except (OSError, ValueError):
        return 0.0
    return maps / most


def no_room() -> bool:
    """Whether the programs of this process fill its share of the memory.

    Libraries stay, and so do pieces between what is in use: only what came on top of
    them since the programs were last forgotten can be had back by forgetting more.
    """
    resident = _resident_bytes()
    if resident is None or _mapped_share() > 0.4:
        return True
    return resident > max(_room(), _stayed + _room() // 4)


def forget_programs() -> None:
    """Drops all compiled programs, and gives their memory back to the system."""
    global _stayed
    jax.clear_caches()
    gc.collect()
    # Of the C library of most Linux systems; others give back what they give back.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    _stayed = _resident_bytes() or 0
