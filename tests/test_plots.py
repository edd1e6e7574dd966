"""Every figure is made of what it is given, can be saved, and has the same bytes every time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from dae.plots import comparison, filter_grid, image_grid, intervals, loss_curves, save
from dae.seeding import stream
from tests.conftest import TOLERANCES, blobs, floats

PNG = b"\x89PNG\r\n\x1a\n"
IMAGES = floats(blobs(5))


def history(epochs: int = 3) -> list[dict[str, float]]:
    return [{"epoch": e, "train_loss": 1 / e, "validation_loss": 2 / e, "validation_error": 9 / e}
            for e in range(1, epochs + 1)]  # fmt: skip


def stacks(count: int) -> Figure:
    names = [f"sdae_{k}" for k in range(count)]
    values = {name: (1.0 + k, 0.5 + k, 1.5 + k) for k, name in enumerate(names)}
    return comparison({name: history() for name in names}, "validation_error", "error", values, "test error")


FIGURES: dict[str, Callable[[], Figure]] = {
    "image_grid": lambda: image_grid({"original": IMAGES, "noisy": IMAGES[:3, 0]}, "title"),
    "filter_grid": lambda: filter_grid(stream(0).normal(size=(30, 784))),
    "loss_curves": lambda: loss_curves({name: history() for name in "abcd"}),
    "intervals": lambda: intervals({"s": {"a": (1, 0.5, 2), "b": (3, 2, 4)}, "t": {"b": (2, 2, 2)}}, "dB", "title"),
    "comparison": lambda: stacks(2),
}


@pytest.mark.parametrize("name", FIGURES)
def test_saved_twice_with_the_same_bytes(tmp_path: Path, name: str) -> None:
    contents = []
    for copy in ("a", "b"):
        figure = FIGURES[name]()
        assert isinstance(figure, Figure)
        save(figure, tmp_path / f"{copy}.png")
        contents.append((tmp_path / f"{copy}.png").read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].startswith(PNG)
    assert b"tEXt" not in contents[0]  # no version, no date
    assert imread(tmp_path / "a.png").std() > 0


def test_image_grid_shows_the_images_as_they_are() -> None:
    figure = image_grid({"original": IMAGES, "noisy": IMAGES[:3, 0] + 1})
    panels = np.array(figure.axes).reshape(2, 5)
    for panel, image in zip(panels[0], IMAGES, strict=True):
        (shown,) = panel.images
        assert np.array_equal(shown.get_array(), image[0])
        assert shown.get_clim() == (0, 1)
    assert [len(panel.images) for panel in panels[1]] == [1, 1, 1, 0, 0]
    assert [line[0].texts[0].get_text() for line in panels] == ["original", "noisy"]


@pytest.mark.parametrize("units", [1, 19, 20, 21])
def test_filter_grid_shows_every_unit_at_its_place(units: int) -> None:
    weights = stream(0).normal(size=(units, 16)) * np.logspace(-3, 3, units)[:, None]
    (axes,) = filter_grid(weights, columns=5).axes
    sheet = np.asarray(axes.images[0].get_array())
    for unit, row in enumerate(weights):
        top, left = 5 * (unit // 5), 5 * (unit % 5)
        shown = sheet[top : top + 4, left : left + 4].ravel()
        assert shown == pytest.approx(row / np.abs(row).max(), rel=TOLERANCES["float64"])


def test_a_dead_filter_is_grey() -> None:
    (axes,) = filter_grid(np.zeros((1, 16)), columns=1).axes
    assert (np.asarray(axes.images[0].get_array())[:4, :4] == 0).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_loss_curves_have_a_panel_an_item(count: int) -> None:
    figure = loss_curves({f"item {k}": history(k + 1) for k in range(count)})
    panels = [axes for axes in figure.axes if axes.lines]
    assert [axes.get_title() for axes in panels] == [f"item {k}" for k in range(count)]
    for k, axes in enumerate(panels):
        for line, column in zip(axes.lines, ("train_loss", "validation_loss"), strict=True):
            expected = [[row["epoch"], row[column]] for row in history(k + 1)]
            assert np.asarray(line.get_xydata()).tolist() == expected


def test_intervals_are_drawn_where_they_are() -> None:
    (axes,) = intervals({"s": {"a": (1, 0.5, 2), "b": (3, 2, 4)}, "t": {"b": (2.5, 2.5, 2.5)}}, "dB").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    first, second = axes.containers
    points: Any = first[0]
    assert points.get_xydata().tolist() == [[1, 0], [3, 1]]
    (bars,) = first[2]
    assert [segment[:, 0].tolist() for segment in bars.get_segments()] == [[0.5, 2], [2, 4]]
    assert second[0].get_xydata().tolist() == [[2.5, 1]]


@pytest.mark.parametrize("count", [1, 2, 7, 9])
def test_comparison_of_any_number_of_items(tmp_path: Path, count: int) -> None:
    figure = stacks(count)
    left, right = figure.axes
    assert len(left.lines) == count
    assert [label.get_text() for label in right.get_yticklabels()] == [f"sdae_{k}" for k in range(count)]
    save(figure, tmp_path / "figure.png")


def test_an_item_has_one_colour_in_both_panels() -> None:
    left, right = stacks(3).axes
    containers: list[Any] = list(right.containers)
    assert [line.get_color() for line in left.lines] == [container[0].get_color() for container in containers]
