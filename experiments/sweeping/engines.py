"""Where points run, by name; what needs an extra is imported when it is asked for."""

from __future__ import annotations

import pathlib
from typing import Any

from experiments.sweeping.config import ENGINES, SweepConfig
from experiments.sweeping.grid import read_values
from experiments.sweeping.local import LocalEngine, slots_of
from experiments.sweeping.loop import Engine
from robustjax import checks


def check(config: SweepConfig) -> None:
    """Raises `ValueError` for flags that the engine does not know."""
    checks.one_of("engine", config.engine, ENGINES)
    for name, engine in (("address", "ray"), ("resources", "ray or slurm")):
        if getattr(config, name) is not None and config.engine not in engine.split():
            raise ValueError(
                f"{name}: got {getattr(config, name)} with engine={config.engine}, "
                f"expected it with {engine}"
            )
    if config.pack > 1 and config.engine != "local":
        raise ValueError(
            f"pack: got {config.pack} with engine={config.engine}, expected it with "
            "local (with ray, a fraction of num_gpus lets points share a GPU)"
        )
    resources_of(config)


def make(config: SweepConfig, path: pathlib.Path, platforms: str | None) -> Engine:
    """The engine that the flags name, ready to run.

    Args:
      config: of the sweep.
      path: the sweep's folder.
      platforms: of `--jax_platforms`, or None.

    Raises:
      ValueError: a missing extra, no such device, or no cluster that answers.
    """
    resources = resources_of(config)
    if config.engine == "ray":
        from experiments.sweeping.ray_engine import RayEngine

        return RayEngine(config.address, resources)
    if config.engine == "slurm":
        from experiments.sweeping.slurm_engine import SlurmEngine

        at_once = config.jobs or 1
        return SlurmEngine(path / "slurm", resources, config.slurm_cluster, at_once)
    return LocalEngine(slots_of(config.jobs, platforms))


def batch_file(config: SweepConfig, path: pathlib.Path, count: int) -> str:
    """The file that SLURM would get for so many points."""
    from experiments.sweeping.slurm_engine import batch_text

    return batch_text(path / "slurm", resources_of(config), count)


def resources_of(config: SweepConfig) -> dict[str, Any]:
    """`--resources`, with numbers as numbers."""
    return {
        name: _number(text)
        for name, text in read_values("resources", config.resources).items()
    }


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
