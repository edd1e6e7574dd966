"""Files are written whole or not at all, and what cannot be read is named."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dae.data.files import (
    load_array,
    load_table,
    md5,
    read_csv,
    read_json,
    replacing,
    replacing_file,
    write_csv,
    write_json,
)
from tests.conftest import TOLERANCES


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_replacing_makes_a_folder_and_its_parents(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "target"
    with replacing(target) as folder:
        (folder / "new").write_text("1")
        assert not target.exists()
    assert content(target) == {"new": "1"}
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_replacing_swaps_the_whole_folder(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("0")
    with replacing(target) as folder:
        assert content(folder) == {}
        (folder / "new").write_text("1")
        assert content(target) == {"old": "0"}
    assert content(target) == {"new": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def interrupted(target: Path, error: type[BaseException]) -> None:
    """A stage that fails when half of its output is written."""
    with replacing(target) as folder:
        (folder / "half").write_text("x")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_replacing_keeps_the_old_folder_on_an_error(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("0")
    with pytest.raises(error):
        interrupted(target, error)
    assert content(target) == {"old": "0"}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_replacing_makes_nothing_on_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), replacing(tmp_path / "target"):
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []


def test_replacing_after_a_run_that_was_killed(tmp_path: Path) -> None:
    """What a killed run left half-written is thrown away, never mixed with the new."""
    target = tmp_path / "target"
    with replacing(target) as leftover:
        pass
    target.rmdir()
    leftover.mkdir()
    (leftover / "half").write_text("x")
    with replacing(target) as folder:
        (folder / "new").write_text("1")
    assert content(target) == {"new": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_replacing_after_a_kill_between_its_two_renames(tmp_path: Path) -> None:
    """What was there is there again, also if the next run fails."""
    target = tmp_path / "target"
    (tmp_path / ".target.old.tmp").mkdir()
    (tmp_path / ".target.old.tmp" / "earlier").write_text("1")
    with pytest.raises(ValueError, match="stop"), replacing(target):
        raise ValueError("stop")
    assert content(target) == {"earlier": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_replacing_refuses_a_file_in_the_way(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    with pytest.raises(ValueError, match=r"target: .*found a file"), replacing(target):
        pass
    assert target.read_text() == "mine"


def interrupted_file(target: Path) -> None:
    with replacing_file(target) as path:
        path.write_text("half")
        raise KeyError


def test_replacing_file(tmp_path: Path) -> None:
    target = tmp_path / "a" / "target"
    for text in ("first", "second"):
        with replacing_file(target) as path:
            path.write_text(text)
        assert target.read_text() == text
    with pytest.raises(KeyError):
        interrupted_file(target)
    assert content(target.parent) == {"target": "second"}


@pytest.mark.parametrize("size", [0, 1, 2**20 + 7])
def test_md5(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    assert md5(path) == hashlib.md5(path.read_bytes()).hexdigest()


def test_json_roundtrip(tmp_path: Path) -> None:
    value = {"b": 1, "a": [1.5, None, True], "text": "é"}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value
    assert list(read_json(tmp_path / "file.json")) == list(value)
    assert json.loads((tmp_path / "file.json").read_text(encoding="utf-8")) == value


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"3", b"\xff\xfe", b'{"a": }'])
def test_json_that_cannot_be_read(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"file\.json: expected a JSON"):
        read_json(path)


@pytest.mark.parametrize(("read", "name"), [(read_json, "a.json"), (read_csv, "a.csv"), (load_table, "a.npz")])
def test_a_missing_file_says_what_makes_it(tmp_path: Path, read: Callable[[Path], Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}: no such file; `dvc repro`"):
        read(tmp_path / name)


def test_csv_roundtrip(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"epoch": 1, "loss": 0.123456789, "name": "conv", "empty": None, "tiny": 1.5e-9},
        {"epoch": 20, "loss": 12345.6789, "name": "2 digits", "empty": None, "tiny": 0.0},
    ]
    write_csv(tmp_path / "file.csv", rows)
    again = read_csv(tmp_path / "file.csv")
    assert [list(row) for row in again] == [list(row) for row in rows]
    for row, expected in zip(again, rows, strict=True):
        assert row["epoch"] == expected["epoch"]
        assert isinstance(row["epoch"], int)
        assert row["name"] == expected["name"]
        assert row["empty"] == ""
        for name in ("loss", "tiny"):
            assert row[name] == pytest.approx(expected[name], rel=TOLERANCES["csv"])


def test_csv_columns(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    write_csv(path, [], ["a", "b"])
    assert path.read_text() == "a,b\n"
    assert read_csv(path) == []
    write_csv(path, [{"b": 1}, {"a": 2, "c": 3}], ["a", "b"])
    assert path.read_text() == "a,b\n,1\n2,\n"


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_load_array(tmp_path: Path, dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    again = load_array(tmp_path / "a.npy", ndim=3)
    assert isinstance(again, np.memmap)
    assert again.dtype == dtype
    assert np.array_equal(again, array)
    with pytest.raises(ValueError, match="read-only"):
        again[0] = 1


def damaged(path: Path, kind: str) -> None:
    """A file at `path` that is no intact array (20, 30) of bytes."""
    np.save(path, np.zeros((20, 30), np.uint8))
    whole = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    elif kind == "objects":
        np.save(path, np.array([[{}]], dtype=object), allow_pickle=True)
    elif kind == "dimensions":
        np.save(path, np.zeros((20, 30, 1), np.uint8))
    elif kind == "type":
        np.save(path, np.zeros((20, 30), np.float64))
    elif kind == "archive":
        with path.open("wb") as file:
            np.savez(file, a=np.zeros((20, 30), np.uint8))
    else:
        cut = {"empty": 0, "magic": 4, "header": 40, "values": len(whole) - 1, "text": None}[kind]
        path.write_bytes(b"no array" if cut is None else whole[:cut])


KINDS = ["missing", "folder", "objects", "dimensions", "type", "archive", "empty", "magic", "header", "values", "text"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_that_cannot_be_loaded_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "train.npy"
    damaged(path, kind)
    with pytest.raises(ValueError, match=r"train\.npy: ") as caught:
        load_array(path, ndim=2)
    assert str(path) in str(caught.value)


def test_table_roundtrip(tmp_path: Path) -> None:
    table = {"a": np.arange(3.0), "b c": np.zeros((2, 2), np.uint8)}
    np.savez(tmp_path / "t.npz", **table)  # type: ignore[arg-type]
    again = load_table(tmp_path / "t.npz")
    assert again.keys() == table.keys()
    assert all(np.array_equal(again[name], table[name]) for name in table)


@pytest.mark.parametrize("kind", ["empty", "truncated", "flipped", "text", "objects", "array"])
def test_a_table_that_cannot_be_loaded_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, a=np.arange(100.0))
    whole = bytearray(path.read_bytes())
    if kind == "objects":
        np.savez(path, a=np.array([{}], dtype=object))
    elif kind == "array":
        with path.open("wb") as file:
            np.save(file, np.arange(3))
    else:
        whole[len(whole) // 2] ^= 1
        contents = {"empty": b"", "truncated": bytes(whole[:-30]), "flipped": bytes(whole), "text": b"no zip"}
        path.write_bytes(contents[kind])
    with pytest.raises(ValueError, match=r"t\.npz: "):
        load_table(path)


@pytest.mark.parametrize("text", ["epoch,loss\n1\n", "epoch,loss\n1,2,3\n", "epoch,loss\n\xff\xfe,1\n"])
def test_a_table_of_text_that_is_damaged_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(ValueError, match=r"history\.csv: "):
        read_csv(path)
