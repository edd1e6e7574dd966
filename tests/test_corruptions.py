"""Every kind of corruption: shape, range, streams, identity, moments, medians and arguments, against theory."""

import re

import numpy as np
import pytest

from dae import registry
from dae.core.corrupting import ROOM, corrupt, corruption
from dae.core.images import Images
from dae.core.streams import stream
from tests.conftest import TOLERANCES
from tests.draws import (
    DRAWS,
    ERRORS,
    EXPECTED,
    KINDS,
    LEVELS,
    RANDOM,
    Arguments,
    Moment,
    draw,
    expected,
    kinds_where,
    parameters,
    ramp,
    repeated,
    rows,
    sample,
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_theory_in_the_table(kind: str) -> None:
    entry = expected(kind)
    assert entry.samples
    assert entry.keeps
    assert entry.stored
    assert bool(entry.moments) is (kind in RANDOM), "random kinds have moments, others have none"
    refused = {re.split(r"\W", named)[0] for _, named in entry.wrong}
    assert refused >= set(parameters(kind)), "a wrong value of every argument is tried"


def test_the_table_has_no_kinds_that_are_gone() -> None:
    assert EXPECTED.keys() - set(KINDS) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_the_kinds_that_mask_have_a_mask_and_no_others(kind: str) -> None:
    assert (corruption(kind).mask is not None) is (expected(kind).pixels == "masked")


@pytest.mark.parametrize(("kind", "arguments"), rows("samples"))
def test_shape_and_type_are_right_and_the_input_is_untouched(kind: str, arguments: Arguments, x: Images) -> None:
    before, shrinks = x.copy(), expected(kind).shrinks
    x_tilde = draw(x, kind, **arguments)
    assert x_tilde.dtype == np.float32
    assert x_tilde.shape == (6, 1, 12 // shrinks, 14 // shrinks)
    assert np.isfinite(x_tilde).all()
    assert not np.shares_memory(x, x_tilde)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("kind", kinds_where(lambda entry: entry.within))
def test_values_stay_between_black_and_white(kind: str, x: Images) -> None:
    x_tilde = draw(x, kind, **sample(kind))
    assert x_tilde.min() >= 0
    assert x_tilde.max() <= 1 + TOLERANCES["float32"]


@pytest.mark.parametrize("kind", RANDOM)
def test_the_same_stream_gives_the_same_bytes_and_another_gives_others(kind: str, x: Images) -> None:
    arguments = sample(kind)
    assert draw(x, kind, "a", **arguments).tobytes() == draw(x, kind, "a", **arguments).tobytes()
    assert draw(x, kind, "a", **arguments).tobytes() != draw(x, kind, "b", **arguments).tobytes()


@pytest.mark.parametrize("kind", RANDOM)
def test_images_of_one_draw_differ(kind: str, x: Images) -> None:
    assert len({image.tobytes() for image in draw(repeated(x[:1], 20), kind, **sample(kind))}) > 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in RANDOM])
def test_a_deterministic_kind_takes_no_generator(kind: str, x: Images) -> None:
    with pytest.raises(TypeError):
        registry.function(ROOM, kind)(x, rng=stream(0), **sample(kind))
    rng = stream(0)
    corrupt(x, kind, sample(kind), rng=rng)
    assert rng.random() == stream(0).random()


@pytest.mark.parametrize(("kind", "arguments"), rows("identity"))
def test_level_zero_is_the_identity(kind: str, arguments: Arguments, x: Images) -> None:
    assert np.array_equal(draw(x, kind, **arguments), x)


@pytest.mark.parametrize(("kind", "arguments", "mean", "variance"), rows("moments"))
def test_mean_and_variance_of_each_pixel(kind: str, arguments: Arguments, mean: Moment, variance: Moment) -> None:
    image = ramp()
    x_tilde = draw(repeated(image), kind, **arguments)[:, 0].astype(np.float64)
    clean = image[0, 0].astype(np.float64)
    error_of_mean = np.sqrt(variance(clean) / DRAWS)
    assert (np.abs(x_tilde.mean(0) - mean(clean)) <= ERRORS * error_of_mean + TOLERANCES["float32"]).all()
    square = (x_tilde - mean(clean)) ** 2
    error_of_variance = square.std(0) / np.sqrt(DRAWS)
    assert (np.abs(square.mean(0) - variance(clean)) <= ERRORS * error_of_variance + TOLERANCES["float32"]).all()


@pytest.mark.parametrize(("kind", "arguments", "mean", "median"), rows("keeps"))
def test_claims_of_what_is_kept(kind: str, arguments: Arguments, mean: bool, median: bool) -> None:
    kept = corruption(kind).keeps(registry.choose(ROOM, kind, arguments))
    assert set(kept) == {name for name, holds in (("mean", mean), ("median", median)) if holds}


# Where every pixel is 0 or 1 with probability 1/2, every value between them is a median: there is nothing to test.
MEDIANS = [(kind, a, median) for kind, a, _, median in rows("keeps") if kind in RANDOM and a.get("level") != 1]


@pytest.mark.parametrize(("kind", "arguments", "median"), MEDIANS)
def test_median_of_each_pixel(kind: str, arguments: Arguments, median: bool) -> None:
    """m is a median of v if P(v < m) <= 1/2 and P(v > m) <= 1/2."""
    image = ramp()
    x_tilde = draw(repeated(image), kind, **arguments)
    bound = 0.5 + ERRORS * 0.5 / np.sqrt(DRAWS)
    below = (x_tilde < image - TOLERANCES["float32"]).mean(0)
    above = (x_tilde > image + TOLERANCES["float32"]).mean(0)
    assert bool((below <= bound).all() and (above <= bound).all()) is median


@pytest.mark.parametrize("kind", kinds_where(lambda entry: entry.pixels != "changed"))
def test_channels_of_a_pixel_share_its_fate(kind: str) -> None:
    x = np.full((30, 3, 12, 12), 0.5, np.float32)
    changed = draw(x, kind, **sample(kind)) != x
    assert changed.any()
    assert not changed.all()
    assert (changed == changed[:, :1]).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if corruption(kind).of_codes])
def test_hidden_codes_are_corrupted_too(kind: str) -> None:
    h = np.full((40, 1, 200), 0.5, np.float32)
    h_tilde = draw(h, kind, **sample(kind))
    assert h_tilde.shape == h.shape
    assert (h_tilde != h).any()
    if kind in LEVELS:
        level = registry.choose(ROOM, kind, sample(kind))["level"]
        assert ((h_tilde != h).sum(axis=(1, 2)) == round(level * 200)).all()


@pytest.mark.parametrize(("kind", "arguments"), rows("samples"))
def test_no_images_at_all(kind: str, arguments: Arguments) -> None:
    assert len(draw(np.zeros((0, 1, 12, 12), np.float32), kind, **arguments)) == 0


@pytest.mark.parametrize(("kind", "arguments", "named"), rows("wrong"))
def test_a_wrong_argument_is_named(kind: str, arguments: Arguments, named: str) -> None:
    with pytest.raises(ValueError, match=rf"^{named}: "):
        registry.choose(ROOM, kind, arguments)


def test_an_unknown_kind_lists_the_kinds() -> None:
    with pytest.raises(ValueError, match=r"^kind: expected one of gaussian, .*, found 'gausian'$") as caught:
        corruption("gausian")
    assert [kind for kind in KINDS if kind not in str(caught.value)] == []
