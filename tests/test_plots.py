"""Every figure shows what it is given, can be saved, and has the same bytes every time."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from dae.core.streams import stream
from dae.plots import (
    Interval,
    comparison,
    filter_grid,
    image_grid,
    intervals,
    loss_curves,
    mean_of_samples,
    measures,
    save,
)
from tests.conftest import TOLERANCES, blobs, floats

PNG = b"\x89PNG\r\n\x1a\n"
IMAGES = floats(blobs(5))
MEASURES: dict[str, dict[str, Interval]] = {
    "first": {"PSNR": (20, 19.5, 21), "SSIM": (0.75, 0.5, 1)},
    "second": {"PSNR": (10, 9, 12), "SSIM": (0.25, 0.25, 0.25)},
    "third": {"PSNR": (15, 14, 16), "SSIM": (0.5, 0.375, 0.625)},
}
INPUTS = {"first": {"PSNR": 9.5}, "third": {"PSNR": 8.5, "SSIM": 0.125}}
CURVE = {k: {"psnr": 20 - 4 / k, "psnr_low": 20 - 5 / k, "psnr_high": 20 - 3 / k} for k in (1, 2, 4)}
OPTIMUM = {"psnr": 20.0, "psnr_low": 19.75, "psnr_high": 20.5}


def history(epochs: int = 3) -> list[dict[str, float]]:
    return [{"epoch": e, "train_loss": 1 / e, "validation_loss": 2 / e, "validation_error": 9 / e}
            for e in range(1, epochs + 1)]  # fmt: skip


def stacks(count: int) -> Figure:
    names = [f"sdae_{k}" for k in range(count)]
    values = {name: (1.0 + k, 0.5 + k, 1.5 + k) for k, name in enumerate(names)}
    return comparison({name: history() for name in names}, "validation_error", "error", values, "test error")


FIGURES: dict[str, Callable[[], Figure]] = {
    "image_grid": lambda: image_grid({"original": IMAGES, "noisy": IMAGES[:3, 0]}, "title"),
    "filter_grid": lambda: filter_grid(stream(0).normal(size=(30, 784)), "filters"),
    "loss_curves": lambda: loss_curves({name: history() for name in "abcd"}),
    "intervals": lambda: intervals({"s": {"a": (1, 0.5, 2), "b": (3, 2, 4)}, "t": {"b": (2, 2, 2)}}, "dB", "title"),
    "comparison": lambda: stacks(2),
    "measures": lambda: measures(MEASURES, INPUTS, 0.95),
    "mean_of_samples": lambda: mean_of_samples(CURVE, OPTIMUM, 0.995),
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
    """They are 28 pixels wide and 2 apart, and the row is white where it has no more images."""
    figure = image_grid({"original": IMAGES, "noisy": IMAGES[:3, 0] + 1}, heads=["first", "", "third"])
    strips = []
    for panel in figure.axes:
        (shown,) = panel.images
        assert shown.get_clim() == (0, 1)
        strips.append(np.asarray(shown.get_array()))
    for place, image in enumerate(IMAGES[:, 0]):
        assert np.array_equal(strips[0][:, 30 * place : 30 * place + 28], image)
        assert (strips[0][:, 30 * place + 28 : 30 * place + 30] == 1).all()
        assert np.array_equal(strips[1][:, 30 * place : 30 * place + 28], image + 1 if place < 3 else np.ones((28, 28)))
    assert [[text.get_text() for text in panel.texts] for panel in figure.axes] == [
        ["original", "first", "", "third"],
        ["noisy"],
    ]


@pytest.mark.parametrize("sides", [(28, 28), (28, 14), (12,), (7, 28), (56, 3)])
@pytest.mark.parametrize("count", [1, 10])
def test_image_grid_cuts_no_image_off(sides: tuple[int, ...], count: int) -> None:
    rows = {f"side {side}, row {k}": np.zeros((count, side, side)) for k, side in enumerate(sides)}
    figure = image_grid(rows, heads=["head"] * count)
    figure.canvas.draw()
    boxes = [panel.get_position() for panel in figure.axes]
    assert all(0 < box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 < 1 for box in boxes)
    assert all(above.y0 > below.y1 for above, below in pairwise(boxes))
    for panel, side in zip(figure.axes, sides, strict=True):
        across = panel.get_position().width * figure.get_figwidth()
        (shown,) = panel.images
        assert across * side / np.asarray(shown.get_array()).shape[1] == pytest.approx(0.6), "inches an image"
    middles = [text.get_position()[0] for text in figure.axes[0].texts[1:]]
    step = sides[0] + max(1, round(sides[0] / 14))
    strip = (count - 1) * step + sides[0]
    assert middles == pytest.approx([(place * step + sides[0] / 2) / strip for place in range(count)])


def test_a_series_of_nothing_is_left_out() -> None:
    (legend,) = intervals({"s": {"a": (1, 0.5, 2)}, "t": {}}, "dB").legends
    assert [text.get_text() for text in legend.get_texts()] == ["s"]


def test_a_legend_is_not_cut_off() -> None:
    item = "the long name of an entry in its section (1000 images) (corrupted)"
    series = ("denoiser", "best classical filter (200 images)", "input")
    figure = intervals({name: {item: (1, 0.5, 2)} for name in series}, "dB")
    figure.canvas.draw()
    (legend,) = figure.legends
    box, whole = legend.get_window_extent(), figure.bbox
    assert whole.x0 < box.x0 < box.x1 < whole.x1
    assert whole.y0 < box.y0 < box.y1 < whole.y1


@pytest.mark.parametrize("units", [1, 19, 20, 21])
def test_filter_grid_shows_every_unit_at_its_place(units: int) -> None:
    weights = stream(0).normal(size=(units, 16)) * np.logspace(-3, 3, units)[:, None]
    (axes,) = filter_grid(weights, "filters", columns=5).axes
    sheet = np.asarray(axes.images[0].get_array())
    for unit, row in enumerate(weights):
        top, left = 5 * (unit // 5), 5 * (unit % 5)
        shown = sheet[top : top + 4, left : left + 4].ravel()
        assert shown == pytest.approx(row / np.abs(row).max(), rel=TOLERANCES["float64"])


def test_a_dead_filter_is_grey() -> None:
    (axes,) = filter_grid(np.zeros((1, 16)), "filters", columns=1).axes
    assert (np.asarray(axes.images[0].get_array())[:4, :4] == 0).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_loss_curves_have_one_panel_per_item(count: int) -> None:
    figure = loss_curves({f"item {k}": history(k + 1) for k in range(count)})
    panels = [axes for axes in figure.axes if axes.lines]
    assert [axes.get_title() for axes in panels] == [f"item {k}" for k in range(count)]
    for k, axes in enumerate(panels):
        for line, column in zip(axes.lines, ("train_loss", "validation_loss"), strict=True):
            expected = [[row["epoch"], row[column]] for row in history(k + 1)]
            assert np.asarray(line.get_xydata()).tolist() == expected


@pytest.mark.parametrize("epochs", [2, 3, 5, 50])
def test_epochs_are_counted_in_whole_numbers(epochs: int) -> None:
    (axes,) = loss_curves({"item": history(epochs)}).axes
    low, high = axes.get_xlim()
    seen = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert seen
    assert all(tick == round(tick) for tick in seen)


@pytest.mark.parametrize("columns", [1, 2, 3, 9])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_loss_curves_stand_in_rows_of_so_many_columns(count: int, columns: int) -> None:
    """There are as many columns as asked for but no more than items; rows fill up one by one, and the rest is blank."""
    across = min(columns, count)
    figure = loss_curves({f"item {k}": history() for k in range(count)}, columns=columns)
    places: list[Any] = [axes.get_subplotspec() for axes in figure.axes]
    assert {place.get_gridspec().get_geometry() for place in places} == {(-(-count // across), across)}
    assert [(place.rowspan.start, place.colspan.start) for place in places] == [
        divmod(k, across) for k in range(len(places))
    ]
    assert [axes.axison for axes in figure.axes] == [k < count for k in range(len(places))]
    assert [axes.get_legend() is not None for axes in figure.axes] == [k == 0 for k in range(len(places))]


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


# --- denoisers beside each other


def bars(container: Any) -> tuple[list[float], list[float]]:
    """The point (x, y) of an item, and the ends of the bar through it."""
    (segment,) = container[2][0].get_segments()
    ((x, y),) = container[0].get_xydata().tolist()
    assert segment[:, 1].tolist() == [y, y]
    return [x, y], segment[:, 0].tolist()


def test_each_measure_has_a_panel_and_each_item_a_line() -> None:
    figure = measures(MEASURES, INPUTS, 0.95)
    assert [axes.get_xlabel() for axes in figure.axes] == ["PSNR", "SSIM"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(MEASURES)
    for axes in figure.axes:
        assert axes.get_ylim() == (2.5, -0.5)  # the first item on top
        for place, (container, values) in enumerate(zip(axes.containers, MEASURES.values(), strict=True)):
            middle, low, high = values[axes.get_xlabel()]
            assert bars(container) == ([middle, place], [low, high])


def test_measures_show_what_is_known_of_the_input_beside_its_item() -> None:
    figure = measures(MEASURES, INPUTS, 0.95)
    squares = [[line.get_xydata() for line in axes.lines if line.get_marker() == "s"] for axes in figure.axes]
    assert [np.concatenate(places).tolist() for places in squares] == [[[9.5, 0], [8.5, 2]], [[0.125, 2]]]
    assert not [line for axes in measures(MEASURES, {}, 0.95).axes for line in axes.lines if line.get_marker() == "s"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["restored, 95 % interval", "input"]


def test_measures_of_one_item_in_one_panel(tmp_path: Path) -> None:
    figure = measures({"only": {"PSNR": (20, 19, 21)}}, {}, 0.95)
    (axes,) = figure.axes
    assert bars(axes.containers[0]) == ([20, 0], [19, 21])
    save(figure, tmp_path / "figure.png")


def test_mean_of_samples_beside_the_optimum() -> None:
    """The curve lies within its band over k; the optimum is a line and a band from side to side."""
    (axes,) = mean_of_samples(CURVE, OPTIMUM, 0.995).axes
    assert axes.get_ylabel() == "PSNR, dB (bands: 99.5 % intervals)"
    curve, optimum = axes.lines
    assert np.asarray(curve.get_xydata()).tolist() == [[k, each["psnr"]] for k, each in CURVE.items()]
    assert np.asarray(optimum.get_ydata()).tolist() == [OPTIMUM["psnr"]] * 2
    band: Any = axes.collections[0]
    stripe: Any = axes.patches[0]
    legend: Any = axes.get_legend()
    corners = {(x, y) for x, y in band.get_paths()[0].vertices.tolist()}
    assert corners == {(k, each[end]) for k, each in CURVE.items() for end in ("psnr_low", "psnr_high")}
    assert (stripe.get_y(), stripe.get_y() + stripe.get_height()) == (OPTIMUM["psnr_low"], OPTIMUM["psnr_high"])
    assert [text.get_text() for text in legend.get_texts()] == [
        "mean of k samples",
        "least squares denoiser",
    ]


@pytest.mark.parametrize("samples", [2, 3, 8])
def test_mean_of_samples_counts_in_whole_samples(samples: int) -> None:
    (axes,) = mean_of_samples(dict.fromkeys(range(1, samples + 1), CURVE[1]), OPTIMUM, 0.95).axes
    ticks = axes.get_xticks()
    assert len(ticks) >= 2
    assert np.array_equal(ticks, ticks.round())
