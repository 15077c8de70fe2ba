"""The scripts that start one training in several processes, each on this machine."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
STUDY = (
    *("label_noise", "--preset=digits", "--methods=sop", "--repeats=1", "--epochs=2"),
    *("--hidden=16", "--name=run"),
)


def run(command, folder, **environment):
    """What a command says; its summary is left in a folder."""
    found = subprocess.run(
        [*command, f"--run_dir={folder}"],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return found.stdout


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The summary of one process."""
    study, *flags = STUDY
    folder = tmp_path_factory.mktemp("alone")
    run([sys.executable, "-m", f"experiments.{study}", *flags], folder)
    return (folder / "label_noise" / "run" / "summary.csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["shell", "ray"])
def test_two_processes_leave_what_one_leaves(tmp_path, alone, launcher):
    if launcher == "ray":
        pytest.importorskip("ray", reason="Ray is an extra, robustjax[ray]")
        command = [sys.executable, "-m", "examples.hosts.ray_processes", *STUDY]
        said = run(command, tmp_path)
    else:
        # A port that the dynamic ones are not taken from, and this Python.
        path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
        command = ["sh", "examples/hosts/processes.sh", "2", *STUDY]
        said = run(command, tmp_path, PATH=path, PORT="12371")
    # Each process says it, maybe in the middle of what the other one says.
    assert said.count("[Gloo] Rank ") == 2, said
    summary = tmp_path / "label_noise" / "run" / "summary.csv"
    assert summary.read_text() == alone
