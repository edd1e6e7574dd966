"""Points in the plane: they lie on their curves, and the same stream gives the same; their figures; the stage."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from ruamel.yaml import YAML

from dae import registry
from dae.core import models
from dae.core.files import read_csv, read_json
from dae.core.points import Points
from dae.core.streams import stream
from dae.evaluation.posterior import posterior_mean, squared_distances
from dae.plots import save
from dae.plots.points import arrow_fields, posterior_samples
from dae.points.open_circle import open_circle
from dae.points.spiral import spiral
from dae.points.two_moons import two_moons
from stages import toy
from tests.conftest import TOLERANCES

ROOM = "points"
KINDS = registry.kinds(ROOM)
SIGMA = 0.1


def points(kind: str, count: int = 1000, seed: int = 0) -> Points:
    draw: Callable[..., Points] = registry.function(ROOM, kind)
    return draw(count, rng=stream(seed, "points"), **registry.choose(ROOM, kind, {}))


@pytest.mark.parametrize("kind", KINDS)
def test_shape_type_and_range(kind: str) -> None:
    x = points(kind, 500)
    assert x.shape == (500, 2)
    assert x.dtype == np.float32
    assert np.abs(x).max() <= 1
    assert (np.ptp(x, axis=0) > 0.5).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_stream_gives_the_same_bytes_and_another_gives_others(kind: str) -> None:
    assert points(kind).tobytes() == points(kind).tobytes()
    assert points(kind).tobytes() != points(kind, seed=1).tobytes()


@pytest.mark.parametrize("opening", [0.0, 0.06, 0.5])
def test_open_circle_has_its_opening_and_is_even_elsewhere(opening: float) -> None:
    x = open_circle(4000, rng=stream(0), radius=0.5, opening=opening).astype(np.float64)
    assert np.abs(np.hypot(*x.T) - 0.5).max() < TOLERANCES["float32"]
    turns = np.arctan2(x[:, 1], x[:, 0]) / (2 * np.pi) % 1
    assert opening / 2 <= turns.min() + TOLERANCES["float32"]
    assert turns.max() <= 1 - opening / 2 + TOLERANCES["float32"]
    error = (1 - opening) / np.sqrt(12 * len(x))
    assert abs(turns.mean() - 0.5) < TOLERANCES["standard_errors"] * error


def test_spiral_grows_by_the_same_each_turn() -> None:
    x = spiral(1000, rng=stream(0), turns=2.5, inner=0.1, growth=0.3).astype(np.float64)
    turns, angle = (np.hypot(*x.T) - 0.1) / 0.3, np.arctan2(x[:, 1], x[:, 0]) / (2 * np.pi)
    assert -TOLERANCES["float32"] <= turns.min() < 0.1 < 2.4 < turns.max() <= 2.5 + TOLERANCES["float32"]
    assert np.abs(turns - angle - np.round(turns - angle)).max() < TOLERANCES["float32"]


def test_moons_are_two_half_circles_that_mirror_each_other() -> None:
    x = two_moons(2000, rng=stream(0), radius=0.6, distance=0.4).astype(np.float64)
    centre = np.array([-0.3, -0.1])
    upper, lower = (np.abs(np.hypot(*(x - c).T) - 0.6) < TOLERANCES["float32"] for c in (centre, -centre))
    assert (upper | lower).all()
    assert (x[upper & ~lower, 1] >= -0.1 - TOLERANCES["float32"]).all()
    assert (x[lower & ~upper, 1] <= 0.1 + TOLERANCES["float32"]).all()
    assert abs(upper.mean() - 0.5) < TOLERANCES["standard_errors"] * 0.5 / np.sqrt(len(x))


@pytest.mark.parametrize("kind", KINDS)
def test_midway_is_equally_near_to_both_sides_and_the_mean_there_is_far_from_every_point(kind: str) -> None:
    x = points(kind, 3000)
    middle = np.array([registry.constant(ROOM, kind, "midway")(**registry.choose(ROOM, kind, {}))], np.float32)
    distance = np.sqrt(squared_distances(middle, x))[0]
    direction = (x - middle) @ (x[distance.argmin()] - middle[0])
    other = distance[direction < 0].min()  # on the other side than the nearest
    assert SIGMA < distance.min() <= other < distance.min() + SIGMA / 4
    mean = posterior_mean(middle, x, sigma=SIGMA)
    assert squared_distances(mean, x).min() > (SIGMA / 2) ** 2


def test_a_spiral_without_arms_side_by_side_is_refused() -> None:
    with pytest.raises(ValueError, match=r"turns.*1\.5"):
        registry.choose(ROOM, "spiral", {"turns": 1.0})


LATTICE = points("two_moons", 10)
FIGURES: dict[str, Callable[[], Figure]] = {
    "arrow_fields": lambda: arrow_fields(points("spiral"), LATTICE, {"a": LATTICE / 2, "b": LATTICE / 3}, "title"),
    "posterior_samples": lambda: posterior_samples(
        points("spiral"), LATTICE[0], LATTICE[1:4], LATTICE[2], LATTICE[3], reach=0.4, title="title"
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_the_same_bytes_every_time(tmp_path: Path, name: str) -> None:
    for copy in ("a", "b"):
        save(FIGURES[name](), tmp_path / f"{copy}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_arrows_lead_from_each_point_to_where_it_is_put() -> None:
    figure = FIGURES["arrow_fields"]()
    for panel, part in zip(figure.axes, (2, 3), strict=True):
        (arrows,) = (each for each in panel.collections if isinstance(each, Quiver))
        assert np.array_equal(arrows.get_offsets(), LATTICE)
        ends = np.stack([arrows.U, arrows.V], axis=1) + LATTICE
        assert np.abs(ends - LATTICE / part).max() < TOLERANCES["float32"]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_posterior_samples_shows_what_it_is_given() -> None:
    for panel in FIGURES["posterior_samples"]().axes:
        shown = {str(line.get_label()): np.array(line.get_xydata()) for line in panel.lines}
        assert [len(places) for places in shown.values()] == [1000, 3, 1, 1, 1]
        assert np.array_equal(shown["kept $X$"], LATTICE[1:4])
        assert np.array_equal(shown["mean of the kept"][0], LATTICE[2])
        assert np.array_equal(shown["denoiser $\\phi(\\tilde{x})$"][0], LATTICE[3])
        assert np.array_equal(shown["given $\\tilde{x}$"][0], LATTICE[0])


def test_an_unknown_kind_lists_the_kinds() -> None:
    with pytest.raises(ValueError, match=r"^kind: expected one of spiral, .*, found 'spirl'$") as caught:
        registry.choose(ROOM, "spirl", {})
    assert [kind for kind in KINDS if kind not in str(caught.value)] == []


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose params.yaml asks for a short training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    yaml = YAML()
    params = yaml.load(Path(__file__).parents[1] / "params.yaml")
    params["toy"]["open_circle"] |= {"count": 300, "repeats": 40, "epochs": 8, "learning_rate": 0.01}
    params["evaluation"]["resamples"] = 100
    yaml.dump(params, tmp_path / "params.yaml")
    return tmp_path


def test_stage_learns_the_posterior_mean_and_ends_with_the_same_bytes(project: Path) -> None:
    for copy in ("a", "b"):
        toy.main("open_circle", out=project / copy)
    files = [path.relative_to(project / "a") for path in sorted((project / "a").rglob("*")) if path.is_file()]
    assert {path.as_posix() for path in files} >= {
        "metrics.json",
        "history.csv",
        "report/field.npz",
        "report/mean.npz",
        "model/model.json",
    }
    assert [path for path in files if (project / "a" / path).read_bytes() != (project / "b" / path).read_bytes()] == []

    assert [row["epoch"] for row in read_csv(project / "a" / "history.csv")] == list(range(1, 9))
    metrics = read_json(project / "a" / "metrics.json")
    assert metrics["denoiser_to_mean"] < metrics["input_to_mean"] / 5
    assert metrics["mean_to_clean"] < metrics["denoiser_to_clean"] < metrics["input_to_clean"]
    assert metrics["input_to_clean_low"] < 2 * SIGMA**2 < metrics["input_to_clean_high"]
    for name in ("denoiser", "mean", "mean_of_pairs"):  # in the opening, where no point is
        assert metrics["midway"][name]["sigmas_to_data"] > 1
    model, _ = models.load(project / "a" / "model")
    assert models.parameter_count(model) == metrics["parameters"] == 502
