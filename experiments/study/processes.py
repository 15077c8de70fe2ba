"""Flags that say which devices and processes a run has, and what they do."""

from __future__ import annotations

import re

import jax
from absl import flags

from experiments.study.fatal_page import hold_back_pages
from experiments.study.lost_process import end_as_lost
from experiments.study.silent_process import watch_others
from robustjax.tools.platform import check_platform, name_platform

_PLATFORMS = flags.DEFINE_string(
    "jax_platforms", None, "Where to compute: cpu, cuda or tpu; by default the best."
)
_DETECT = flags.DEFINE_bool(
    "distributed", False, "One of several processes, told by the cluster which."
)
_ADDRESS = flags.DEFINE_string(
    "coordinator", None, "One of several processes: host:port of the first."
)
_COUNT = flags.DEFINE_string("num_processes", None, "How many there are.")
_INDEX = flags.DEFINE_string("process_id", None, "Which this is, from 0.")

_HEARTBEAT = flags.DEFINE_string(
    "heartbeat_seconds",
    "60",
    "Of several processes: all end when one has not been heard for so long.",
)


def start_processes() -> None:
    """Chooses the platform and joins the other processes, before JAX computes.

    Raises:
      ValueError: a flag that is out of range or missing, or a platform that is not
        here, naming the flag or the environment variable.
    """
    name_platform(_PLATFORMS.value)
    _join(bool(_DETECT.value), {f.name: f.value for f in (_ADDRESS, _COUNT, _INDEX)})
    check_platform(_PLATFORMS.value)


def _join(detect: bool, given: dict[str, str | None]) -> None:
    named = [name for name, value in given.items() if value is not None]
    if not named:
        if detect:
            _initialize(None, None, None)
        return
    if detect:
        raise ValueError(
            f"{named[0]}: got {given[named[0]]} with --distributed, which asks the "
            "cluster, expected one of the two"
        )
    for name, value in given.items():
        if value is None:
            raise ValueError(f"{name}: got nothing beside --{named[0]}, expected it")
    address = str(given["coordinator"])
    if not re.fullmatch(r"\S+:\d{1,5}", address):
        raise ValueError(f"coordinator: got {address!r}, expected host:port")
    count = _integer("num_processes", given["num_processes"], 1, 2**20)
    _initialize(
        address, count, _integer("process_id", given["process_id"], 0, count - 1)
    )


def _integer(name: str, text: str | None, low: int, high: int) -> int:
    if not re.fullmatch(r"\d{1,9}", text or "") or not low <= int(text or "") <= high:
        raise ValueError(f"{name}: got {text}, expected an integer in {low} … {high}")
    return int(text or "")


def _initialize(address: str | None, count: int | None, index: int | None) -> None:
    heartbeat = _integer("heartbeat_seconds", _HEARTBEAT.value, 1, 10**6)
    try:
        # Its handler would take the place of ours, and nothing be saved.
        jax.config.update("jax_enable_preemption_service", False)
        hold_back_pages()
        jax.distributed.initialize(
            address,
            count,
            index,
            # Its own way to end the process is a page of text: ours comes first.
            heartbeat_timeout_seconds=2 * heartbeat + 30,
        )
    except (RuntimeError, ValueError) as error:
        flag = "distributed" if address is None else "coordinator"
        reason = str(error).splitlines()[0]
        raise ValueError(f"{flag}: cannot join the other processes: {reason}") from None
    watch_others(heartbeat, end_as_lost)
