"""Networks of every kind: architectures against their tables, parameter counts by hand, weights from streams."""

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dae.models import (
    MODELS,
    POINTS,
    UPSCALERS,
    Autoencoder,
    StackedClassifier,
    build,
    first_layer,
    parameter_count,
)
from tests.conftest import TOLERANCES

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, dict[str, Any]] = {
    "conv": {},
    "mlp_2d": {"hidden": [8], "latent": 3},
    "deep_conv": {"channels": 4, "latent": 2},
    "bn_conv": {"latent": 5, "channels": [2, 3]},
    "unet": {"width": 3, "levels": 2},
    "attention": {"channels": [2, 4], "heads": 2},
    "vae": {"latent": 3, "hidden": [8]},
    "upscaler": {"channels": 4},
    "edsr": {"blocks": 1, "channels": 3},
    "mdsr": {"blocks": 1, "channels": 3},
    "toy_2d": {"hidden": 5},
    "cnn": {"channels": [2, 3], "hidden": 5},
    "stacked_encoder": {"hidden": [6, 4]},
    "stacked_classifier": {"hidden": [6, 4]},
    "discriminator": {"channels": [2, 3]},
}


def make(kind: str, arguments: dict[str, Any] | None = None, *, seed: int = 0, names: tuple[str, ...] = ("a",)) -> Any:
    return build(kind, SMALL[kind] if arguments is None else arguments, seed=seed, names=names)


def inputs(kind: str, count: int = 2) -> Tensor:
    side = 14 if kind in UPSCALERS else 28
    shape = (2,) if kind in POINTS else (1, side, side)
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


def test_small_models_are_of_every_kind() -> None:
    assert SMALL.keys() == MODELS.keys()


# kind, shape of the latent code, shape of the output
@pytest.mark.parametrize(
    ("kind", "latent", "output"),
    [
        ("conv", (64, 1, 1), (1, 28, 28)),
        ("mlp_2d", (2,), (1, 28, 28)),
        ("deep_conv", (8, 1, 1), (1, 28, 28)),
        ("bn_conv", (128,), (1, 28, 28)),
        ("attention", (32, 7, 7), (1, 28, 28)),
        ("vae", (32,), (1, 28, 28)),
        ("upscaler", (32, 1, 1), (1, 28, 28)),
        ("edsr", (32, 14, 14), (1, 28, 28)),
        ("toy_2d", (100,), (2,)),
    ],
)
def test_shapes_of_the_autoencoders(kind: str, latent: tuple[int, ...], output: tuple[int, ...]) -> None:
    model = make(kind, {}).eval()
    assert isinstance(model, Autoencoder)
    with torch.no_grad():
        code, restored = model.encode(inputs(kind)), model(inputs(kind))
    assert code.shape == (2, *latent)
    assert restored.shape == (2, *output)
    assert torch.equal(model.decode(code), restored)


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


@pytest.mark.parametrize("kind", MODELS)
def test_gradients_reach_every_parameter(kind: str) -> None:
    model = make(kind)
    x = inputs(kind)
    batches = [x, x[:, :, :7, :7]] if kind == "mdsr" else [x]  # a branch each
    torch.stack([model(batch).square().mean() for batch in batches]).sum().backward()
    dead = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not dead


def dense(*sizes: int) -> int:
    """Weights and biases of fully connected layers of these sizes."""
    return sum(a * b + b for a, b in pairwise(sizes))


def conv(inputs: int, outputs: int, side: int) -> int:
    return inputs * outputs * side**2 + outputs


def norm(*channels: int) -> int:
    """Scales and shifts of normalisations."""
    return 2 * sum(channels)


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
    ("bn_conv", {}, conv(1, 64, 3) + conv(64, 128, 3) + conv(128, 256, 3) + norm(64, 128, 256) + dense(4096, 128)
                    + dense(128, 4096) + conv(256, 128, 3) + conv(128, 64, 3) + norm(128, 64) + conv(64, 1, 3)),
    ("attention", {}, conv(1, 16, 3) + conv(16, 32, 3) + 49 * 32 + 4 * dense(32, 32) + norm(32)
                      + conv(32, 16, 3) + conv(16, 1, 3)),
    ("vae", {}, dense(784, 400, 64) + dense(32, 400, 784)),
    ("toy_2d", {}, dense(2, 100, 2)),
    ("discriminator", {}, conv(1, 16, 3) + conv(16, 32, 3) + dense(7 * 7 * 32, 1)),
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


@pytest.mark.parametrize("kind", ["conv", "mlp_2d", "bn_conv", "attention", "vae"])
def test_a_sigmoid_or_a_tanh_keeps_the_output_within_the_range_of_images(kind: str) -> None:
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
        ("bn_conv", {"channels": [2] * 6}, "channels: "),
        ("unet", {"levels": 6}, "levels: "),
        ("edsr", {"factor": 5}, "factor: "),
        ("mdsr", {"factors": [2, 3]}, r"factors\.1: "),
        ("attention", {"channels": [2]}, "channels: "),
        ("attention", {"heads": 5}, "heads: expected a divisor of 32"),
        ("stacked_encoder", {"hidden": [3, "4"]}, r"hidden\.1: "),
    ],
)
def test_build_names_what_is_wrong(kind: str, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make(kind, arguments)


def test_bn_conv_sees_padded_images_between_minus_one_and_one() -> None:
    """Lecture 003: black all around up to 32x32, then (x - 0.5) / 0.5; ReLU before the normalisation."""
    model = make("bn_conv")
    seen: list[Tensor] = []
    first = next(layer for layer in model.encoder if isinstance(layer, nn.Conv2d))
    first.register_forward_pre_hook(lambda layer, arguments: seen.append(arguments[0]))
    x = inputs("bn_conv")
    model(x)
    assert seen[0].shape == (2, 1, 32, 32)
    assert torch.allclose((seen[0][:, :, 2:30, 2:30] + 1) / 2, x, atol=TOLERANCES["float32"])
    seen[0][:, :, 2:30, 2:30] = -1
    assert (seen[0] == -1).all()
    for part, layer in ((model.encoder, nn.Conv2d), (model.decoder, nn.ConvTranspose2d)):
        names = [type(each) for each in part]
        assert all(
            names[k - 2 : k + 1] == [layer, nn.ReLU, nn.BatchNorm2d]
            for k, name in enumerate(names)
            if name is nn.BatchNorm2d
        )
