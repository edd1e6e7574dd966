"""The IDX format, the split, and the arrays of a prepared folder."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from dae.core.images import (
    LEARN,
    TEST,
    average_pool,
    image_file,
    label_file,
    load_draws,
    load_images,
    load_labels,
    load_patches,
    subset,
)
from dae.core.streams import stream
from dae.sources._idx import IDX_FILES, MAX_IDX_BYTES, Array, idx_bytes, parse_dataset, parse_idx, read_bytes, split


def arrays(train: int = 20, test: int = 8) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {
        "train_images": rng.integers(0, 256, (train, 28, 28), dtype=np.uint8),
        "train_labels": rng.integers(0, 10, train, dtype=np.uint8),
        "test_images": rng.integers(0, 256, (test, 28, 28), dtype=np.uint8),
        "test_labels": rng.integers(0, 10, test, dtype=np.uint8),
    }


def files(**changes: Array) -> dict[str, bytes]:
    return {key: idx_bytes(array) for key, array in {**arrays(), **changes}.items()}


@pytest.mark.parametrize("shape", [(7,), (0,), (3, 4, 5), (0, 28, 28), (300, 2, 1)])
def test_idx_roundtrip(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    again = parse_idx(idx_bytes(array), ndim=len(shape), name="file")
    assert again.dtype == np.uint8
    assert again.shape == shape
    assert np.array_equal(again, array)


def test_idx_layout() -> None:
    """LeCun's format: 0 0, type 8, number of dimensions, sizes as big-endian 32-bit numbers, values row by row."""
    content = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])
    assert parse_idx(content, ndim=2, name="file").tolist() == [[1, 2, 3], [4, 5, 6]]
    assert idx_bytes(np.array([[1, 2, 3], [4, 5, 6]], np.uint8)) == content
    assert idx_bytes(np.zeros(258, np.uint8))[4:8] == bytes([0, 0, 1, 2])


GOOD = idx_bytes(np.ones((2, 28, 28), np.uint8))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        GOOD[:3],
        GOOD[:10],
        GOOD[:16],
        GOOD[:-1],
        GOOD + b"\0",
        bytes([0, 0, 8, 1]) + GOOD[4:],
        bytes([0, 0, 13, 3]) + GOOD[4:],
        bytes([8, 0, 0, 3]) + GOOD[4:],
        b"<!DOCTYPE html><html>not found</html>",
        bytes([0, 0, 8, 3]) + b"\xff\xff\xff\xff" * 3 + bytes(100),
        bytes([0, 0, 8, 3]) + (2**16).to_bytes(4, "big") * 3,
    ],
    ids=[
        "empty",
        "no magic",
        "half a header",
        "no values",
        "truncated",
        "too long",
        "one dimension",
        "floats",
        "other byte order",
        "html",
        "promises 2^96 bytes",
        "promises terabytes",
    ],
)
def test_what_is_no_idx_file(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^train-images: ") as caught:
        parse_idx(content, ndim=3, name="train-images")
    assert "\n" not in str(caught.value)


def test_dataset_roundtrip() -> None:
    expected = arrays()
    found = parse_dataset(files())
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"train_labels": np.zeros(19, np.uint8)}, "train-labels"),
        ({"test_labels": np.zeros(9, np.uint8)}, "t10k-labels"),
        ({"train_labels": np.full(20, 10, np.uint8)}, "train-labels"),
        ({"test_labels": np.full(8, 255, np.uint8)}, "t10k-labels"),
        ({"train_images": np.zeros((20, 28, 27), np.uint8)}, "train-images"),
        ({"test_images": np.zeros((8, 32, 28), np.uint8)}, "t10k-images"),
        ({"test_images": np.zeros((0, 28, 28), np.uint8), "test_labels": np.zeros(0, np.uint8)}, "t10k-images"),
        ({"train_images": np.zeros((20, 784), np.uint8)}, "train-images"),
        ({"train_labels": np.zeros((20, 1), np.uint8)}, "train-labels"),
    ],
)
def test_a_wrong_file_of_a_dataset_is_named(changes: dict[str, Array], named: str) -> None:
    with pytest.raises(ValueError, match=rf"^{named}\S*: expected .* found "):
        parse_dataset(files(**changes))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_read_bytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(gzip.compress(GOOD) if suffix else GOOD)
    assert read_bytes(path) == GOOD


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(MAX_IDX_BYTES // 2**20 + 1):
            file.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(ValueError, match=r"bomb\.gz: .*at most"):
        read_bytes(path)


def test_a_plain_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, 2**40)  # sparse
    with pytest.raises(ValueError, match=r"large: .*at most"):
        read_bytes(path)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"no gzip at all", gzip.compress(GOOD)[:-9]])
def test_a_gz_that_cannot_be_unpacked(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    if content:
        with pytest.raises(ValueError, match=r"file\.gz: cannot be read"):
            read_bytes(path)
    else:
        assert read_bytes(path) == b""  # refused by parse_idx: no magic


def test_a_gz_with_one_wrong_byte_never_passes_for_another_content(tmp_path: Path) -> None:
    content = idx_bytes(arrays()["train_images"])
    packed = gzip.compress(content, mtime=0)
    path = tmp_path / "file.gz"
    refused = 0
    for place in range(0, len(packed), len(packed) // 40):
        path.write_bytes(packed[:place] + bytes([packed[place] ^ 0x55]) + packed[place + 1 :])
        try:
            found = read_bytes(path)
        except ValueError:
            refused += 1
        else:
            assert found == content  # a byte of the header that means nothing
    assert refused > 35


@pytest.mark.parametrize("name", ["absent", "absent.gz"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}: cannot be read"):
        read_bytes(tmp_path / name)


def test_split_takes_validation_from_the_end() -> None:
    given = arrays(20, 8)
    parts = split(given, validation=6, limit=None)
    assert {name: len(x) for name, (x, _) in parts.items()} == {"train": 14, "validation": 6, "test": 8}
    for x, y in parts.values():
        assert x.shape == (len(y), 1, 28, 28)
        assert x.dtype == np.uint8
    together = [np.concatenate([parts["train"][i], parts["validation"][i]]) for i in (0, 1)]
    assert np.array_equal(together[0][:, 0], given["train_images"])
    assert np.array_equal(together[1], given["train_labels"])
    assert np.array_equal(parts["test"][0][:, 0], given["test_images"])


@pytest.mark.parametrize("limit", [1, 5, 7, 1000])
def test_limit_keeps_the_first_images_of_each_split(limit: int) -> None:
    whole = split(arrays(), validation=6, limit=None)
    for name, (x, y) in split(arrays(), validation=6, limit=limit).items():
        assert len(x) == len(y) == min(limit, len(whole[name][0]))
        assert np.array_equal(x, whole[name][0][:limit])
        assert np.array_equal(y, whole[name][1][:limit])


@pytest.mark.parametrize("validation", [20, 21, 60000])
def test_split_that_leaves_nothing_to_train_on(validation: int) -> None:
    with pytest.raises(ValueError, match=rf"^validation: .* 20 training images, found {validation}"):
        split(arrays(20), validation=validation, limit=None)


def test_subset() -> None:
    """Ascending, from everywhere, the smaller ones within the larger, at most all."""
    few, many = (subset(count, 10_000, rng=stream(0, "subset")) for count in (200, 1000))
    assert len(few) == 200
    assert set(few) < set(many)
    assert (np.diff(many) > 0).all()
    assert np.histogram(many, bins=4, range=(0, 10_000))[0] == pytest.approx(250, abs=60)  # 4.4 standard deviations
    assert subset(9, 3, rng=stream(0, "subset")).tolist() == [0, 1, 2]
    assert subset(0, 3, rng=stream(0, "subset")).tolist() == []


def test_the_files_of_a_prepared_and_of_a_corrupted_data_set(tmp_path: Path) -> None:
    x = np.zeros((4, 1, 28, 28), np.uint8)
    for folder in (LEARN, TEST):
        (tmp_path / folder).mkdir()
    np.save(tmp_path / "learn" / "train.npy", x)
    np.save(tmp_path / "learn" / "train_labels.npy", np.arange(4, dtype=np.uint8))
    assert isinstance(load_images(tmp_path, "train"), np.memmap)
    assert load_labels(tmp_path, "train", count=4).tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"train\.npy: expected 5 dimensions"):
        load_draws(tmp_path, "train")
    np.save(tmp_path / "test" / "test.npy", x[None].astype(np.float16))
    assert load_draws(tmp_path, "test").shape == (1, 4, 1, 28, 28)
    with pytest.raises(ValueError, match=r"test\.npy: expected 4 dimensions"):
        load_images(tmp_path, "test")
    with pytest.raises(ValueError, match=r"validation_labels\.npy: no such file"):
        load_labels(tmp_path, "validation", count=4)


def test_test_images_lie_apart_from_what_networks_learn_from_and_choose_on(tmp_path: Path) -> None:
    for file in (image_file, label_file):
        parents = [file(tmp_path, split).parent.name for split in ("train", "validation", "test")]
        assert parents == ["learn", "learn", "test"]


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 1, 2, 3, 4], [0, 1, 2, 10]])
def test_labels_of_other_images_are_refused(tmp_path: Path, labels: list[int]) -> None:
    (tmp_path / TEST).mkdir()
    np.save(label_file(tmp_path, "test"), np.array(labels, np.uint8))
    with pytest.raises(ValueError, match=r"test_labels\.npy: expected 4 labels below 10"):
        load_labels(tmp_path, "test", count=4)


def test_average_pool() -> None:
    x = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4)
    assert average_pool(x, 2).tolist() == [[[[2.5, 4.5], [10.5, 12.5]], [[18.5, 20.5], [26.5, 28.5]]]]
    assert np.array_equal(average_pool(x, 1), x)


def test_patches_are_read_as_rows(tmp_path: Path) -> None:
    patches = np.arange(24, dtype=np.float16).reshape(6, 1, 2, 2)
    np.save(tmp_path / "train.npy", patches)
    rows = load_patches(tmp_path / "train.npy")
    assert rows.dtype == np.float32
    assert rows.tolist() == patches.reshape(6, 4).tolist()


def test_files_of_mnist() -> None:
    assert set(IDX_FILES.values()) == {
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    }
