"""Flags mean the same everywhere, and no bad value passes."""

from __future__ import annotations

import dataclasses
import importlib
import re

import pytest
from absl import flags

from experiments.common import optimizer_flags
from experiments.study import flag_groups
from experiments.study.flags import Use, check_of_use, given_flags, resolve
from experiments.study.help import help_text
from experiments.study.presets import Preset
from robustjax import methods
from robustjax.tools.command.fields import OWN_GROUP, Flag, flags_of, option
from robustjax.tools.method_options import read_options
from robustjax.tools.optimizer import (
    OptimizerOptions,
    drop_epochs,
    make_schedule,
    unused_drops,
    unused_flags,
)
from robustjax.tools.options import groups

STUDIES = {
    "label_noise": "NoisyLabelsConfig",
    "label_correction": "CorrectionConfig",
    "active_learning": "OpenSetConfig",
    "features": "FeatureDebiasingConfig",
    "pruning": "DataPruningConfig",
    "dataset_bias": "DatasetBiasConfig",
    "instruction_selection": "InstructionSelectionConfig",
}
WITHOUT_TRAINING = ("instruction_selection",)


def config_of(study):
    module = importlib.import_module(f"experiments.studies.{study}.config")
    return getattr(module, STUDIES[study])


def presets_of(study):
    module = importlib.import_module(f"experiments.studies.{study}.presets")
    return module.PRESETS


@dataclasses.dataclass(frozen=True)
class Config(flag_groups.RunFlags, groups.SgdFlags, groups.MlpFlags):
    hidden: tuple[int, ...] = (7,)
    own: int | None = option(None, "A number.")
    repeats: int = option(4, "As often.", low=2)


def test_a_field_is_told_where_it_is_first_defined():
    found = {flag.name: flag for flag in flags_of(Config)}
    text = "Widths of the dense layers of mlp and small_cnn."
    assert found["hidden"] == Flag(
        "hidden", int, True, (7,), text, 1, None, (), "Network"
    )
    assert found["own"].group == OWN_GROUP
    assert (found["own"].kind, found["own"].is_list) == (int, False)
    assert found["repeats"][3:6] == (4, "As often.", 2)
    assert found["repeats"].group == "Run"
    assert found["seed"].high == 2**32 - 1


@pytest.fixture
def parsed(monkeypatch):
    """A function from a command line to the fields that it gives."""

    def parse(*arguments):
        values = flags.FlagValues()
        for flag in flags_of(Config):
            define = flags.DEFINE_list if flag.is_list else flags.DEFINE_string
            define(flag.name, None, "", flag_values=values)
        values(["launcher", *arguments])
        monkeypatch.setattr(flags, "FLAGS", values)
        return given_flags(Config)

    return parse


def test_given_fields(parsed):
    assert parsed() == {}
    got = parsed("--hidden=8,16", "--drop_at=0.5,20", "--learning_rate=1e-3", "--own=3")
    want = {"hidden": (8, 16), "drop_at": (0.5, 20.0), "learning_rate": 1e-3, "own": 3}
    assert got == want
    assert parsed("--hidden=") == {"hidden": ()}
    assert parsed(f"--seed={2**32 - 1}") == {"seed": 2**32 - 1}


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--seed=-1", "an integer >= 0"),
        (f"--seed={2**32}", "an integer <= 4294967295"),
        (f"--seed={10**30}", "an integer <= 4294967295"),
        (f"--own={2**31}", "an integer <= 2147483647"),
        ("--own=1.5", "an integer"),
        ("--hidden=0", "a comma-separated list of integers >= 1"),
        ("--hidden=8,x", "a comma-separated list of integers"),
        ("--learning_rate=nan", "a finite number"),
        ("--momentum=inf", "a finite number"),
        ("--drop_at=0.5,-inf", "a comma-separated list of finite numbers"),
        ("--learning_rate=fast", "a number"),
        ("--repeats=1", "an integer >= 2"),
    ],
)
def test_bad_values_name_their_flag(parsed, argument, expected):
    name, _, value = argument.removeprefix("--").partition("=")
    with pytest.raises(ValueError, match=f"^{name}: got ") as error:
        parsed(argument)
    assert str(error.value) == f"{name}: got {value}, expected {expected}"


def test_flags_without_a_use_are_named():
    uses = [
        Use("own", False, "with 7"),
        Use("hidden", False, "with mlp"),
        Use("seed", True, "with nothing"),
    ]
    check_of_use({"seed": 3, "repeats": 2}, uses)
    for value, text in (((8, 16), "8,16"), ((), "none")):
        with pytest.raises(ValueError, match=f"^hidden: got {text} with mlp$"):
            check_of_use({"seed": 3, "hidden": value}, uses)
    with pytest.raises(ValueError, match="^own: got False with 7$"):
        check_of_use({"hidden": (), "own": False}, uses)


@pytest.mark.parametrize(
    ("fields", "unused"),
    [
        ({"schedule": "steps", "drop_at": (0.5,)}, {"restart_epochs"}),
        ({"schedule": "steps", "nesterov": True}, {"drop_factor", "restart_epochs"}),
        ({"schedule": "steps", "drop_at": (9.0,), "epochs": 9},
         {"drop_at", "drop_factor", "restart_epochs"}),
        ({"schedule": "steps", "drop_at": (0.5, 9.0), "epochs": 9}, {"restart_epochs"}),
        ({"momentum": 0.0, "nesterov": True, "schedule": "cosine", "final_factor": 0.1},
         {"nesterov", "drop_factor", "restart_epochs"}),
        ({"optimizer": "adam", "nesterov": True, "schedule": "warm_restarts"},
         {"momentum", "nesterov", "drop_factor"}),
        ({"optimizer": "co_teaching", "decay_from_epoch": 3, "drop_at": (5.0,)},
         {"momentum", "drop_at", "drop_factor", "restart_epochs"}),
        ({"decay_from_epoch": 3, "final_factor": 0.1},
         {"decay_from_epoch", "final_factor", "drop_factor", "restart_epochs"}),
    ],
)  # fmt: skip
def test_flags_at_which_no_optimizer_looks(fields, unused):
    config = groups.OptimizerFlags(**fields)
    assert set(unused_flags(config)) == unused
    for name in unused:
        with pytest.raises(ValueError, match=f"^{name}: got .* with"):
            optimizer_flags.check_given({name: getattr(config, name)}, config)
    if config.schedule == "steps":
        drops = unused & {"drop_at", "drop_factor"}
        assert set(unused_drops(config)) == drops
        for name in drops:
            with pytest.raises(ValueError, match=f"^{name}: got .* with"):
                optimizer_flags.check_given_drops({name: getattr(config, name)}, config)
    # A method that looks at it is enough.
    given = {"final_factor": 0.1, "momentum": 0.5}
    one, other = (
        groups.OptimizerFlags(schedule=each, **given) for each in ("steps", "cosine")
    )
    optimizer_flags.check_given(given, one, other)
    with pytest.raises(ValueError, match="^final_factor: got 0.1 with schedule=steps"):
        optimizer_flags.check_given(given, one)


def test_no_preset_is_taken_for_another_data_set():
    presets = {"a": Preset({"dataset": "a", "epochs": 3}, "", "")}

    @dataclasses.dataclass(frozen=True)
    class WithData(groups.TrainingFlags, groups.DataFlags):
        dataset: str = "b"

    def take(preset, **given):
        found, config = resolve(WithData, presets, preset, given)
        return found, config.dataset, config.epochs

    assert take(None) == (None, "b", 30)
    assert take(None, dataset="a") == ("a", "a", 3)
    assert take(None, dataset="c") == (None, "c", 30)
    assert take("a", dataset="c", epochs=2) == ("a", "c", 2)
    with pytest.raises(ValueError, match="preset: unknown 'A'"):
        take("A")


def test_active_learning_has_no_preset_of_another_data_set():
    config, presets = config_of("active_learning"), presets_of("active_learning")
    assert resolve(config, presets, None, {"dataset": "svhn"})[0] is None
    assert resolve(config, presets, None, {"dataset": "cifar10"})[0] == "cifar10"


def test_drops_are_shares_or_epochs():
    assert drop_epochs((0.5, 0.75), 200) == (100, 150)
    assert drop_epochs((40, 80.0), 120) == (40, 80)
    assert drop_epochs((0.001,), 10) == (1,)
    for bad in (0, -1, 1.5, float("inf")):
        with pytest.raises(ValueError, match="drop_at: got"):
            drop_epochs((bad,), 10)


def test_drops_at_one_epoch_are_as_many():
    flags = groups.OptimizerFlags(
        epochs=3, schedule="steps", drop_at=(0.5, 0.75), learning_rate=1.0
    )
    options = OptimizerOptions.of(flags)
    assert options.drop_epochs == (2, 2)
    settings = methods.ClassifierSettings(
        epochs=3, learning_rate=1.0, drop_epochs=(2, 2)
    )
    for schedule in (make_schedule(options, 3, 10), settings.schedule(10)):
        assert [float(schedule(step)) for step in (19, 20)] == pytest.approx([1, 0.01])


def test_shared_flags_are_defined_once():
    """The same name is the same flag in every study, but for its default."""
    seen: dict[str, set[tuple]] = {}
    total = 0
    for study in STUDIES:
        for flag in flags_of(config_of(study)):
            total += 1
            seen.setdefault(flag.name, set()).add((flag.kind, flag.is_list))
    assert {name for name, kinds in seen.items() if len(kinds) > 1} == set()
    assert total > 1.5 * len(seen)
    for study in STUDIES:
        names = {flag.name for flag in flags_of(config_of(study))}
        assert names >= {"seed", "repeats", "dataset"}, study
        trained = {"dtype", "drop_at", "batch_size"}
        assert names >= trained or study in WITHOUT_TRAINING, study
    for study in ("label_noise", "label_correction", "pruning"):
        assert "label_set" in {flag.name for flag in flags_of(config_of(study))}


@pytest.mark.parametrize("study", STUDIES)
def test_presets_say_what_they_are_and_their_commands_parse(study):
    known = {flag.name for flag in flags_of(config_of(study))}
    known |= {"method", "methods", "strategies", "weights", "preset"}
    for name, preset in presets_of(study).items():
        assert set(preset.fields) <= known, name
        assert preset.about, name
        measured = re.search(r"\d", preset.expect)
        assert measured or preset.expect.startswith(("not run here", "not measured"))
        used = re.findall(r"--(\w+)", preset.command(f"experiments.{study}", name))
        assert set(used) <= known, name


@pytest.mark.parametrize("study", STUDIES)
def test_help_shows_every_flag_and_preset(study):
    presets = presets_of(study)
    text = help_text("About.", f"experiments.{study}", config_of(study), presets)
    for flag in flags_of(config_of(study)):
        start = "--[no]" if flag.kind is bool else "--"
        assert re.search(rf"^  {re.escape(start)}{flag.name}\b", text, re.M), flag.name
    titles = re.findall(r"^(\S.*):$", text, re.M)
    have = [title for title in flag_groups.GROUPS if title in titles]
    assert [title for title in titles if title in flag_groups.GROUPS] == have
    trained = {"Data", "Network", "Optimizer"}
    assert {"Run", OWN_GROUP} <= set(titles)
    assert trained <= set(titles) or study in WITHOUT_TRAINING
    for name, preset in presets.items():
        assert f"  {name}: {preset.about}" in text
    # Values are for copying, and never broken.
    assert all(len(line) <= 110 or " " not in line.strip() for line in text.split("\n"))


def test_help_shows_what_belongs_to_a_method():
    known = methods.entries("label_correction")
    text = help_text("About.", "experiments.x", None, {}, known)
    assert "Methods, and what --options=method.name=value can set:" in text
    words = " ".join(text.split())
    for entry in known:
        assert f" {entry.name}: {entry.description} ({entry.source})" in words
    assert (
        "alc: robust updates and diffusion (Kim, ECCV 2022); diffusion_mode=" in words
    )
    assert "candidates_per_query=5 weight_step=0.1" in words
    assert "o2u_net: hard detection by O2U-Net, then entropy" in words
    assert "noise_rate=… epochs=250" in words, "no default"


def own_labels(preset):
    """Label -> method, of a preset whose methods have labels."""
    chosen = preset.fields.get("methods", ())
    return dict(text.split("=") for text in chosen if "=" in text)


@pytest.mark.parametrize("study", STUDIES)
def test_presets_options_are_those_of_methods(study):
    """Of all methods, whichever run."""
    for name, preset in presets_of(study).items():
        for text in preset.fields.get("options", ()):
            label, _, rest = text.partition(".")
            method = own_labels(preset).get(label, label)
            text = f"{method}.{rest}"
            found = [e for e in methods.entries() if e.name == method]
            option = rest.partition("=")[0]
            fits = [e for e in found if option in e.options]
            assert fits, (name, text)
            assert any(read_options([text], {method: e})[method] for e in fits), name
