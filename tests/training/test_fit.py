"""The host's loop: aborts, stops, checkpoints, metrics."""

import os
import signal
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax import training
from robustjax.training import write_csv
from robustjax.training._health import check_losses
from tests.training import toy


def fit(program, epochs=4, **options):
    state, data = toy.start(program)
    return toy.without_keys(
        training.fit(program, state, data, epochs=epochs, **options)
    )


@pytest.fixture(scope="module")
def program():
    return toy.program(rj.chain(rj.alpha_weights(0.3), rj.ce()))


def test_learns_and_reports(program):
    seen = []
    fit(program, 30, report=lambda epoch, metrics: seen.append((epoch, metrics)))
    assert [epoch for epoch, _ in seen] == list(range(30))
    assert seen[-1][1]["accuracy"].shape == (toy.REPEATS,)
    assert seen[-1][1]["accuracy"][0] > 0.8 > seen[0][1]["accuracy"][0]


def test_resume_is_exact(program, tmp_path):
    want = fit(program, 5)
    for stop_after in (1, 3):
        folder = training.CheckpointFolder(tmp_path / str(stop_after))
        fit(program, stop_after, checkpoints=folder)
        chex.assert_trees_all_equal(fit(program, 5, checkpoints=folder), want)


@pytest.mark.slow
def test_resume_onto_another_device_count(program, tmp_path, mesh):
    # Fifty examples are 56 rows on eight devices, and 50 on one.
    eight = toy.program(rj.chain(rj.alpha_weights(0.3), rj.ce()), mesh=mesh)
    want = fit(program, 4)
    for first, second in ((eight, program), (program, eight)):
        folder = training.CheckpointFolder(tmp_path / str(first is eight))
        fit(first, 2, checkpoints=folder)
        got = fit(second, 4, checkpoints=folder)
        rows = jax.tree.map(lambda leaf: leaf[:, : toy.N], got.loss_state.rows)
        got = got._replace(loss_state=got.loss_state._replace(rows=rows))
        chex.assert_trees_all_close(got, want, atol=2e-5)
        assert len(folder.steps()) == 2


def damage(path):
    """Flips one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def largest_file(folder):
    return max(
        (f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size
    )


@pytest.mark.parametrize("how", ["flipped byte", "truncated", "missing meta"])
def test_damaged_checkpoint_falls_back(how, program, tmp_path):
    folder = training.CheckpointFolder(tmp_path)
    fit(program, 3, checkpoints=folder)
    assert folder.steps() == [2, 3]
    if how == "flipped byte":
        damage(largest_file(tmp_path / "3"))
    elif how == "truncated":
        largest_file(tmp_path / "3").write_bytes(b"")
    else:
        (tmp_path / "3" / "meta.json").unlink()
    said = []
    state, _ = toy.start(program)
    step, restored, _ = folder.restore_latest(state, report=said.append)
    assert step == 2
    assert int(restored.epoch[0]) == 2
    assert len(said) == 1
    assert "cannot be read" in said[0]
    assert "falling back to the previous one" in said[0]
    chex.assert_trees_all_equal(fit(program, 5, checkpoints=folder), fit(program, 5))


def test_all_checkpoints_damaged_is_an_error_not_a_restart(program, tmp_path):
    folder = training.CheckpointFolder(tmp_path)
    fit(program, 2, checkpoints=folder)
    for step in folder.steps():
        damage(largest_file(tmp_path / str(step)))
    state, _ = toy.start(program)
    with pytest.raises(training.CheckpointError, match="none of 2 under"):
        folder.restore_latest(state, report=lambda _: None)


def test_partial_checkpoints_do_not_count(program, tmp_path):
    folder = training.CheckpointFolder(tmp_path)
    fit(program, 1, checkpoints=folder)
    (tmp_path / "7.partial").mkdir()
    assert folder.steps() == [1]
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"checkpoints: .* is not a folder"):
        training.CheckpointFolder(tmp_path / "file")


def test_sigterm_saves_and_stops(program, tmp_path):
    folder = training.CheckpointFolder(tmp_path)

    def report(epoch, metrics):
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with (
        training.stop_on_signals() as stop,
        pytest.raises(training.InterruptedRunError, match="stopped by SIGTERM"),
    ):
        fit(
            program,
            9,
            report=report,
            stop=stop,
            checkpoints=folder,
            checkpoint_every_epochs=100,
        )
    assert folder.steps() == [2]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_checkpoint_of_more_epochs_is_no_training_of_fewer(program, tmp_path):
    folder = training.CheckpointFolder(tmp_path)
    fit(program, 2, checkpoints=folder)
    with pytest.raises(ValueError, match="epochs: got 1, expected at least the 2"):
        fit(program, 1, checkpoints=folder)
    assert int(fit(program, 2, checkpoints=folder).epoch[0]) == 2


@pytest.mark.parametrize("name", ["epochs", "checkpoint_every_epochs"])
def test_numbers_of_epochs_are_checked(name):
    with pytest.raises(ValueError, match=f"^{name}: got -1, expected an integer"):
        training.fit(None, None, None, **{"epochs": 1, name: -1})


def test_a_last_step_that_ruins_the_parameters_is_an_abort(tmp_path):
    """No loss is computed after it."""

    def ruin(state):
        last = state.step == 4
        params = jax.tree.map(lambda p: jnp.where(last, jnp.inf, p), state.params)
        return state._replace(params=params)

    program = training.Program(
        toy.algorithm()._replace(after_step=ruin),
        rj.ExampleSpec(toy.N, toy.C),
        batch_size=16,
        execution=training.choose_execution(convolutional=False),
    )
    folder = training.CheckpointFolder(tmp_path)
    message = r"parameters: \['head'\]\['bias'\] is non-finite after epoch 0 \(repeat 0"
    with pytest.raises(training.NonFiniteLossError, match=message):
        fit(program, 1, checkpoints=folder)
    assert folder.steps() == []


def test_divergence_is_an_abort_with_epoch_and_cause():
    program = toy.program(learning_rate=1e20)
    with pytest.raises(training.NonFiniteLossError, match="non-finite in epoch 0"):
        fit(program)


@pytest.mark.parametrize(
    ("losses", "epoch", "cause"),
    [
        ([np.nan, np.nan], 0, "the very first loss is already non-finite"),
        ([1, 1, 1, 1, 90, np.inf], 2, "the learning rate is too high"),
        ([1, 1, 1, 1, 1, np.nan], 2, "the loss was ordinary just before"),
    ],
)
def test_likely_causes(losses, epoch, cause):
    with pytest.raises(training.NonFiniteLossError, match=cause) as error:
        check_losses(np.array([np.ones(len(losses)), losses]), epoch=epoch)
    assert f"epoch {epoch}, step" in str(error.value)
    assert "(repeat 1)" in str(error.value)


def test_a_label_out_of_range_is_caught_in_training():
    program = toy.program()
    x, y = toy.arrays()
    data = program.make_data(x, np.where(np.arange(toy.N) == 3, toy.C, y))
    state = program.init(jax.random.split(jax.random.key(0)), jnp.asarray(x))
    with pytest.raises(training.NonFiniteLossError):
        training.fit(program, state, data, epochs=1)


def test_csv_has_all_columns(tmp_path):
    write_csv(tmp_path / "t.csv", [{"a": 1}, {"a": 2, "b": 3.5}])
    assert (tmp_path / "t.csv").read_text() == "a,b\n1,\n2,3.5\n"


@pytest.mark.slow
def test_a_second_signal_ends_the_process():
    code = (
        "import os, signal, time\n"
        "from robustjax.training import stop_on_signals\n"
        "with stop_on_signals():\n"
        "    for _ in range(2):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=50, check=False)
    assert done.returncode == -signal.SIGTERM
