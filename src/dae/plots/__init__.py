"""Figures: arrays and numbers in, a matplotlib Figure out. The colours are safe for colour-blind eyes (Okabe, Ito)."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

matplotlib.rcdefaults()  # the figures are the same whatever the user's own settings are

INK, GREY = "#222222", "#999999"
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7"

Rows = Sequence[Mapping[str, Any]]
Interval = tuple[float, float, float]  # value, low, high


def save(figure: Figure, path: Path) -> None:
    """Write a PNG whose bytes depend on the figure alone (no version or date in it)."""
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)


def image_grid(rows: Mapping[str, NDArray[Any]], title: str = "", heads: Sequence[str] = ()) -> Figure:
    """Images in labelled rows; each row (n, 1, H, W) or (n, H, W), shown from 0 (black) to 1 (white).

    `heads`: what to write above the images of the first row. Images are square cells of one size. A row is one panel
    with its images side by side, at a place that is computed here: panels and their layout are what takes time to draw.
    """
    cell, gap, letter = 0.6, 0.06, 0.075  # inches
    count = max(len(images) for images in rows.values())
    strips = {label: _side_by_side(images, count) for label, images in rows.items()}
    across = {label: cell * strips[label].shape[1] / images.shape[-1] for label, images in rows.items()}
    left = letter * max(len(line) for label in rows for line in label.splitlines()) + 0.15
    top = (0.3 if title else gap) + (0.25 if heads else 0)
    wide = max(count * (cell + gap), max(across.values()) + gap / 2)
    width, height = max(left + wide, letter * len(title)), top + len(rows) * (cell + gap)
    figure = Figure(figsize=(width, height))
    for line, (label, strip) in enumerate(strips.items()):
        bottom = height - top - line * (cell + gap) - cell
        panel = figure.add_axes((left / width, bottom / height, across[label] / width, cell / height))
        panel.imshow(strip, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
        panel.set_axis_off()
        style: dict[str, Any] = {"transform": panel.transAxes, "color": INK}
        panel.text(-0.08 / across[label], 0.5, label, ha="right", va="center", fontsize=9, **style)
        for place, head in enumerate(heads if line == 0 else ()):
            side = rows[label].shape[-1]
            middle = (place * _step(side) + side / 2) / strip.shape[1]
            panel.text(middle, 1.1, head, ha="center", va="bottom", fontsize=10, **style)
    if title:
        figure.suptitle(title, y=1 - 0.07 / height, va="top", fontsize=10)
    return figure


def _side_by_side(images: NDArray[Any], count: int) -> NDArray[Any]:
    """Images (n, 1, H, W) or (n, H, W) as one, with white between them and in the places of missing ones."""
    height, width = images.shape[-2:]
    step = _step(width)
    strip = np.ones((height, (count - 1) * step + width))
    for place, image in enumerate(images.reshape(-1, height, width)):
        strip[:, place * step :][:, :width] = image
    return strip


def _step(width: int) -> int:
    """Pixels from one image to the next beside it."""
    return width + max(1, round(width / 14))


def filter_grid(weights: NDArray[Any], title: str, columns: int = 20) -> Figure:
    """Filters (units, side * side), one image for each unit, scaled to its largest weight; grey is 0."""
    side = int(np.sqrt(weights.shape[1]))
    scaled = weights / np.maximum(np.abs(weights).max(axis=1, keepdims=True), 1e-12)
    rows = -(-len(scaled) // columns)
    sheet = np.ones((rows * (side + 1), columns * (side + 1)))
    for unit, image in enumerate(scaled.reshape(-1, side, side)):
        top, left = (side + 1) * (unit // columns), (side + 1) * (unit % columns)
        sheet[top : top + side, left : left + side] = image
    figure = _figure(0.4 * columns, 0.4 * rows + 0.4)
    axes = figure.subplots()
    axes.imshow(sheet, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=10)
    return figure


def loss_curves(histories: Mapping[str, Rows], columns: int = 4) -> Figure:
    """Training and validation loss of each item over epochs, one panel for each item, since losses differ in scale.

    What an adversary or a prior adds to the loss is part of the training loss alone.
    """
    columns = min(columns, len(histories))
    lines = -(-len(histories) // columns)
    figure = _figure(3.2 * columns, 2.4 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels[len(histories) :]:
        panel.set_axis_off()
    for panel, (name, rows) in zip(panels, histories.items(), strict=False):
        epochs = [row["epoch"] for row in rows]
        panel.plot(epochs, [row["train_loss"] for row in rows], color=BLUE, marker=".", label="training")
        validated = [row["validation_loss"] for row in rows]
        panel.plot(epochs, validated, color=ORANGE, marker=".", label="validation, reconstruction alone")
        panel.set_title(name, fontsize=9)
        panel.set_xlabel("epoch")
        panel.set_ylabel("loss")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _tidy(panel)
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def interval_label(confidence: float) -> str:
    """What figures and tables call intervals of this confidence, from 0 to 1."""
    return f"{100 * confidence:g} % interval"


def measures(
    rows: Mapping[str, Mapping[str, Interval]], inputs: Mapping[str, Mapping[str, float]], confidence: float
) -> Figure:
    """One panel for each measure and one line for each item, {item: {measure: interval}}.

    `inputs` are the values of the items' inputs, {item: {measure: value}}, which are drawn as squares.
    """
    names = list(next(iter(rows.values())))
    columns = min(2, len(names))  # a figure as wide as a page
    lines = -(-len(names) // columns)
    figure = _figure(3.1 * columns + 0.075 * max(map(len, rows)), lines * (0.3 * len(rows) + 0.6) + 0.4)
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    for panel, measure in zip(panels, names, strict=False):
        for place, (item, values) in enumerate(rows.items()):
            middle, low, high = values[measure]
            panel.errorbar([middle], [place], xerr=[[middle - low], [high - middle]], fmt="o", color=BLUE, capsize=3)
            if measure in inputs.get(item, {}):
                panel.plot([inputs[item][measure]], [place], "s", color=GREY, markersize=4)
        panel.set_xlabel(measure)
        panel.set_yticks(range(len(rows)), list(rows), fontsize=9)
        panel.set_ylim(len(rows) - 0.5, -0.5)
        panel.locator_params(axis="x", nbins=5)  # there is room for few numbers
        _tidy(panel)
    handles = [
        Line2D([], [], color=BLUE, marker="o", label=f"restored, {interval_label(confidence)}"),
        Line2D([], [], color=GREY, marker="s", linestyle="", markersize=4, label="input"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def intervals(series: Mapping[str, Mapping[str, Interval]], xlabel: str, title: str = "") -> Figure:
    """Values with intervals, {series: {item: interval}}: a line for each item, a colour and marker for each series."""
    items = list(dict.fromkeys(item for values in series.values() for item in values))
    figure = _figure(7.5, 0.42 * len(items) + 1.3)
    axes = figure.subplots()
    for (name, values), colour, marker in zip(series.items(), (BLUE, GREY, ORANGE, GREEN, RED), "osD^v", strict=False):
        if not values:
            continue
        places = [items.index(item) for item in values]
        middle, low, high = (np.array(column) for column in zip(*values.values(), strict=True))
        errors = [middle - low, high - middle]
        axes.errorbar(middle, places, xerr=errors, fmt=marker, color=colour, markersize=5, capsize=3, label=name)
    axes.set_yticks(range(len(items)), items, fontsize=9)
    axes.set_ylim(len(items) - 0.5, -0.5)
    axes.set_xlabel(xlabel)
    axes.set_title(title, fontsize=10)
    _tidy(axes)
    if len(series) > 1:
        figure.legend(loc="outside lower center", ncols=len(series), fontsize=8, frameon=False)
    return figure


def comparison(
    histories: Mapping[str, Rows], column: str, ylabel: str, values: Mapping[str, Interval], xlabel: str
) -> Figure:
    """Left, a column of the histories over epochs; right, final values with intervals; each item has its colour."""
    figure = _figure(9, 3.4)
    left, right = figure.subplots(1, 2)
    colours = dict(zip(values, cycle((BLUE, ORANGE, GREEN, RED, PURPLE, INK, GREY)), strict=False))
    for name, rows in histories.items():
        left.plot(
            [row["epoch"] for row in rows], [row[column] for row in rows], color=colours[name], marker=".", label=name
        )
    left.set_xlabel("epoch")
    left.set_ylabel(ylabel)
    left.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    left.legend(fontsize=8, frameon=False)
    for place, (name, (middle, low, high)) in enumerate(values.items()):
        errors = [[middle - low], [high - middle]]
        right.errorbar([middle], [place], xerr=errors, fmt="o", color=colours[name], capsize=4)
    right.set_yticks(range(len(values)), list(values), fontsize=9)
    right.set_ylim(len(values) - 0.5, -0.5)
    right.set_xlabel(xlabel)
    for axes in (left, right):
        _tidy(axes)
    return figure


def mean_of_samples(
    curve: Mapping[int, Mapping[str, float]], optimum: Mapping[str, float], confidence: float
) -> Figure:
    """PSNR of the mean of k sampled restorations over k, with its intervals, and that of the least squares denoiser."""
    figure = _figure(6, 3.4)
    axes = figure.subplots()
    middle, low, high = (np.array([each[f"psnr{end}"] for each in curve.values()]) for end in ("", "_low", "_high"))
    axes.fill_between(list(curve), low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(list(curve), middle, color=BLUE, marker="o", label="mean of k samples")
    axes.axhspan(optimum["psnr_low"], optimum["psnr_high"], color=ORANGE, alpha=0.2, linewidth=0)
    axes.axhline(optimum["psnr"], color=ORANGE, label="least squares denoiser")
    axes.set_xlabel("samples k")
    axes.set_ylabel(f"PSNR, dB (bands: {interval_label(confidence)}s)")
    axes.locator_params(axis="x", integer=True)
    axes.legend(fontsize=8, frameon=False)
    _tidy(axes)
    return figure
