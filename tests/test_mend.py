"""Files that DVC writes in place and a kill has cut off are put back; whole ones are let be."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.common import KEPT_LOCK, call, keep_lock
from stages.mend import is_whole, mend
from stages.quick import ROOT

RWLOCK = Path(".dvc/tmp/rwlock")
BUSY = json.dumps({"write": {"data": {"pid": 1, "cmd": "dvc repro"}}, "read": {}})


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The beginning of the project's own dvc.lock, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    lines = (ROOT / "dvc.lock").read_text().splitlines(keepends=True)
    stages = [place for place, line in enumerate(lines) if line.startswith("  ") and line[2] != " "]
    text = "".join(lines[: stages[3]])
    Path("dvc.lock").write_text(text)
    RWLOCK.parent.mkdir(parents=True)
    RWLOCK.write_text(BUSY)
    return text


def state() -> dict[str, Any]:
    return {str(path): path.read_text() for path in Path().rglob("*") if path.is_file()}


def test_what_is_whole_stays(lock: str) -> None:
    keep_lock()
    before = state()
    mend(Path())
    assert state() == before
    assert before["dvc.lock"] == before[str(KEPT_LOCK)] == lock


def test_a_lock_that_is_cut_off_is_put_back(lock: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Anywhere but at the end of a line, where what is left may be a lock with less in it."""
    keep_lock()
    for cut in [place for place in range(0, len(lock), 50) if lock[:place][-1:] != "\n"] + [len(lock) - 1]:
        Path("dvc.lock").write_text(lock[:cut])
        mend(Path())
        assert Path("dvc.lock").read_text() == lock, cut
        assert "put back" in capsys.readouterr().out


def test_a_lock_with_a_stage_less_is_whole(lock: str) -> None:
    """DVC writes one after every stage: what is kept may lack the last, and is not put in the place of a newer one."""
    stages = [place for place in range(len(lock)) if lock.startswith("\n  ", place) and lock[place + 3] != " "]
    Path("dvc.lock").write_text(lock[: stages[-1] + 1])
    assert is_whole(Path("dvc.lock"))
    keep_lock()
    Path("dvc.lock").write_text(lock)
    mend(Path())
    assert Path("dvc.lock").read_text() == lock


@pytest.mark.parametrize("cut", range(len(BUSY)))
def test_a_list_of_who_works_that_is_cut_off_is_removed(lock: str, cut: int) -> None:
    RWLOCK.write_text(BUSY[:cut])
    mend(Path())
    assert not RWLOCK.exists()


def test_before_the_first_stage_is_finished_an_empty_lock_is_put_back(lock: str) -> None:
    Path("dvc.lock").unlink()
    keep_lock()
    Path("dvc.lock").write_text(lock[:100])
    mend(Path())
    assert is_whole(Path("dvc.lock"))
    assert "stages" not in Path("dvc.lock").read_text()


def test_a_merge_with_conflicts_is_left_alone(lock: str) -> None:
    keep_lock()
    text = f"{lock}<<<<<<< HEAD\n=======\n>>>>>>> other\n"
    Path("dvc.lock").write_text(text)
    with pytest.raises(ValueError, match="resolve its conflicts"):
        mend(Path())
    assert Path("dvc.lock").read_text() == text


def test_what_was_damaged_is_kept_too(lock: str) -> None:
    keep_lock()
    Path("dvc.lock").write_text(lock[:100])
    mend(Path())
    assert KEPT_LOCK.with_name("dvc.lock.damaged").read_text() == lock[:100]


def test_no_stage_begins_on_a_lock_that_is_cut_off(
    lock: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """DVC may take it for a whole one and begin anew; the whole copy must outlive that."""
    keep_lock()
    Path("dvc.lock").write_text(lock[:100])
    monkeypatch.setenv("DVC_STAGE", "stage")
    monkeypatch.setattr(sys, "argv", ["stage"])
    assert call(lambda: None) == 1
    assert "dvc.lock is half-written" in capsys.readouterr().err
    assert KEPT_LOCK.read_text() == lock
    mend(Path())
    assert call(lambda: None) == 0


@pytest.mark.parametrize("kept", [None, "stages: ["])
def test_without_a_whole_copy_the_way_out_is_said(lock: str, kept: str | None) -> None:
    Path("dvc.lock").write_text(lock[:100])
    if kept:
        KEPT_LOCK.write_text(kept)
    with pytest.raises(ValueError, match=r"git checkout dvc\.lock"):
        mend(Path())
    assert Path("dvc.lock").read_text() == lock[:100]
