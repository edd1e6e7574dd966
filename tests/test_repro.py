"""`stages.repro` writes the dvc.lock that DVC writes."""

import copy
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from dvc import dvcfile
from dvc.repo import Repo
from dvc.utils.serialize import dump_yaml, load_yaml

from stages.quick import ROOT
from stages.repro import Modify, replacing_lock
from tests.fitting import StopError
from tests.pipeline import environment


def share(*stages: dict[str, Any]) -> None:
    """In each of them one object at two places, as an alias of params.yaml is."""
    for stage in stages:
        same = {"c": [1]}
        stage["params"] = {"a": same, "b": same}


EDITS: dict[str, Any] = {
    "no edit": lambda stages: None,
    "another hash": lambda stages: stages["plot"]["outs"][0].update(md5="0" * 32),
    "a long command": lambda stages: stages["plot"].update(cmd="python -m stages.plot " + 30 * "words "),
    "odd values": lambda stages: stages["plot"].update(
        params={"params.yaml": {"a": None, "b": 1e-05, "c": [0.0, 1], "d": "0.1", "e": True, "f": [], "g": "12_3"}}
    ),
    "whole numbers": lambda stages: stages["plot"].update(params={"params.yaml": {"a": 1, "b": 0}}),
    "the same as floats": lambda stages: stages["plot"].update(params={"params.yaml": {"a": 1.0, "b": False}}),
    "another order": lambda stages: stages["plot"].update(params={"params.yaml": {"b": False, "a": 1.0}}),
    "aliases": lambda stages: share(*stages.values()),
    "a new stage": lambda stages: stages.update(new=copy.deepcopy(stages["plot"])),
    "a stage less": lambda stages: stages.pop("plot"),
    "no stages": lambda stages: stages.clear(),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's own dvc.lock, every tenth stage of it, as DVC writes it."""
    lock = tmp_path_factory.mktemp("lock") / "dvc.lock"
    content = load_yaml(str(ROOT / "dvc.lock"))
    dump_yaml(str(lock), {**content, "stages": dict([*content["stages"].items()][::-10])})
    return lock


def test_the_whole_lock_of_the_project(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    shutil.copyfile(ROOT / "dvc.lock", lock)
    with replacing_lock(dvcfile.modify_yaml)(str(lock)):
        pass
    assert lock.read_bytes() == (ROOT / "dvc.lock").read_bytes()


def edited(modify: Modify, original: Path, folder: Path, *names: str) -> bytes:
    """A lock in this folder after these edits, one after the other."""
    folder.mkdir(exist_ok=True)
    lock = folder / "dvc.lock"
    shutil.copyfile(original, lock)
    for name in names:
        with modify(str(lock)) as content:
            EDITS[name](content["stages"])
    return lock.read_bytes()


@pytest.mark.parametrize("name", EDITS)
def test_the_same_bytes(original: Path, tmp_path: Path, name: str) -> None:
    again = [] if name in {"a stage less", "no stages"} else ["another hash"]
    edits = ["another hash", name, *again]
    expected = edited(dvcfile.modify_yaml, original, tmp_path / "slow", *edits)
    assert edited(replacing_lock(dvcfile.modify_yaml), original, tmp_path / "quick", *edits) == expected


def test_the_same_bytes_after_many_edits(original: Path, tmp_path: Path) -> None:
    expected = edited(dvcfile.modify_yaml, original, tmp_path / "slow", *EDITS)
    assert edited(replacing_lock(dvcfile.modify_yaml), original, tmp_path / "quick", *EDITS) == expected


def test_an_error_leaves_the_file_as_it_was(original: Path, tmp_path: Path) -> None:
    def fails() -> None:
        with replacing_lock(dvcfile.modify_yaml)(str(tmp_path / "dvc.lock")) as content:
            content.clear()
            raise StopError

    before = edited(dvcfile.modify_yaml, original, tmp_path)
    with pytest.raises(StopError):
        fails()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_comments_of_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("# why\nstages: {}\n")
    with replacing_lock(dvcfile.modify_yaml)(str(tmp_path / "dvc.yaml")) as content:
        content["vars"] = []
    assert (tmp_path / "dvc.yaml").read_text() == "# why\nstages: {}\nvars: []\n"


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    """A project whose only stage says who it is and works for a minute."""
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    code = "import os, time; open('began', 'x').write(str(os.getpid())); time.sleep(60)"
    (tmp_path / "work.py").write_text(code)
    (tmp_path / "dvc.yaml").write_text(f"stages:\n  work: {{cmd: {sys.executable} work.py, outs: [made]}}\n")
    return tmp_path


def start(project: Path) -> subprocess.Popen[bytes]:
    where = {**environment(), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "stages.repro"], cwd=project, env=where)


def eventually(happened: Callable[[], bool], seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_sigterm_ends_the_stage_too(waiting: Path) -> None:
    process = start(waiting)
    began = waiting / "began"
    eventually(lambda: began.exists() and began.read_text() != "")
    stage = psutil.Process(int(began.read_text()))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) != 0
    eventually(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE, 5)


def test_another_dvc_at_work_is_waited_for(waiting: Path) -> None:
    with Repo(str(waiting)) as repo, repo.lock:
        process = start(waiting)
        time.sleep(4)
        assert process.poll() is None
        assert not (waiting / "began").exists()
    eventually((waiting / "began").exists)
    process.send_signal(signal.SIGTERM)
    process.wait(30)


def test_a_pipeline_runs_to_the_same_lock(tmp_path: Path) -> None:
    """From nothing, stage by stage, then again; the exit code is DVC's too. Only DVC itself writes in place."""
    locks, codes = [], []
    for command in (["dvc", "repro"], ["stages.repro"]):
        project = tmp_path / command[0]
        project.mkdir()
        (project / "source").touch()
        subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=project, check=True)
        (project / "dvc.yaml").write_text(
            "stages:\n"
            "  first: {cmd: cp source a, deps: [source], outs: [a]}\n"
            "  second: {cmd: cp a b, deps: [a], params: [rate], outs: [b]}\n"
            "  third: {cmd: exit 3, deps: [b], outs: [c]}\n"
        )
        for rate in ("1e-05", "[0.1, null]"):
            (project / "params.yaml").write_text(f"rate: {rate}\n")
            where = {**environment(), "PYTHONPATH": str(ROOT)}
            if (project / "dvc.lock").exists():
                os.link(project / "dvc.lock", project / "old.lock")
            codes.append(
                subprocess.run([sys.executable, "-m", *command], cwd=project, env=where, check=False).returncode
            )
            locks.append((project / "dvc.lock").read_bytes())
            assert list(load_yaml(str(project / "dvc.lock"))["stages"]) == ["first", "second"]
        in_place = (project / "dvc.lock").samefile(project / "old.lock")
        assert in_place is (command[0] == "dvc")
    assert locks[:2] == locks[2:]
    assert codes[:2] == codes[2:]
    assert 0 not in codes
    assert locks[0] != locks[1]
