"""Networks of every kind: architectures against their tables, parameter counts by hand, weights from streams."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dae.core.blocks import Autoencoder
from dae.core.images import CLASSES
from dae.core.models import build, parameter_count
from dae.networks.stacked import StackedClassifier
from dae.registry import constant, kinds
from tests.conftest import TOLERANCES

pytestmark = pytest.mark.usefixtures("one_thread")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """What the tests know of a kind of network. Shapes are those of one example, without the batch.

    `takes` are the shapes of inputs that together use every weight, `gives` the shape of each output, `count` is the
    number of weights, counted by hand, and `code` the shape of the code of an `Autoencoder`, None for other networks.
    All of these are at the defaults, but for the arguments `given`. `small` are arguments of a network that is quick.
    `bounded` says that no input makes the output leave [0, 1]. `kind` is that of a second network of a kind.
    """

    takes: list[Shape]
    gives: Shape
    count: int
    code: Shape | None
    small: dict[str, Any]
    given: dict[str, Any] = field(default_factory=dict)
    bounded: bool = False
    kind: str | None = None


def dense(*sizes: int) -> int:
    """Weights and biases of fully connected layers of these sizes."""
    return sum(a * b + b for a, b in pairwise(sizes))


def conv(inputs: int, outputs: int, side: int) -> int:
    """Weights and biases of a convolution, or of a transposed one."""
    return inputs * outputs * side**2 + outputs


def norm(*channels: int) -> int:
    """Scales and shifts of normalisations."""
    return 2 * sum(channels)


IMAGE, HALF, QUARTER = (1, 28, 28), (1, 14, 14), (1, 7, 7)

# A new kind needs an entry here. What is special about it, tests of its own hold.
# fmt: off
NETWORKS: dict[str, Network] = {
    "conv": Network(
        [IMAGE], IMAGE, code=(64, 1, 1), bounded=True, small={},
        count=conv(1, 16, 3) + conv(16, 32, 3) + conv(32, 64, 7)
              + conv(64, 32, 7) + conv(32, 16, 3) + conv(16, 1, 3),
    ),
    "mlp_2d": Network(
        [IMAGE], IMAGE, code=(2,), bounded=True, small={"hidden": [8], "latent": 3},
        count=dense(784, 128, 64, 12, 2) + dense(2, 12, 64, 128, 784),
    ),
    "deep_conv": Network(
        [IMAGE], IMAGE, code=(8, 1, 1), small={"channels": 4, "latent": 2},
        count=conv(1, 32, 5) + conv(32, 32, 5) + conv(32, 32, 4) + conv(32, 32, 3) + conv(32, 8, 4)
              + conv(8, 32, 4) + conv(32, 32, 3) + conv(32, 32, 4) + conv(32, 32, 5) + conv(32, 1, 5),
    ),
    "bn_conv": Network(
        [IMAGE], IMAGE, code=(128,), bounded=True, small={"latent": 5, "channels": [2, 3]},
        count=conv(1, 64, 3) + conv(64, 128, 3) + conv(128, 256, 3) + norm(64, 128, 256) + dense(4096, 128)
              + dense(128, 4096) + conv(256, 128, 3) + conv(128, 64, 3) + norm(128, 64) + conv(64, 1, 3),
    ),
    "unet": Network([IMAGE], IMAGE, code=None, small={"width": 3, "levels": 2}, count=988_609),  # as in the paper
    "attention": Network(
        [IMAGE], IMAGE, code=(32, 7, 7), bounded=True, small={"channels": [2, 4], "heads": 2},
        count=conv(1, 16, 3) + conv(16, 32, 3) + 49 * 32 + 4 * dense(32, 32) + norm(32)
              + conv(32, 16, 3) + conv(16, 1, 3),
    ),
    "vae": Network(
        [IMAGE], IMAGE, code=(32,), bounded=True, small={"latent": 3, "hidden": [8]},
        count=dense(784, 400, 64) + dense(32, 400, 784),
    ),
    "upscaler": Network(
        [HALF], IMAGE, code=(32, 1, 1), small={"channels": 4},
        count=conv(1, 32, 5) + conv(32, 32, 5) + conv(32, 32, 4) + conv(32, 32, 3)
              + conv(32, 32, 4) + conv(32, 32, 3) + conv(32, 32, 4) + conv(32, 32, 5) + conv(32, 1, 5),
    ),
    "edsr": Network(
        [HALF], IMAGE, code=(32, 14, 14), small={"blocks": 1, "channels": 3},
        count=conv(1, 32, 3) + (2 * 8 + 1) * conv(32, 32, 3) + conv(32, 4 * 32, 3) + conv(32, 1, 3),
    ),
    "mdsr": Network(
        [HALF, QUARTER], IMAGE, code=None, small={"blocks": 1, "channels": 3},
        count=conv(1, 32, 3) + 2 * 4 * conv(32, 32, 5) + (2 * 8 + 1) * conv(32, 32, 3)
              + (1 + 2) * conv(32, 4 * 32, 3) + 2 * conv(32, 1, 3),
    ),
    "toy_2d": Network([(2,)], (2,), code=(100,), small={"hidden": 5}, count=dense(2, 100, 2)),
    "cnn": Network(
        [IMAGE], (10,), code=None, small={"channels": [2, 3], "hidden": 5},
        count=conv(1, 16, 3) + conv(16, 32, 3) + dense(7 * 7 * 32, 128, 10),
    ),
    "stacked": Network([IMAGE], (1000,), code=None, small={"hidden": [6, 4]}, count=dense(784, 1000, 1000, 1000)),
    "stacked_classifier": Network(
        [IMAGE], (10,), code=None, kind="stacked", given={"classes": 10}, small={"hidden": [6, 4], "classes": 10},
        count=dense(784, 1000, 1000, 1000, 10),
    ),
    "patch_autoencoder": Network(
        [(9,)], (9,), code=None, given={"inputs": 9, "hidden": 7}, small={"inputs": 9, "hidden": 4},
        count=9 * 7 + 7 + 9,
    ),
}
# fmt: on

KINDS = kinds("networks")
every_network = pytest.mark.parametrize("name", [*KINDS, *(name for name in NETWORKS if name not in KINDS)])


def known(name: str) -> Network:
    if name not in NETWORKS:
        pytest.fail(f"{name} is missing: add it to NETWORKS in tests/test_networks.py, as Network says", pytrace=False)
    return NETWORKS[name]


def kind_of(name: str) -> str:
    return known(name).kind or name


def make(name: str, arguments: dict[str, Any] | None = None, *, seed: int = 0, names: tuple[str, ...] = ("a",)) -> Any:
    """The small network of that name in the table, or a network of that kind with other arguments."""
    card = (kind_of(name), known(name).small) if arguments is None else (name, arguments)
    return build(card, seed=seed, names=names)


def whole(name: str) -> Any:
    """The network that the table describes."""
    return make(kind_of(name), known(name).given)


def random(*shape: int, count: int = 2) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


def inputs(name: str, count: int = 2) -> Tensor:
    return random(*known(name).takes[0], count=count)


# --- every network


def test_the_table_has_no_kind_that_is_gone() -> None:
    assert sorted({kind_of(name) for name in NETWORKS} - set(KINDS)) == []


@every_network
def test_shapes(name: str) -> None:
    model = whole(name).eval()
    with torch.no_grad():
        for shape in known(name).takes:
            assert model(random(*shape)).shape == (2, *known(name).gives)


@every_network
def test_the_output_of_an_autoencoder_is_made_of_its_code_alone(name: str) -> None:
    model = whole(name).eval()
    assert isinstance(model, Autoencoder) == (known(name).code is not None)
    if isinstance(model, Autoencoder):
        with torch.no_grad():
            code, restored = model.encode(inputs(name)), model(inputs(name))
        assert code.shape == (2, *(known(name).code or ()))
        assert torch.equal(model.decode(code), restored)


# What a role demands of the shape that goes in and the one that comes out; of a part, nothing.
ROLES: dict[str, Callable[[Shape, Shape], bool]] = {
    "denoiser": lambda takes, gives: takes == gives == IMAGE,
    "upscaler": lambda takes, gives: takes[0] == 1 and takes[1] == takes[2] < 28 and gives == IMAGE,
    "classifier": lambda takes, gives: takes == IMAGE and gives == (CLASSES,),
    "points": lambda takes, gives: takes == gives == (2,),
    "part": lambda takes, gives: True,
}


def role_of(name: str) -> str:
    role: str = constant("networks", kind_of(name), "ROLE")
    return role


@every_network
def test_the_role_of_a_network_fits_what_goes_in_and_what_comes_out(name: str) -> None:
    role = role_of(name)
    assert role in ROLES, f"src/dae/networks/{kind_of(name)}.py: ROLE should be one of {', '.join(ROLES)}"
    assert all(ROLES[role](shape, known(name).gives) for shape in known(name).takes)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_is_played(role: str) -> None:
    assert role in {role_of(name) for name in NETWORKS}


@every_network
def test_only_a_part_needs_arguments(name: str) -> None:
    assert role_of(name) == "part" or known(name).given == {}


@every_network
def test_gradients_reach_every_parameter(name: str) -> None:
    model = make(name)
    torch.stack([model(random(*shape)).square().mean() for shape in known(name).takes]).sum().backward()
    dead = [each for each, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not dead


@every_network
def test_parameter_counts(name: str) -> None:
    assert parameter_count(whole(name)) == known(name).count


@every_network
def test_a_sigmoid_or_a_tanh_at_the_end_and_nothing_else_keeps_outputs_in_0_1(name: str) -> None:
    """At inputs this large, the output of a network without such an end leaves [0, 1]."""
    model, x = make(name), inputs(name) - 0.5
    outputs = torch.cat([model(100 * x), model.eval()(10_000 * x)])
    assert bool((outputs.min() >= 0) & (outputs.max() <= 1)) == known(name).bounded


@every_network
def test_same_stream_same_weights_other_stream_other_weights(name: str) -> None:
    def weights(**options: Any) -> list[Tensor]:
        return list(make(name, **options).state_dict().values())

    first = weights()
    torch.rand(3)
    assert all(torch.equal(a, b) for a, b in zip(first, weights(), strict=True))
    for options in ({"seed": 1}, {"names": ("b",)}, {"names": ("a", "b")}):
        assert not torch.equal(first[0], weights(**options)[0])


@every_network
def test_building_leaves_the_global_generator_untouched(name: str) -> None:
    before = torch.get_rng_state()
    make(name)
    assert torch.equal(torch.get_rng_state(), before)


# --- arguments


@pytest.mark.parametrize(
    ("kind", "arguments", "output"),
    [
        ("cnn", {"channels": [2], "hidden": 3, "classes": 4}, (4,)),
        ("cnn", {"channels": [2, 2, 2, 2]}, (10,)),
        ("stacked", {"hidden": [30, 20]}, (20,)),
        ("stacked", {"hidden": [30, 20], "classes": 10}, (10,)),
    ],
)
def test_shapes_with_other_arguments(kind: str, arguments: dict[str, Any], output: Shape) -> None:
    assert make(kind, arguments)(inputs(kind)).shape == (2, *output)


def test_parameter_count_with_other_arguments() -> None:
    expected = dense(784, 50, 3) + dense(3, 50, 784)
    assert parameter_count(make("mlp_2d", {"hidden": [50], "latent": 3})) == expected


def test_parameter_count_of_conv_as_a_number() -> None:
    assert parameter_count(make("conv")) == 210_369


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
        ("stacked", {"hidden": [3, "4"]}, r"hidden\.1: "),
        ("stacked", {"classes": 0}, "classes: "),
        ("stacked", {"activation": "tanh"}, "activation: "),
        ("patch_autoencoder", {"inputs": 9}, "hidden: missing"),
    ],
)
def test_build_names_what_is_wrong(kind: str, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make(kind, arguments)


# --- forward passes, written out

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
    """Fully connected layers, each with a ReLU but for those in `plain`."""
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


def test_the_first_matrix_of_a_stack_is_that_of_its_first_layer() -> None:
    """Its rows are the filters that a figure shows: what each hidden unit answers to, a number a pixel."""
    stack = make("stacked_classifier")
    assert isinstance(stack, StackedClassifier)
    first = next(parameter for parameter in stack.parameters() if parameter.ndim == 2)
    assert first is stack.encoder.layers[0][0].weight  # type: ignore[index]
    assert first.shape == (6, 784)


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
