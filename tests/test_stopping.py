"""Ctrl-C and SIGTERM in the middle of a training: one last line, a checkpoint, and the next run goes on from it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dae.core.files import read_csv
from stages.common import alone
from tests.pipeline import environment, finished_project

EPOCHS = 40
OUT, CHECKPOINTS = "results/clean/gaussian_conv", ".checkpoints/train_clean/gaussian_conv"
ARGUMENTS = [
    *("clean", "gaussian_conv", "--noisy", "data/corrupted/gaussian", "--clean", "data/prepared/mnist"),
    *("--out", OUT),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_project(tmp_path_factory)


def train(project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "stages.train", *ARGUMENTS],
        cwd=project,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background has them, and what they start, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_goes_on(project: Path, number: signal.Signals) -> None:
    yaml = YAML()
    params = yaml.load(project / "params.yaml")
    params["clean"]["gaussian_conv"] |= {"epochs": EPOCHS, "weight_decay": int(number) / 1e6}  # of another making
    yaml.dump(params, project / "params.yaml")
    before = {path: path.read_bytes() for path in (project / OUT).rglob("*") if path.is_file()}
    assert before

    stopped = train(project)
    assert stopped.stderr
    lines = []
    for line in stopped.stderr:
        lines.append(line)
        if f"epoch 3/{EPOCHS}" in line:
            stopped.send_signal(number)
    assert stopped.wait() == 130, lines
    assert "Traceback" not in "".join(lines)
    assert lines[-1].startswith("interrupted; `make run` goes on")
    assert list((project / CHECKPOINTS).iterdir())
    assert {path: path.read_bytes() for path in (project / OUT).rglob("*") if path.is_file()} == before
    assert not list((project / "results").rglob("*.tmp"))

    resumed = train(project)
    _, output = resumed.communicate()
    assert resumed.returncode == 0, output
    assert "goes on after epoch" in output
    assert f"epoch 2/{EPOCHS}" not in output
    rows = read_csv(project / OUT / "history.csv")
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    assert not (project / CHECKPOINTS).exists()


def test_a_stage_at_work_is_not_begun_a_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a second `make run` would where only the first one's own process was killed."""
    monkeypatch.chdir(tmp_path)
    first = alone("train_clean@conv")
    with pytest.raises(ValueError, match=r"^train_clean@conv: another process is at work on it"):
        alone("train_clean@conv")
    alone("train_clean@unet").release()
    first.release()
    alone("train_clean@conv").release()


@pytest.mark.parametrize("stage", ["toy@x/../../../y", "toy@x; rm *", "plot"])
def test_the_lock_of_a_stage_is_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    monkeypatch.chdir(tmp_path)
    lock = alone(stage)
    assert [path.parent for path in tmp_path.rglob("*.lock")] == [tmp_path / ".dvc/tmp/stages"]
    lock.release()
