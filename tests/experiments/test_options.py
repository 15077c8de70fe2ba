"""Names of methods and their options, from flags to values."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pytest

from robustjax.methods import Entry, entries
from robustjax.tools.method_options import (
    as_texts,
    choose_methods,
    preset_options,
    read_options,
)

NOISE = entries("label_noise")


def settings(
    flag: bool = False,
    count: int = 3,
    limit: int | None = None,
    rate: float = 0.5,
    clip: float | None = 5.0,
    word: str = "a",
    scale: str | float = "mean",
    window: tuple[float, float] | None = None,
    widths: tuple[int, ...] = (),
    layers: Sequence[int] = (),
    fixed: int = 0,
    array: list[int] | None = None,
):
    """Options of every type."""


ENTRY = Entry(
    "all_types",
    "pruning",
    "selection",
    functools.partial(settings, fixed=1),
    "for tests",
    "tests",
)


def read(text):
    return read_options([text], {"m": ENTRY})["m"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("flag=true", True),
        ("flag=NO", False),
        ("count=7", 7),
        ("count=-7", -7),
        ("limit=none", None),
        ("limit=4", 4),
        ("rate=1", 1.0),
        ("rate=1e-3", 0.001),
        ("rate=4/255", 4 / 255),
        ("clip=None", None),
        ("clip=2", 2.0),
        ("word=5", "5"),
        ("word=b=c", "b=c"),
        ("scale=2.5", 2.5),
        ("scale=pairwise", "pairwise"),
        ("window=1:2.5", (1.0, 2.5)),
        ("window=none", None),
        ("widths=64:32:16", (64, 32, 16)),
        ("widths=64", (64,)),
        ("layers=64:32", (64, 32)),
        ("array=none", None),
    ],
)
def test_values_are_of_the_options_types(text, value):
    name, _, _ = text.partition("=")
    for given in (text, f"m.{text}"):
        found = read(given)
        assert found == {name: value}
        assert type(found[name]) is type(value)
        # What a run's configuration holds reads back as the same.
        assert read_options(as_texts(found), {"m": ENTRY})["m"] == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flag=1", "options: got 'flag=1', expected true or false for flag"),
        ("count=2.5", "options: got 'count=2.5', expected an int for count"),
        ("count=true", "expected an int for count"),
        ("limit=no", "expected an int or none for limit"),
        ("rate=nan", "options: got 'rate=nan', expected a finite number for rate"),
        ("rate=1/0", "expected a finite number for rate"),
        ("rate=1/x", "expected a finite number for rate"),
        ("rate=inf", "expected a finite number for rate"),
        ("rate=-1e999", "expected a finite number for rate"),
        ("rate=True", "expected a finite number for rate"),
        ("clip=nan", "expected a finite number or none for clip"),
        ("window=1", "expected 2 times a finite number, as in 1:2 or none for window"),
        ("window=1:2:3", "expected 2 times"),
        ("window=1:inf", "expected 2 times"),
        ("widths=1:a", "expected several times an int, as in 1:2 for widths"),
        ("array=1", "expected none for array"),
        ("cuont=1", r"options: m has no 'cuont' \(did you mean 'count'\?\); it has fl"),
        ("fixed=1", "options: m has no 'fixed'"),
        ("count", "options: got 'count', expected method.name=value"),
        ("count=", "expected method.name=value"),
        ("=1", "expected method.name=value"),
        ("m.=1", "expected method.name=value"),
        ("n.count=1", "options: unknown 'n'.*known: m"),
    ],
)
def test_bad_options_are_one_line(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_a_number_that_is_not_finite_is_no_text_either():
    """`str | float` takes any word but those that are numbers and useless."""
    for text in ("scale=nan", "scale=-inf"):
        with pytest.raises(ValueError, match="expected a finite number or a text"):
            read(text)
    assert read("word=nan") == {"word": "nan"}


def test_later_options_win_and_others_keep_theirs():
    chosen = choose_methods(["elr", "long=elr", "ce"], NOISE)
    texts = ["elr.strength=1", "long.strength=7", "elr.strength=2"]
    found = read_options(texts, chosen)
    assert found == {"elr": {"strength": 2.0}, "long": {"strength": 7.0}, "ce": {}}
    for text, message in (
        ("strength=1", "for several methods, expected method.strength=1"),
        ("ce.strength=1", "options: ce has no 'strength'; it has none"),
        ("gce.q=1", "options: unknown 'gce'.*known: elr, long, ce"),
    ):
        with pytest.raises(ValueError, match=message):
            read_options([text], chosen)


def test_a_preset_speaks_of_methods_whatever_they_are_called():
    chosen = choose_methods(["one=elr", "two=elr"], NOISE)
    found = preset_options(chosen, ("elr.strength=5", "gce.q=1"))
    assert found == ("one.strength=5", "two.strength=5")


def test_choice_of_methods():
    assert list(choose_methods(["all"], NOISE)) == [each.name for each in NOISE]
    chosen = choose_methods(["sop", "mine=elr"], NOISE)
    assert {label: each.name for label, each in chosen.items()} == {
        "sop": "sop",
        "mine": "elr",
    }
    for given, message in (
        ([], "methods: got none, expected at least one"),
        (["elrr"], "methods: unknown 'elrr' .did you mean 'elr'"),
        (["mine=elrr"], "methods: unknown 'elrr'"),
        (["ce", "all"], "methods: unknown 'all'"),
        (["ce", "ce"], "methods: got ce twice, expected each name once"),
        (["../x=ce"], "methods: got '../x=ce', expected a label of letters"),
        (["=ce"], "methods: got '=ce', expected a label"),
        (["gce=ce"], "methods: got 'gce=ce', expected a label that is no other method"),
    ):
        with pytest.raises(ValueError, match=message):
            choose_methods(given, NOISE)
    with pytest.raises(ValueError, match="methods: got 'a=ce', expected the name of"):
        choose_methods(["a=ce"], NOISE, relabel=False)
