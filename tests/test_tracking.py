"""Runs reach the store once: at once, later, or from several processes; a stage never fails for the store's sake."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from dae import tracking

REFUSING = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return tmp_path


def runs(root: Path) -> list[Any]:
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def a_stage(root: Path) -> None:
    with tracking.run("stage", "item", {"a": {"b": 1}, "c": [1, 2]}) as record:
        record.epoch({"epoch": 1, "loss": 0.5}, 0.1)
        record.epoch({"epoch": 2, "loss": 0.25}, 0.1)
        (root / "note.txt").write_text("text")
        record.artifact(root / "note.txt", "notes")
        record.input(root / "note.txt", "train")


def test_a_run_is_complete_and_its_journal_gone(root: Path) -> None:
    a_stage(root)
    (run,) = runs(root)
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    assert run.info.run_name == "stage@item"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"a.b": "1", "c": "[1, 2]"}
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")] == [(1, 0.5), (2, 0.25)]
    assert [file.path for file in client.list_artifacts(run.info.run_id, "notes")] == ["notes/note.txt"]
    assert run.inputs.dataset_inputs[0].dataset.digest == "1cb251ec0d568de6a929b520c4aed8d1"  # md5 of "text"
    assert not list((root / ".mlflow_outbox").iterdir())


def test_a_store_that_is_away_costs_one_warning_and_nothing_is_lost(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", REFUSING)
    a_stage(root)
    assert capsys.readouterr().err.count("warning: MLflow") == 1
    assert len(list((root / ".mlflow_outbox").iterdir())) == 1
    assert tracking.deliver_all() == (0, 1)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.deliver_all() == (1, 0)
    assert tracking.deliver_all() == (0, 0)
    (run,) = runs(root)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["loss"] == 0.25


def test_a_store_that_goes_away_in_the_middle_gets_no_double(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracking.run("stage", None, {"a": 1}) as record:
        record.epoch({"epoch": 1, "loss": 0.5}, 0.1)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", REFUSING)
        record.epoch({"epoch": 2, "loss": 0.25}, 0.1)
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert len(runs(root)) == 1
    assert tracking.deliver_all() == (1, 0)
    (run,) = runs(root)
    history = MlflowClient(f"sqlite:///{root / 'mlflow.db'}").get_metric_history(run.info.run_id, "loss")
    assert [metric.step for metric in history] == [1, 2]


def test_a_failed_stage_is_a_failed_run(root: Path) -> None:
    def fail() -> None:
        with tracking.run("stage", None, {}):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert [run.info.status for run in runs(root)] == ["FAILED"]


def test_processes_that_meet_at_a_new_store_lose_no_run(root: Path) -> None:
    script = "from dae import tracking\nwith tracking.run('stage', None, {}) as record: record.metrics({'m': 1})"
    processes = [subprocess.Popen([sys.executable, "-c", script], cwd=root, stderr=subprocess.PIPE) for _ in range(3)]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert "warning" not in "".join(errors)
    assert len(runs(root)) == 3


def test_home_is_the_checkout_that_made_a_temporary_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking.home() == root.resolve()
    inside = root / ".dvc" / "tmp" / "exps" / "tmp123"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert tracking.home() == root.resolve()
