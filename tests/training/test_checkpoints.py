"""What lies in a checkpoint besides what was written, and what is missing."""

from __future__ import annotations

import hashlib
import json
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from robustjax import training
from robustjax.training._elastic import with_example_rows
from robustjax.transforms import ExampleSpec, LossState

LIKE = {"a": jnp.zeros(5), "b": {"c": jnp.zeros((2, 3), jnp.int32)}}


@pytest.fixture
def saved(tmp_path):
    """A folder with one checkpoint, and its tree."""
    tree = {"a": jnp.arange(5.0), "b": {"c": jnp.arange(6).reshape(2, 3)}}
    folder = training.CheckpointFolder(tmp_path / "checkpoints")
    folder.save(3, tree, {"sizes": (1, 2), "loss": float("inf"), "5": "é"})
    return folder, tree


def root(tmp_path):
    return tmp_path / "checkpoints"


def test_foreign_files_everywhere_do_no_harm(saved, tmp_path):
    folder, tree = saved
    places = [p for p in (root(tmp_path), *root(tmp_path).rglob("*")) if p.is_dir()]
    assert len(places) > 4
    for place in places:
        for name in (".DS_Store", "._x", "Thumbs.db", "notes.txt", "12"):
            (place / name).write_bytes(b"foreign")
    (root(tmp_path) / "3 copy").mkdir()
    (root(tmp_path) / "07").mkdir()
    (root(tmp_path) / "²").mkdir()
    assert folder.steps() == [3]
    said = []
    step, found, meta = folder.restore_latest(LIKE, report=said.append)
    assert step == 3
    chex.assert_trees_all_equal(found, tree)
    assert meta == {"sizes": [1, 2], "loss": float("inf"), "5": "é"}
    assert said == []


def test_what_was_written_must_be_there_as_it_was(saved, tmp_path):
    folder, _ = saved
    state = root(tmp_path) / "3" / "state"
    files = [path for path in state.rglob("*") if path.is_file()]
    for path in files:
        content = path.read_bytes()
        name = path.relative_to(state).as_posix()
        for damaged, message in (
            (content + b"x", "does not match its digest"),
            (None, "is missing"),
        ):
            if damaged is None:
                path.unlink()
            else:
                path.write_bytes(damaged)
            said = []
            expected = rf"none of 1 under .*newest: its file {name} {message}\); move"
            with pytest.raises(training.CheckpointError, match=expected):
                folder.restore_latest(LIKE, report=said.append)
            assert len(said) == 1
            path.write_bytes(content)
    assert folder.restore_latest(LIKE)[0] == 3


def test_arrays_of_another_shape_are_refused(saved):
    """A network of other widths, say, would go on in the place of this one."""
    folder, _ = saved
    message = r"its \['a'\] has shape \(5,\), expected \(4,\)"
    with pytest.raises(training.CheckpointError, match=message):
        folder.restore_latest({**LIKE, "a": jnp.zeros(4)}, report=lambda _: None)


def test_the_record_itself_is_guarded(saved, tmp_path):
    folder, _ = saved
    path = root(tmp_path) / "3" / "meta.json"
    record = json.loads(path.read_text())
    record["meta"]["sizes"] = [1, 3]
    path.write_text(json.dumps(record))
    with pytest.raises(training.CheckpointError, match="meta.json does not match"):
        folder.restore_latest(LIKE, report=lambda _: None)


def test_checkpoints_from_before_the_files_were_listed(saved, tmp_path):
    folder, tree = saved
    step = root(tmp_path) / "3"
    hasher = hashlib.sha256()
    for path in sorted(p for p in (step / "state").rglob("*") if p.is_file()):
        content = path.read_bytes()
        name = path.relative_to(step / "state").as_posix()
        hasher.update(f"{name} {len(content)};".encode())
        hasher.update(content)
    record = {"digest": hasher.hexdigest(), "meta": {"epoch": 2}}
    (step / "meta.json").write_text(json.dumps(record))
    (step / "state" / ".DS_Store").write_bytes(b"foreign")
    _, found, meta = folder.restore_latest(LIKE)
    chex.assert_trees_all_equal(found, tree)
    assert meta == {"epoch": 2}
    (step / "state" / "_METADATA").write_bytes(b"")
    with pytest.raises(training.CheckpointError, match="content does not match"):
        folder.restore_latest(LIKE, report=lambda _: None)


def test_where_nothing_can_be_written_nothing_is_trained(tmp_path):
    (tmp_path / "file").write_text("x")
    folder = training.CheckpointFolder(tmp_path / "file" / "checkpoints")
    program = types.SimpleNamespace(row_spec=ExampleSpec(4, 2))
    loss_state = LossState(rows=np.zeros((1, 4)), shared=())
    state = training.TrainState((), (), (), loss_state, (), (), ())
    with pytest.raises(ValueError, match="checkpoints: cannot use .*: '.*file' is not"):
        training.fit(
            program,
            state,
            None,
            epochs=3,
            checkpoints=folder,
            checkpoint_every_epochs=1,
        )


def test_a_file_of_a_steps_name_is_none(tmp_path):
    folder = training.CheckpointFolder(tmp_path)
    (tmp_path / "7").write_text("x")
    assert folder.steps() == []
    assert folder.restore_latest(LIKE) is None


def spread_tree(mesh):
    """Arrays of shapes that no other test has, over devices and on one, and a key."""
    rows = NamedSharding(mesh, PartitionSpec("data"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    numbers = np.arange(48.0, dtype=np.float32).reshape(16, 3)
    return {
        "rows": jax.device_put(numbers, rows),
        # Of copies, orbax would have each device write a slice.
        "copies": jax.device_put(numbers, everywhere),
        "alone": jax.device_put(np.arange(7, dtype=np.int32)),
        "key": jax.random.key(3),
    }


def test_a_save_compiles_nothing(mesh, tmp_path):
    tree = spread_tree(mesh)
    seen = []

    def listen(event, duration, **_):
        if event.endswith("backend_compile_duration"):
            seen.append(duration)

    folder = training.CheckpointFolder(tmp_path)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        # What is counted is there: otherwise nothing would be found anywhere.
        jax.jit(lambda x: x + 41)(tree["alone"])
        assert len(seen) == 1
        folder.save(1, tree)
        assert len(seen) == 1
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_saved_on_eight_devices_restored_on_four(mesh, tmp_path):
    tree = spread_tree(mesh)
    folder = training.CheckpointFolder(tmp_path)
    folder.save(1, tree)
    four = spread_tree(Mesh(jax.devices()[:4], ("data",)))
    _, found, _ = folder.restore_latest(four)
    assert found["rows"].sharding == four["rows"].sharding
    assert jax.dtypes.issubdtype(found["key"].dtype, jax.dtypes.prng_key)
    plain = [t | {"key": jax.random.key_data(t["key"])} for t in (found, tree)]
    chex.assert_trees_all_equal(*plain)


def test_rows_of_something_else_are_not_cut():
    """What would be cut off is not padding, unless the algorithm says of what."""
    state = training.TrainState(*(None for _ in training.TrainState._fields))._replace(
        loss_state=LossState({"seen": np.zeros((1, 7))}, ())
    )
    with pytest.raises(ValueError, match=r"rows \(1, 7\), expected \(R, 4, \.\.\.\)"):
        with_example_rows(state, ExampleSpec(4, 2))
    kept = with_example_rows(state, ExampleSpec(5, 2, pad_to=7))
    assert kept.loss_state.rows["seen"].shape == (1, 5)
    assert kept.loss_state.rows["seen"].whole().shape == (1, 5)
