"""The arithmetic of the page on paper, by hand for one selection and one machine."""

import math

import pytest

from experiments.benchmarks import selection_on_paper as paper


def test_a_round_of_k_center_on_eight_gpus():
    work = next(each for each in paper.works() if each.what == "k-center")
    machine = next(each for each in paper.MACHINES if each.name.endswith("H200"))
    assert work.flops == 2 * 1e9 * 64 * 64
    # 256 GB of points, 64 relations of 4 GB, 13 bytes of every example.
    assert work.held == 256e9 + 256e9 + 13e9
    assert work.moved == 256e9 + 2 * 256e9 + 13e9
    found = paper.terms(work, machine)
    assert found.flops == pytest.approx(8.192e12 / 8 / 67e12)
    sorted_by_each = 2 * 4 * 15_625_000 * math.log2(15_625_000)
    assert found.memory == pytest.approx((781e9 / 8 + sorted_by_each) / 4.8e12)
    # One score of 64, 257 groups, and 256 candidates with three numbers beside.
    sent = 4 * (15_625_000 + 257 * 64 + 256 * 67)
    assert found.link == pytest.approx(sent / 450e9)
    assert (found.rules, found.fits) == ("memory", True)
    assert found.seconds == found.memory


def test_what_compares_all_with_all_grows_with_the_square(monkeypatch):
    def days(name):
        work = next(each for each in paper.works() if each.what == name)
        return work.steps * paper.terms(work, paper.MACHINES[1]).seconds

    names = ("facility location", "neighbours of all")
    before = [days(name) for name in names]
    monkeypatch.setattr(paper, "N", 10**8)
    assert [days(name) for name in names] == pytest.approx([b / 100 for b in before])


def test_times_have_units():
    cases = (
        (0.0234, "23 ms"),
        (0.207, "207 ms"),
        (5e-5, "50 µs"),
        (3600, "60 min"),
        (3e5, "3.5 days"),
    )
    assert [paper.shown(seconds) for seconds, _ in cases] == [text for _, text in cases]


def test_a_machine_that_is_too_small_is_named():
    (row,) = (row for row in paper.table() if row[0] == "neighbours of all")
    assert row[6].startswith("does not fit")
