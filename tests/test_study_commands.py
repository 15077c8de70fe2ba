"""What commands of studies mean, of pages, presets and kept runs; nothing is run.

Each is read as its launcher reads it, down to the values of methods' options.
"""

from __future__ import annotations

import importlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from experiments.reporting.claims import RESULTS, read_claims
from experiments.study.flags import Given, read_texts
from experiments.sweeping.config import SweepConfig
from experiments.sweeping.grid import product, read_grid
from experiments.sweeping.launchers import Launcher, known_launchers
from experiments.sweeping.points import resolve_points
from robustjax.tools.command.fields import flags_of
from tests.experiments.test_flags import STUDIES
from tests.harness.page_commands import launched
from tests.test_readme import PAGES

# Where `--methods` is a flag of the launcher alone, what it is without.
_METHODS = {"label_noise": "ce", "active_learning": "all", "features": "all"}
# Flags of every launcher, which are no settings.
_OF_PROCESSES = (
    *("jax_platforms", "no_cache", "heartbeat_seconds", "distributed", "coordinator"),
    *("num_processes", "process_id"),
)
# On a page, what is to be replaced by the reader, or is to be written by him.
_NOT_THERE = ("…", "taylor_ce")


def launcher_of(name: str) -> Launcher:
    """A launcher without its module, of which a process can import one alone."""
    diffusion = name == "diffusion_study"
    folder = f"experiments.studies.{'label_correction' if diffusion else name}"
    every = importlib.import_module(f"{folder}.presets")
    presets = every.DIFFUSION_PRESETS if diffusion else every.PRESETS
    if diffusion:
        module = importlib.import_module(f"{folder}.diffusion")
        study, config = module.STUDY, module.DiffusionConfig
    else:
        study = importlib.import_module(f"{folder}.study").STUDY
        config = getattr(importlib.import_module(f"{folder}.config"), STUDIES[name])
    methods = (_METHODS[name],) if name in _METHODS else None
    return Launcher(f"experiments.{name}", study, config, presets, methods)


def texts_of(words: Sequence[str], *configs: type[Any]) -> dict[str, str]:
    """Flag -> text, of a command line."""
    known = {flag.name for config in configs for flag in flags_of(config)}
    found = {}
    for word in words:
        assert word.startswith("--"), word
        name, equals, text = word.removeprefix("--").partition("=")
        if not equals:
            text = "true"
            if name not in known and name.removeprefix("no") in known:
                name, text = name.removeprefix("no"), "false"
        assert name not in found, f"--{name} twice"
        found[name] = text
    return {name: text for name, text in found.items() if name not in _OF_PROCESSES}


def given_of(
    launcher: Launcher, texts: Mapping[str, str]
) -> tuple[Given, tuple[str, ...]]:
    """What `Launcher.given` reads from the flags of its process."""
    texts = dict(texts)
    preset, name = texts.pop("preset", None), texts.pop("name", None)
    run_dir, methods = texts.pop("run_dir", "runs"), ()
    if launcher.methods is not None:
        methods = tuple(texts.pop("methods", launcher.methods[0]).split(","))
    fields = read_texts(launcher.config, texts)
    return Given(preset, fields, run_dir, name), methods


def config_of(name: str, words: Sequence[str]) -> dict[str, Any]:
    """Every flag of a study's command, as the study resolves it."""
    launcher = launcher_of(name)
    given, methods = given_of(launcher, texts_of(words, launcher.config))
    plan = launcher.study.plan(launcher.request(given, methods, ""))
    return dict(json.loads(json.dumps(plan.config)))


def swept(words: Sequence[str]) -> int:
    """The number of points of a sweep's command; 0 where none is run."""
    names = [w.removeprefix("--study=") for w in words if w.startswith("--study=")]
    launcher = launcher_of(names[0]) if names else None
    configs = [SweepConfig] if launcher is None else [SweepConfig, launcher.config]
    texts = texts_of(words, *configs)
    known = {flag.name for flag in flags_of(SweepConfig)}
    own = {name: text for name, text in texts.items() if name in known}
    config = SweepConfig(**read_texts(SweepConfig, own))
    if config.grid is None:
        assert config.best is not None or config.points is not None, words
        return 0
    assert launcher is not None
    rest = {name: text for name, text in texts.items() if name not in known}
    points = product(read_grid(config.grid, launcher.takes_list))
    return len(resolve_points(launcher, points, *given_of(launcher, rest)))


def of_pages() -> Iterator[tuple[str, str, str]]:
    """(page, study, arguments), each once."""
    texts = {name: path.read_text() for name, path in PAGES.items()}
    texts["results/README.md"] = (RESULTS / "README.md").read_text()
    seen = set()
    for page, text in texts.items():
        for module, arguments in launched(text):
            name, command = module.removeprefix("experiments."), arguments.strip()
            new = (name, command) not in seen
            if new and not any(each in command for each in _NOT_THERE):
                seen.add((name, command))
                yield page, name, command


@pytest.mark.slow
def test_commands_of_pages_are_understood():
    wrong, studies, sweeps = [], 0, 0
    known = known_launchers()
    for page, name, arguments in of_pages():
        words = shlex.split(arguments)
        try:
            if name == "sweep" and words and not words[0].startswith("--pack"):
                sweeps += swept(words) > 0
            elif name in known:
                config_of(name, words)
                studies += 1
        except (AssertionError, ValueError) as error:
            wrong.append((page, name, arguments, str(error)))
    assert not wrong
    assert studies > 80
    assert sweeps >= 4


@pytest.mark.parametrize("name", [*STUDIES, "diffusion_study"])
def test_commands_of_presets_are_understood(name):
    launcher = launcher_of(name)
    for preset, each in launcher.presets.items():
        module, *words = shlex.split(each.command(launcher.name, preset))[2:]
        assert module == launcher.name
        assert config_of(name, words)


def test_kept_runs_were_what_their_commands_still_mean():
    """Defaults and presets have not moved from under numbers that are printed."""
    compared = 0
    for path in sorted(RESULTS.glob("*/*/config.json")):
        record = json.loads(path.read_text())
        module, *words = shlex.split(record["command"])[2:]
        now = config_of(module.removeprefix("experiments."), words)
        # Flags that came later are not in older files.
        assert _only(now, record["config"]) == record["config"], path
        compared += 1
    for name, command in read_claims()[1].items():
        study, *words = shlex.split(command)
        assert study == name.partition("/")[0]
        assert config_of(study, words)
    assert compared > 50


def _only(now: Any, then: Any) -> Any:
    """What is there now of the flags that there were."""
    if not isinstance(now, dict) or not isinstance(then, dict):
        return now
    return {name: _only(now.get(name), own) for name, own in then.items()}
