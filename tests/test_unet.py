"""The U-Net against the table of Lehtinen et al. 2018."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dae.core.models import parameter_count
from dae.networks.unet import UNet, unet
from tests.conftest import TOLERANCES

pytestmark = pytest.mark.usefixtures("one_thread")

# (channels in, channels out) of enc_conv0..6, dec_conv5a, 5b, ... 1a, 1b, 1c, for n channels in and m out.
ENCODER = [(48, 48)] * 6
INNER = [(96, 96), (96, 96), *[(144, 96), (96, 96)] * 3]


def table(n: int, m: int) -> list[tuple[int, int]]:
    return [(n, 48), *ENCODER, *INNER, (96 + n, 64), (64, 32), (32, m)]


def channels(model: nn.Module) -> list[tuple[int, int]]:
    return [(each.in_channels, each.out_channels) for each in model.modules() if isinstance(each, nn.Conv2d)]


def images(count: int = 2, *, side: tuple[int, int] = (28, 28), inputs: int = 1) -> Tensor:
    return torch.rand(count, inputs, *side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 2)])
def test_channels_are_those_of_the_table(n: int, m: int) -> None:
    assert channels(unet(inputs=n, outputs=m)) == table(n, m)


def test_parameter_count_of_the_table() -> None:
    assert parameter_count(unet()) == 988_609


def test_channels_of_a_narrow_one() -> None:
    """16, and in the decoder 2, 4/3 and 2/3 times as many."""
    assert channels(unet(width=16, levels=2)) == [
        *[(1, 16), (16, 16), (16, 16), (16, 16)],
        *[(32, 32), (32, 32), (33, 21), (21, 11), (11, 1)],
    ]


def reference(model: UNet, x: Tensor, levels: int) -> Tensor:
    """The table, line by line, from the weights in the order of the table."""
    weights = iter(list(model.parameters()))

    def conv(h: Tensor) -> Tensor:
        w, b = next(weights), next(weights)
        h = F.conv2d(h, w, b, padding=1)
        return torch.where(h > 0, h, 0.1 * h)

    multiple = 2**levels
    more = -28 % multiple
    h = torch.zeros(len(x), x.shape[1], 28 + more, 28 + more)
    h[:, :, more // 2 : more // 2 + 28, more // 2 : more // 2 + 28] = x
    skips = [h]
    h = conv(h)
    for _ in range(levels):
        h = conv(h).unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax(dim=(3, 5))  # conv1 pool1, conv2 pool2, ...
        skips.append(h)
    h = conv(skips.pop())
    while skips:
        h = torch.cat([h.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), skips.pop()], dim=1)
        h = conv(conv(h))
    w, b = next(weights), next(weights)
    h = F.conv2d(h, w, b, padding=1)
    assert next(weights, None) is None
    return h[:, :, more // 2 : more // 2 + 28, more // 2 : more // 2 + 28]


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5])
def test_forward_pass_against_the_table(levels: int) -> None:
    model = unet(width=6, levels=levels, inputs=2, outputs=3)
    x = images(inputs=2)
    assert torch.allclose(model(x), reference(model, x, levels), atol=TOLERANCES["network"])


@pytest.mark.parametrize(("levels", "side"), list(itertools.product([1, 3], [(28, 28), (12, 14), (7, 9), (1, 2)])))
def test_images_of_any_size_keep_it(levels: int, side: tuple[int, int]) -> None:
    assert unet(width=3, levels=levels)(images(side=side)).shape == (2, 1, *side)


def test_the_code_is_the_last_of_the_features_and_they_decode_to_the_output() -> None:
    model = unet(width=4, levels=2)
    x = images()
    features = model.features(x)
    assert [each.shape[1:] for each in features] == [(1, 28, 28), (4, 14, 14), (4, 7, 7)]
    assert torch.equal(features[-1], model.encode(x))
    assert torch.equal(model.decode(features), model(x))


@pytest.mark.parametrize(("levels", "side"), [(1, 14), (2, 7), (3, 4), (4, 2), (5, 1)])
def test_side_of_the_code(levels: int, side: int) -> None:
    assert unet(width=3, levels=levels).encode(images()).shape == (2, 3, side, side)


def test_a_pass_leaves_its_input_as_it_is() -> None:
    x = images()
    before = x.clone()
    unet(width=3, levels=2)(x)
    assert torch.equal(x, before)


def test_he_initialisation() -> None:
    """Variance 2 / (1.01 fan_in); an estimate from n Gaussian values has a relative standard error of sqrt(2 / n)."""
    torch.manual_seed(0)
    for layer in unet().modules():
        if isinstance(layer, nn.Conv2d):
            ratio = layer.weight.square().mean() * 1.01 * 9 * layer.in_channels / 2
            assert abs(ratio - 1) < TOLERANCES["standard_errors"] * (2 / layer.weight.numel()) ** 0.5
            assert layer.bias is not None
            assert not layer.bias.any()
