"""What dropped entries have left is removed, and nothing else."""

from pathlib import Path

import pytest

from tools.prune import remove


def test_a_folder_goes_with_the_folders_that_are_empty_then(tmp_path: Path) -> None:
    for name in ("results/clean/a/model", "results/clean/b"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "results/clean/a/model/weights").touch()
    (tmp_path / "results/clean/b/history.csv").touch()
    remove(tmp_path / "results/clean/a/model", tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "results",
        "results/clean",
        "results/clean/b",
        "results/clean/b/history.csv",
    ]
    remove(tmp_path / "results/clean/b/history.csv", tmp_path)
    assert not list(tmp_path.iterdir())
    remove(tmp_path / "results/clean/b/history.csv", tmp_path)  # nothing there any more


def test_a_folder_that_something_depends_on_stays(tmp_path: Path) -> None:
    kept = tmp_path / "results/clean"
    (kept / "a/model").mkdir(parents=True)
    remove(kept / "a/model", tmp_path, {kept})
    assert not list(kept.iterdir())


@pytest.mark.parametrize("path", ["..", ".", "../other", "results/../../other"])
def test_nothing_outside_is_removed(tmp_path: Path, path: str) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match="expected an output within"):
        remove(tmp_path / "project" / path, tmp_path / "project")
    assert (tmp_path / "other").exists()
