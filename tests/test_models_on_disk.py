"""Networks on disk: every bit kept, every damage named."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from dae.core.files import MissingFileError
from dae.core.models import load, save
from dae.registry import digest
from tests.test_networks import every_network, kind_of, known, make

pytestmark = pytest.mark.usefixtures("one_thread")


def saved(folder: Path, name: str = "mlp_2d") -> nn.Module:
    model: nn.Module = make(name)
    save(folder, model, (kind_of(name), known(name).small))
    return model


def same_bits(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(
        first[name].detach().numpy().tobytes() == second[name].detach().numpy().tobytes() for name in first
    )


@every_network
def test_save_and_load_keep_every_bit(tmp_path: Path, name: str) -> None:
    model = saved(tmp_path / "model", name)
    again, card = load(tmp_path / "model")
    assert type(again) is type(model)
    assert not again.training
    assert same_bits(again, model)
    assert card["kind"] == kind_of(name)
    assert card["arguments"] == {**card["arguments"], **known(name).small}
    assert card["code"] == digest("networks", kind_of(name))


def test_the_memory_layout_of_the_weights_does_not_change_the_files(tmp_path: Path) -> None:
    model = saved(tmp_path / "plain", "conv")
    save(tmp_path / "other", model.to(memory_format=torch.channels_last), ("conv", {}))
    for name in ("weights.safetensors", "model.json"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_a_folder_has_no_pickle(tmp_path: Path) -> None:
    saved(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"weights.safetensors", "model.json"}
    header = (tmp_path / "model" / "weights.safetensors").read_bytes()[8:9]
    assert header == b"{"
    json.loads((tmp_path / "model" / "model.json").read_text())


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        saved(tmp_path / folder)
    for name in ("weights.safetensors", "model.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def spoil_weights(folder: Path, how: str) -> None:
    path = folder / "weights.safetensors"
    content = path.read_bytes()
    weights = load_file(path)
    first = next(iter(weights))
    if how == "missing":
        path.unlink()
    elif how in ("truncated", "empty", "text", "pickle"):
        path.write_bytes(
            {"truncated": content[:-10], "empty": b"", "text": b"x" * 100, "pickle": b"\x80\x04cos\nsystem\n."}[how]
        )
    elif how == "header":
        path.write_bytes((2**40).to_bytes(8, "little") + content[8:])
    elif how in ("nan", "inf"):
        weights[first].view(-1)[3] = float(how)
        save_file(weights, path)
    elif how == "renamed":
        save_file({f"other.{name}": tensor for name, tensor in weights.items()}, path)
    elif how == "incomplete":
        save_file({name: tensor for name, tensor in weights.items() if name != first}, path)
    else:
        saved(folder.with_name("other"), "stacked")
        path.write_bytes((folder.with_name("other") / "weights.safetensors").read_bytes())


@pytest.mark.parametrize(
    "how",
    [
        *["missing", "truncated", "empty", "text", "pickle", "header", "nan", "inf"],
        *["renamed", "incomplete", "other architecture"],
    ],
)
def test_weights_that_cannot_be_loaded_are_named(tmp_path: Path, how: str) -> None:
    saved(tmp_path / "model")
    spoil_weights(tmp_path / "model", how)
    with pytest.raises(ValueError, match=r"weights\.safetensors: ") as caught:
        load(tmp_path / "model")
    assert str(caught.value).startswith(str(tmp_path / "model" / "weights.safetensors"))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, MissingFileError) == (how == "missing")


@pytest.mark.parametrize(
    "card",
    [
        None,
        "",
        "{",
        "[]",
        "{}",
        '{"kind": "mlp_3d", "arguments": {}}',
        '{"kind": ["mlp_2d"], "arguments": {}}',
        '{"kind": "mlp_2d", "arguments": {"latent": 0}}',
        '{"kind": "mlp_2d", "arguments": {"size": 3}}',
        '{"kind": "mlp_2d", "arguments": [3]}',
        '{"kind": "mlp_2d", "arguments": null}',
        '{"kind": "cnn", "arguments": {"channels": [2, 2, 2, 2, 2]}}',
    ],
)
def test_a_card_that_cannot_be_read_is_named(tmp_path: Path, card: str | None) -> None:
    saved(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    path.unlink() if card is None else path.write_text(card)
    with pytest.raises(ValueError, match=r"model\.json: ") as caught:
        load(tmp_path / "model")
    assert str(caught.value).startswith(str(path))
    assert isinstance(caught.value, MissingFileError) == (card is None)


def test_arguments_of_another_size_do_not_fit(tmp_path: Path) -> None:
    saved(tmp_path / "model")
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    card["arguments"]["latent"] = 4
    (tmp_path / "model" / "model.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"weights\.safetensors: does not fit a mlp_2d") as caught:
        load(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere.*model\.json: no such file"):
        load(tmp_path / "nowhere")
