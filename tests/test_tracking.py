"""Runs reach the store once: at once, later, or from several processes; a stage never fails for the store's sake."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from dae import courier, tracking
from stages.context import home

REFUSING = "http://127.0.0.1:9"  # nothing listens there
NOT_SENT = "warning: the run could not be sent to MLflow"
SCRIPT = """
from pathlib import Path
from dae import tracking
with tracking.run("stage", {}, root=Path.cwd(), tags={}, artifacts={}) as record:
    record.metrics({"m": 1})
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return tmp_path


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def runs(root: Path) -> list[Any]:
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def waiting(root: Path) -> list[Path]:
    return [events.parent for events in (root / ".mlflow_outbox").glob("*/events.jsonl")]


def deliver_until_none_waits(root: Path) -> tuple[int, int]:
    """`make deliver` again and again; how many runs it has sent, and how many not."""
    sent = failed = 0
    ends = time.monotonic() + 120
    while waiting(root) and not failed and time.monotonic() < ends:
        done, failed = courier.deliver_all(root)
        sent += done
        time.sleep(0.05)
    return sent, failed


def nothing_left(root: Path) -> bool:
    """Whether no journal is there, nor part of one; what was taken away may still be on its way out."""
    ends = time.monotonic() + 10
    while (on_their_way := list((root / ".mlflow_outbox").glob("gone/*"))) and time.monotonic() < ends:
        time.sleep(0.1)
    return not on_their_way and {path.name for path in (root / ".mlflow_outbox").glob("*/")} <= {"gone"}


def a_stage(root: Path) -> None:
    params = {"a": {"b": 1}, "c": [1, 2]}
    with tracking.run("stage@item", params, root=root, tags={"stage": "stage"}, artifacts={"a.diff": "+"}) as record:
        record.epoch({"epoch": 1, "loss": 0.5}, 0.1)
        record.epoch({"epoch": 2, "loss": 0.250004}, 0.1)
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
    assert run.data.tags["stage"] == "stage"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"a.diff", "notes"}
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")] == [(1, 0.5), (2, 0.25)]
    assert [file.path for file in client.list_artifacts(run.info.run_id, "notes")] == ["notes/note.txt"]
    assert run.inputs.dataset_inputs[0].dataset.digest == "1cb251ec0d568de6a929b520c4aed8d1"  # md5 of "text"
    assert not waiting(root)


def test_a_stage_loads_no_mlflow(root: Path) -> None:
    script = SCRIPT + "import sys\nassert 'mlflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=root, check=True)
    assert len(runs(root)) == 1


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://me:s3cret@example.org:5000", "http://me:***@example.org:5000"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////a/mlflow.db", "sqlite:////a/mlflow.db"),
    ],
)
def test_a_password_is_not_shown(uri: str, shown: str) -> None:
    assert tracking.without_password(uri) == shown
    assert "s3cret" not in courier._one_line(OSError(f"API request to {uri}/api/2.0 failed"))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///runs/mine.db", "sqlite:////home/project/runs/mine.db"),
        ("sqlite:////elsewhere/mine.db", "sqlite:////elsewhere/mine.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("", "sqlite:////home/project/mlflow.db"),
    ],
)
def test_a_store_is_the_same_file_from_everywhere(uri: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of the project, as DVC makes them for experiments, mean the file of the project itself."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking.store_uri(Path("/home/project")) == expected


def test_a_store_that_is_away_costs_one_warning_and_nothing_is_lost(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", REFUSING)
    a_stage(root)
    assert capsys.readouterr().err.count(NOT_SENT) == 1
    assert len(waiting(root)) == 1
    assert courier.deliver_all(root) == (0, 1)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert courier.deliver_all(root) == (1, 0)
    assert courier.deliver_all(root) == (0, 0)
    (run,) = runs(root)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["loss"] == 0.25


def test_a_server_that_hangs_costs_thirty_seconds_at_most(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], silent_server: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent_server)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # so that it is the stage that gives up
    monkeypatch.setattr(tracking, "PATIENCE", 2.0)
    began = time.monotonic()
    a_stage(root)
    assert time.monotonic() - began < 4
    assert capsys.readouterr().err.count(NOT_SENT) == 1
    assert len(waiting(root)) == 1


def test_deliveries_and_a_courier_that_looks_on_do_not_disturb_each_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_call_courier", lambda box, key: None)
    monkeypatch.setattr(tracking, "PATIENCE", 0.0)
    for _ in range(30):
        a_stage(root)
    looks = f"""
import sys, time
from pathlib import Path
from dae import courier
courier.FORGIVE, store = 60.0, {REFUSING!r}
known, box = courier._Known(down={{store: (time.monotonic(), "away")}}), Path(".mlflow_outbox")
Path("looks_on").touch()
while waiting := list(box.glob("*/events.jsonl")):
    for events in waiting:
        try:
            courier._take(events.parent, store, known)
        except OSError:
            pass
"""
    with subprocess.Popen([sys.executable, "-c", looks], cwd=root) as onlooker:
        try:
            while not (root / "looks_on").exists() and onlooker.poll() is None:
                time.sleep(0.02)
            sent, failed = deliver_until_none_waits(root)
            assert onlooker.wait(timeout=30) == 0
        finally:
            onlooker.kill()
    assert (sent, failed) == (30, 0)
    assert len(runs(root)) == 30
    assert nothing_left(root)


def test_two_that_deliver_at_once_send_every_run_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make deliver` beside a courier that takes journals too."""
    call = tracking._call_courier
    monkeypatch.setattr(tracking, "_call_courier", lambda box, key: None)
    monkeypatch.setattr(tracking, "PATIENCE", 0.0)
    a_stage(root)
    assert courier.deliver_all(root) == (1, 0)  # opens the store, which takes longer than to send the rest
    for _ in range(30):
        a_stage(root)
    call(tracking.outbox(root), tracking._key())
    ends = time.monotonic() + 60
    while len(waiting(root)) == 30 and time.monotonic() < ends:
        time.sleep(0.02)  # the courier loads MLflow
    sent, failed = deliver_until_none_waits(root)
    assert 0 < sent < 30
    assert not failed
    assert [run.info.status for run in runs(root)] == ["FINISHED"] * 31
    assert {len(run.data.metrics) for run in runs(root)} == {2}
    assert nothing_left(root)


def test_a_delivery_that_was_cut_off_gets_no_double(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_call_courier", lambda box, key: None)
    monkeypatch.setattr(tracking, "PATIENCE", 0.0)
    a_stage(root)
    (journal,) = waiting(root)
    send, count = courier._send, 0

    def breaks(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise ConnectionError("gone")
        send(*arguments)

    monkeypatch.setattr(courier, "_send", breaks)
    with pytest.raises(ConnectionError):
        courier.deliver(journal, tracking.store_uri(root))
    (journal / "sent.json").unlink()  # even if what was sent is forgotten, the run is found again
    courier.deliver(journal, tracking.store_uri(root))
    (run,) = runs(root)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"a.b": "1", "c": "[1, 2]"}


def test_a_failed_stage_is_a_failed_run(root: Path) -> None:
    def fail() -> None:
        with tracking.run("stage", {}, root=root, tags={}, artifacts={}):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert [run.info.status for run in runs(root)] == ["FAILED"]


def test_a_killed_stage_is_a_killed_run(root: Path) -> None:
    script = SCRIPT.replace('record.metrics({"m": 1})', "print(flush=True); import time; time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    ends = time.monotonic() + 30
    while waiting(root) and time.monotonic() < ends:
        time.sleep(0.1)
    assert [run.info.status for run in runs(root)] == ["KILLED"]


def test_a_store_that_was_deleted_is_made_anew(root: Path) -> None:
    a_stage(root)
    for file in root.glob("mlflow.db*"):
        file.unlink()
    a_stage(root)
    assert [run.info.status for run in runs(root)] == ["FINISHED"]


def test_eight_processes_that_meet_at_a_new_store_lose_no_run(root: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=root, stderr=subprocess.PIPE) for _ in range(8)]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert "warning" not in "".join(errors)
    assert len(runs(root)) == 8
    assert {run.info.status for run in runs(root)} == {"FINISHED"}


def test_a_courier_ends_when_there_is_nothing_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = root / "box"
    box.mkdir()
    monkeypatch.setattr(courier, "IDLE", 0.3)
    courier.main(box, "key")
    assert not list(box.iterdir())


def test_home_is_the_checkout_that_made_a_temporary_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home() == root.resolve()
    inside = root / ".dvc" / "tmp" / "exps" / "tmp123"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert home() == root.resolve()
