"""Two processes write one checkpoint, each its part; one process reads it."""

from __future__ import annotations

import json
import sys

import jax
import pytest
from jax.sharding import Mesh

from robustjax import training
from robustjax.files import digest_of_record
from robustjax.training import _checkpoint_files as files
from tests.harness import spread_checkpoints
from tests.harness.several_processes import ends_of, free_address, own_lines


def in_two_processes(folder):
    """How each ends."""
    address = free_address()
    command = [sys.executable, "-m", "tests.harness.spread_checkpoints", address]
    return ends_of([[*command, str(index), str(folder)] for index in range(2)], 400)


@pytest.fixture
def four_devices_each(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")


@pytest.mark.slow
def test_each_of_two_processes_writes_its_own_part(tmp_path, mesh, four_devices_each):
    two_devices = Mesh(jax.devices()[:2], ("data",))
    one = training.CheckpointFolder(tmp_path / "one")
    one.save(5, spread_checkpoints.tree(5, two_devices), {"step": 5})
    ends = in_two_processes(tmp_path)
    assert [status for status, _, _ in ends] == [1, -9], ends

    first, second = (json.loads(out.splitlines()[-1]) for _, out, _ in ends)
    assert first["own"] == [2, [], {"step": 2}, []]
    assert first["of one process"] == [5, [], {"step": 5}, []]
    step, different, meta, (line,) = first["damaged"]
    assert (step, different, meta) == (1, [], {"step": 1})
    assert "2 cannot be read (ValueError: its file ocdbt.process_1/d/" in line
    assert line.endswith("is missing); falling back to the previous one")
    message, lines = first["all damaged"]
    assert "none of 2 under" in message
    assert len(lines) == 2
    # Who does not write does not report, and finds the same.
    assert second["damaged"] == [1, [], {"step": 1}, []]
    assert second["all damaged"] == [message, []]

    # Half of the rows and hardly more is the second one's; all that is whole is not.
    state = tmp_path / "two" / "2" / "state"
    record = json.loads((tmp_path / "two" / "2" / "meta.json").read_text())
    written = [0, 0]
    for name in record["files"]:
        written[files.written_by(name)] += (state / name).stat().st_size
    half = spread_checkpoints.rows(0).nbytes / 2
    assert 0.9 * half < written[1] < 1.1 * half
    assert 0.9 * half < written[0] < 1.2 * half

    # The second process died in the third save.
    (told,) = own_lines(ends[0].errors)
    assert told.startswith("error: another process has ended or does not answer (")
    folder = training.CheckpointFolder(tmp_path / "two")
    assert (tmp_path / "two" / "3.partial").is_dir()
    assert folder.steps() == [1, 2]
    for devices in (two_devices, mesh):
        like = spread_checkpoints.tree(9, devices, padding=7)
        found = folder.restore_latest(like)
        assert spread_checkpoints.differences(found[1], 2, 7) == []
    assert not list((tmp_path / "two").glob("*.0.partial"))


def test_rows_of_another_shape_are_refused(tmp_path, mesh):
    """They would be cut, or filled up with what is no example's."""
    tree = spread_checkpoints.tree(1, mesh)
    folder = training.CheckpointFolder(tmp_path)
    folder.save(1, tree)
    # As checkpoints were before shapes were recorded.
    path = tmp_path / "1" / "meta.json"
    record = json.loads(path.read_text())
    del record["rows"]
    old = record | {"digest": digest_of_record(record)}
    rows = tree["rows"]
    other = tree | {"rows": type(rows)(rows.array, rows.examples - 1)}
    for content, message in (
        (path.read_text(), r"its rows \['rows'\] have shape \[2, 1001, 16\], expected"),
        (json.dumps(old), r"its rows have shape \(2, 1001, 16\), expected \(2, 1000"),
    ):
        path.write_text(content)
        with pytest.raises(training.CheckpointError, match=message):
            folder.restore_latest(other, report=lambda _: None)
        found = folder.restore_latest(tree)
        assert spread_checkpoints.differences(found[1], 1, 0) == []
