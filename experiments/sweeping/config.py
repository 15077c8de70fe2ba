"""Flags of a sweep, beside those of its study."""

from __future__ import annotations

import dataclasses

from robustjax.tools.command.fields import option

ENGINES = ("local", "ray", "slurm")


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """What is swept, where it runs, and what is made of it."""

    study: str | None = option(None, "Launcher of the study, such as label_noise.")
    grid: str | None = option(
        None, "Axes, as in 'noise_rate=0.2,0.5; methods=ce,elr; elr.strength=1,3'."
    )
    points: str | None = option(
        None, "Instead of a grid: a file with a JSON object of flags per line."
    )
    seeds: tuple[int, ...] = option(
        (), "Seeds that every point is run with.", low=0, high=2**32 - 1
    )
    dry_run: bool = option(False, "Say what would run, and what has; run nothing.")
    delete_incomplete: bool = option(
        False, "Begin points anew that were begun and are not finished."
    )

    engine: str = option("local", f"Where points run: {', '.join(ENGINES)}.")
    jobs: int = option(
        0,
        "engine=local: points at once; 0: one per device. More share the GPUs.",
        low=0,
        high=1024,
    )
    pack: int = option(
        0,
        "engine=local: up to so many points that differ in numbers alone train as one "
        "program, in one process; 0 or 1: each has its own.",
        low=0,
        high=256,
    )
    address: str | None = option(
        None, "engine=ray: of a running cluster; by default one on this machine."
    )
    resources: str | None = option(
        None, "Per point: of Ray, 'num_cpus=2; num_gpus=1'; of submitit for SLURM."
    )
    slurm_cluster: str = option(
        "slurm", "engine=slurm: slurm, or local to try it without SLURM."
    )
    retries: int = option(5, "How often a point may die without coming further.", low=0)

    measure: str | None = option(
        None, "What is shown and drawn; by default the study's first that was measured."
    )
    baseline: str | None = option(
        None, "What others are compared with, as in 'method=ce'."
    )
    mark: str | None = option(
        None, "Swept values to mark, such as a paper's: 'elr.strength=3'."
    )
    over: tuple[str, ...] = option(
        (), "One or two swept names that plots are drawn over."
    )
    where: str | None = option(
        None, "Only these values are shown and drawn, as in 'labels=250'."
    )

    best: str | None = option(
        None, "Run nothing; say which point is best in this measure (with --name)."
    )
    select: str = option(
        "last", "What chooses the best: last, noisy_validation or best_on_test."
    )
    per: tuple[str, ...] = option(
        (), "The best for each value of these columns; by default of all points."
    )
