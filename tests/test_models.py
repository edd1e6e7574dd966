"""Architectures against their tables, parameter counts by hand, networks on disk."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dae.models import MODELS, Autoencoder, StackedClassifier, build, first_layer, load, parameter_count, save
from tests.conftest import TOLERANCES

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, dict[str, Any]] = {
    "conv": {},
    "mlp_2d": {"hidden": [8], "latent": 3},
    "deep_conv": {"channels": 4, "latent": 2},
    "upscaler": {"channels": 4},
    "cnn": {"channels": [2, 3], "hidden": 5},
    "stacked_encoder": {"hidden": [6, 4]},
    "stacked_classifier": {"hidden": [6, 4]},
}


def make(kind: str, arguments: dict[str, Any] | None = None, *, seed: int = 0, names: tuple[str, ...] = ("a",)) -> Any:
    return build(kind, SMALL[kind] if arguments is None else arguments, seed=seed, names=names)


def inputs(kind: str, count: int = 2) -> Tensor:
    side = 14 if kind == "upscaler" else 28
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(0))


def test_small_models_are_of_every_kind() -> None:
    assert SMALL.keys() == MODELS.keys()


# kind, shape of the latent code, shape of the output
@pytest.mark.parametrize(
    ("kind", "latent", "output"),
    [
        ("conv", (64, 1, 1), (1, 28, 28)),
        ("mlp_2d", (2,), (1, 28, 28)),
        ("deep_conv", (8, 1, 1), (1, 28, 28)),
        ("upscaler", (32, 1, 1), (1, 28, 28)),
    ],
)
def test_shapes_of_the_autoencoders(kind: str, latent: tuple[int, ...], output: tuple[int, ...]) -> None:
    model = make(kind, {})
    assert isinstance(model, Autoencoder)
    with torch.no_grad():
        code, restored = model.encode(inputs(kind)), model(inputs(kind))
    assert code.shape == (2, *latent)
    assert restored.shape == (2, *output)
    assert torch.equal(model.decoder(code), restored)


@pytest.mark.parametrize(
    ("kind", "arguments", "output"),
    [
        ("cnn", {}, (10,)),
        ("cnn", {"channels": [2], "hidden": 3, "classes": 4}, (4,)),
        ("cnn", {"channels": [2, 2, 2, 2]}, (10,)),
        ("stacked_encoder", {"hidden": [30, 20]}, (20,)),
        ("stacked_classifier", {"hidden": [30, 20]}, (10,)),
    ],
)
def test_shapes_of_the_classifiers(kind: str, arguments: dict[str, Any], output: tuple[int, ...]) -> None:
    assert make(kind, arguments)(inputs(kind)).shape == (2, *output)


def dense(*sizes: int) -> int:
    """Weights and biases of fully connected layers of these sizes."""
    return sum(a * b + b for a, b in pairwise(sizes))


def conv(inputs: int, outputs: int, side: int) -> int:
    return inputs * outputs * side**2 + outputs


# fmt: off
COUNTS: list[tuple[str, dict[str, Any], int]] = [
    ("conv", {}, conv(1, 16, 3) + conv(16, 32, 3) + conv(32, 64, 7)
                 + conv(64, 32, 7) + conv(32, 16, 3) + conv(16, 1, 3)),
    ("mlp_2d", {}, dense(784, 128, 64, 12, 2) + dense(2, 12, 64, 128, 784)),
    ("mlp_2d", {"hidden": [50], "latent": 3}, dense(784, 50, 3) + dense(3, 50, 784)),
    ("deep_conv", {}, conv(1, 32, 5) + conv(32, 32, 5) + conv(32, 32, 4) + conv(32, 32, 3) + conv(32, 8, 4)
                      + conv(8, 32, 4) + conv(32, 32, 3) + conv(32, 32, 4) + conv(32, 32, 5) + conv(32, 1, 5)),
    ("upscaler", {}, conv(1, 32, 5) + conv(32, 32, 5) + conv(32, 32, 4) + conv(32, 32, 3)
                     + conv(32, 32, 4) + conv(32, 32, 3) + conv(32, 32, 4) + conv(32, 32, 5) + conv(32, 1, 5)),
    ("cnn", {}, conv(1, 16, 3) + conv(16, 32, 3) + dense(7 * 7 * 32, 128, 10)),
    ("stacked_encoder", {}, dense(784, 1000, 1000, 1000)),
    ("stacked_classifier", {}, dense(784, 1000, 1000, 1000, 10)),
]
# fmt: on


@pytest.mark.parametrize(("kind", "arguments", "count"), COUNTS)
def test_parameter_counts(kind: str, arguments: dict[str, Any], count: int) -> None:
    assert parameter_count(make(kind, arguments)) == count


def test_parameter_count_of_conv_as_a_number() -> None:
    assert parameter_count(make("conv")) == 210_369


# The tables of the lectures: (transposed, stride, padding, output padding) of each layer.
TABLES: dict[str, list[tuple[bool, int, int, int]]] = {
    "conv": [(False, 2, 1, 0), (False, 2, 1, 0), (False, 1, 0, 0), (True, 1, 0, 0), (True, 2, 1, 1), (True, 2, 1, 1)],
    "deep_conv": [
        *[(False, 1, 0, 0), (False, 1, 0, 0), (False, 2, 0, 0), (False, 2, 0, 0), (False, 1, 0, 0)],
        *[(True, 1, 0, 0), (True, 2, 0, 0), (True, 2, 0, 0), (True, 1, 0, 0), (True, 1, 0, 0)],
    ],
    "upscaler": [
        *[(False, 1, 0, 0)] * 4,
        *[(True, 1, 0, 0), (True, 2, 0, 0), (True, 2, 0, 0), (True, 1, 0, 0), (True, 1, 0, 0)],
    ],
}


@pytest.mark.parametrize("kind", TABLES)
def test_forward_pass_against_the_table(kind: str) -> None:
    """ReLU between the layers, none at the code and at the output; a sigmoid at the end of conv."""
    model = make(kind)
    weights = list(model.parameters())
    table = TABLES[kind]
    assert len(weights) == 2 * len(table)
    last_of_encoder = [transposed for transposed, *_ in table].index(True) - 1
    h = inputs(kind)
    for layer, (transposed, stride, padding, more) in enumerate(table):
        w, b = weights[2 * layer : 2 * layer + 2]
        if transposed:
            h = F.conv_transpose2d(h, w, b, stride=stride, padding=padding, output_padding=more)
        else:
            h = F.conv2d(h, w, b, stride=stride, padding=padding)
        if layer not in (last_of_encoder, len(table) - 1):
            h = h.clamp(min=0)
    expected = 1 / (1 + torch.exp(-h)) if kind == "conv" else h
    assert torch.allclose(model(inputs(kind)), expected, atol=TOLERANCES["network"])


def chain(weights: list[Tensor], x: Tensor, *, plain: set[int]) -> Tensor:
    """Fully connected layers with ReLU, but for those in `plain`."""
    for layer in range(len(weights) // 2):
        x = x @ weights[2 * layer].T + weights[2 * layer + 1]
        x = x if layer in plain else x.clamp(min=0)
    return x


def test_forward_pass_of_mlp_2d() -> None:
    model = make("mlp_2d", {})
    h = chain(list(model.parameters()), inputs("mlp_2d").reshape(2, 784), plain={3, 7})
    expected = torch.sigmoid(h).reshape(2, 1, 28, 28)
    assert torch.allclose(model(inputs("mlp_2d")), expected, atol=TOLERANCES["network"])


def test_forward_pass_of_the_stack() -> None:
    model = make("stacked_classifier")
    x = inputs("stacked_classifier")
    expected = chain(list(model.parameters()), x.reshape(2, 784), plain={2})
    assert torch.allclose(model(x), expected, atol=TOLERANCES["network"])
    assert (model.encoder(x) >= 0).all()


@pytest.mark.parametrize("kind", ["conv", "mlp_2d"])
def test_a_sigmoid_keeps_the_output_within_the_range_of_images(kind: str) -> None:
    output = make(kind)(100 * inputs(kind) - 50)
    assert output.min() >= 0
    assert output.max() <= 1


@pytest.mark.parametrize("kind", SMALL)
def test_same_stream_same_weights_other_stream_other_weights(kind: str) -> None:
    def weights(**options: Any) -> list[Tensor]:
        return list(make(kind, **options).state_dict().values())

    first = weights()
    torch.rand(3)
    assert all(torch.equal(a, b) for a, b in zip(first, weights(), strict=True))
    for options in ({"seed": 1}, {"names": ("b",)}, {"names": ("a", "b")}):
        assert not torch.equal(first[0], weights(**options)[0])


def test_building_leaves_the_global_generator_untouched() -> None:
    before = torch.get_rng_state()
    make("conv")
    assert torch.equal(torch.get_rng_state(), before)


def test_first_layer() -> None:
    stack = make("stacked_classifier")
    assert isinstance(stack, StackedClassifier)
    weights = first_layer(stack, units=4)
    assert weights.shape == (4, 784)
    assert torch.equal(torch.from_numpy(weights), next(stack.parameters())[:4])


@pytest.mark.parametrize(
    ("kind", "arguments", "named"),
    [
        ("convv", {}, "kind: expected one of conv"),
        ("conv", {"channels": 3}, "channels: unknown key"),
        ("mlp_2d", {"latent": 0}, "latent: "),
        ("mlp_2d", {"hidden": []}, "hidden: "),
        ("cnn", {"channels": [2, 2, 2, 2, 2]}, "channels: "),
        ("stacked_encoder", {"hidden": [3, "4"]}, r"hidden\.1: "),
    ],
)
def test_build_names_what_is_wrong(kind: str, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make(kind, arguments)


# --- on disk


def saved(folder: Path, kind: str = "mlp_2d") -> nn.Module:
    model: nn.Module = make(kind)
    save(folder, model, kind, SMALL[kind], note="text")
    return model


def same_bits(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(
        first[name].detach().numpy().tobytes() == second[name].detach().numpy().tobytes() for name in first
    )


@pytest.mark.parametrize("kind", SMALL)
def test_save_and_load_keep_every_bit(tmp_path: Path, kind: str) -> None:
    model = saved(tmp_path / "model", kind)
    again, card = load(tmp_path / "model")
    assert type(again) is type(model)
    assert not again.training
    assert same_bits(again, model)
    assert card["kind"] == kind
    assert card["note"] == "text"
    assert card["arguments"] == {**card["arguments"], **SMALL[kind]}


def test_weights_in_another_memory_layout(tmp_path: Path) -> None:
    model = saved(tmp_path / "plain", "conv")
    save(tmp_path / "other", model.to(memory_format=torch.channels_last), "conv", {}, note="text")
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
        saved(folder.with_name("other"), "stacked_encoder")
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


def test_arguments_of_another_size_do_not_fit(tmp_path: Path) -> None:
    saved(tmp_path / "model")
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    card["arguments"]["latent"] = 4
    (tmp_path / "model" / "model.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"weights\.safetensors: does not fit a mlp_2d") as caught:
        load(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere.*model\.json: no such file"):
        load(tmp_path / "nowhere")
