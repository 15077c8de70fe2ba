"""Which device and how much of it the points of a sweep get."""

import pytest

from experiments.sweeping import local

MEMORY = "XLA_CLIENT_MEM_FRACTION"


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many devices of a kind."""
    for name in (MEMORY, "XLA_PYTHON_CLIENT_MEM_FRACTION", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)

    def of(platform, count):
        monkeypatch.setattr(local, "_devices", lambda _: (platform, count))

    return of


def test_a_gpu_of_its_own_is_left_as_it_is(machine):
    machine("gpu", 2)
    assert local.slots_of(0, None) == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
    ]
    machine("gpu", 1)
    assert local.slots_of(0, None) == [{}]


def test_more_points_than_gpus_share_them_and_their_memory(machine, monkeypatch):
    machine("gpu", 1)
    assert local.slots_of(4, None) == [{MEMORY: "0.2250"}] * 4
    machine("gpu", 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    slots = local.slots_of(3, None)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["5", "7", "5"]
    assert {slot[MEMORY] for slot in slots} == {"0.4500"}


@pytest.mark.parametrize("name", [MEMORY, "XLA_PYTHON_CLIENT_MEM_FRACTION"])
def test_what_somebody_has_set_stays(machine, monkeypatch, name):
    monkeypatch.setenv(name, "0.1")
    assert local.share_of_memory(0.25) == {}


def test_a_tpu_is_of_one_process(machine):
    machine("tpu", 8)
    assert local.slots_of(0, None) == [{}]
    with pytest.raises(ValueError, match="jobs: got 2, expected 1: the chips of a TPU"):
        local.slots_of(2, None)
