"""What `make verify` says of a repeated run: which hashes differ, and how far apart the files are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML
from safetensors.numpy import save_file

from dae.core.files import write_csv, write_json
from tools.differences import differences
from tools.verify import compare


def write(path: Path, value: Any) -> None:
    """A file of the kind that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, value)
    elif path.suffix == ".npz":
        np.savez(path, **value)
    elif path.suffix == ".safetensors":
        save_file(value, path)
    elif path.suffix == ".json":
        write_json(path, value)
    elif path.suffix == ".csv":
        write_csv(path, value)
    else:
        path.write_bytes(value)


A = np.zeros((2, 3), np.float32)
B = A + np.float32(0.5) * np.eye(2, 3, dtype=np.float32)
CASES = [
    ("a.npy", A, B, ["array: 2 of 6 values differ, by 0.5 at most"]),
    ("a.npy", A, A[:1], ["array: float32 (2, 3) and float32 (1, 3)"]),
    ("a.npy", A, A.astype(np.float64), ["array: float32 (2, 3) and float64 (2, 3)"]),
    ("a.npz", {"x": A, "y": A}, {"x": A, "y": B}, ["y: 2 of 6 values differ, by 0.5 at most"]),
    ("a.npz", {"x": A}, {"y": A}, ["only one of the two has x, y"]),
    ("a.safetensors", {"w": A}, {"w": B}, ["w: 2 of 6 values differ, by 0.5 at most"]),
    ("a.json", {"a": {"b": 1.5, "c": 2}}, {"a": {"b": 1.25, "c": 2}}, ["a.b: 1.5 and 1.25"]),
    ("a.csv", [{"epoch": 1, "loss": 0.5}], [{"epoch": 1, "loss": 0.25}], ["row 1.loss: 0.5 and 0.25"]),
    ("a.png", b"abc", b"abcd", ["3 and 4 bytes"]),
]


@pytest.mark.parametrize(("name", "ours", "theirs", "expected"), CASES)
def test_how_far_two_files_are_apart(tmp_path: Path, name: str, ours: Any, theirs: Any, expected: list[str]) -> None:
    for folder, value in (("ours", ours), ("theirs", theirs)):
        write(tmp_path / folder / name, value)
    assert differences(tmp_path / "ours" / name, tmp_path / "theirs" / name) == expected
    assert differences(tmp_path / "ours", tmp_path / "theirs") == [f"{name}: {line}" for line in expected]
    assert differences(tmp_path / "ours", tmp_path / "ours") == []


def test_files_of_one_folder_alone(tmp_path: Path) -> None:
    write(tmp_path / "ours" / "both.npy", A)
    write(tmp_path / "theirs" / "both.npy", A)
    write(tmp_path / "ours" / "a.npy", A)
    write(tmp_path / "theirs" / "b.npy", A)
    expected = ["a.npy: missing in the second", "b.npy: missing in the first"]
    assert differences(tmp_path / "ours", tmp_path / "theirs") == expected


def test_a_damaged_file_is_said_to_be_one(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"a": 1})
    (tmp_path / "b.json").write_text("{")
    assert "b.json: expected a JSON file" in differences(tmp_path / "a.json", tmp_path / "b.json")[0]


def lock(project: Path, hashes: dict[str, str]) -> None:
    project.mkdir(exist_ok=True)
    stages = {"train@a": {"outs": [{"path": path, "md5": digest} for path, digest in hashes.items()]}}
    YAML().dump({"schema": "2.0", "stages": stages}, project / "dvc.lock")


def test_damaged_weights_are_said_to_be_so(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    save_file({"a": np.zeros(3)}, ours)
    theirs.write_bytes(ours.read_bytes()[:-5])
    (line,) = differences(ours, theirs)
    assert "header" in line.lower()


def test_outputs_are_compared_by_hash_and_what_differs_is_measured(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    lock(ours, {"same.npy": "1", "other.npy": "2", "gone.npy": "3"})
    lock(theirs, {"same.npy": "1", "other.npy": "x", "gone.npy": "y", "new.npy": "4"})
    write(ours / "other.npy", A)
    for name in ("other.npy", "gone.npy", "new.npy"):
        write(theirs / name, B)
    lines, count = compare(ours, theirs)
    assert count == 4
    assert lines == [
        "train@a: other.npy: array: 2 of 6 values differ, by 0.5 at most",
        "train@a: gone.npy: the earlier output is not here to compare",
        f"train@a: new.npy: not in {ours / 'dvc.lock'}",
    ]
    assert compare(ours, ours) == ([], 3)


def test_an_output_that_changed_after_its_lock_was_written_is_said_to_have(tmp_path: Path) -> None:
    for name, digest in (("ours", "1"), ("theirs", "2")):
        lock(tmp_path / name, {"a.npy": digest})
        write(tmp_path / name / "a.npy", A)
    lines, _ = compare(tmp_path / "ours", tmp_path / "theirs")
    assert lines == ["train@a: a.npy: the earlier output is not the one in dvc.lock"]
