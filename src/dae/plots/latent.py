"""Figures of a latent space."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from dae.plots import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, _figure

DIGITS = (BLUE, INK, GREEN, RED, PURPLE, "#8c510a", "#56b4e9", ORANGE, GREY, "#c8b900")
Panel = tuple[NDArray[Any], NDArray[Any]]  # points (N, 2), labels (N,) below 10
Box = NDArray[np.float64]  # [[left, bottom], [right, top]]


def plane(panels: Mapping[str, Panel], box: Box | None = None) -> Figure:
    """Codes in a plane, {title: (points, labels)}, one panel for each set, on common axes, coloured by label.

    The number of a class stands at the median of its codes. Within a `box` the axes are latent units, with a scale.
    Without one the axes have no meaning of their own, and so no scale.
    """
    figure = _figure(5.2 * len(panels) + 0.6, 5.2)
    row = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (title, (points, labels)) in zip(row, panels.items(), strict=True):
        _scatter(axes, points, labels)
        axes.set_title(title, fontsize=10)
        if box is not None:
            _units(axes, box)
        else:
            axes.set_xticks([])
            axes.set_yticks([])
    classes = np.unique(np.concatenate([labels for _, labels in panels.values()]))
    dots = [Line2D([], [], color=DIGITS[label], marker="o", linestyle="", label=str(label)) for label in classes]
    figure.legend(handles=dots, loc="outside right center", frameon=False, fontsize=9, title="digit")
    return figure


def _scatter(axes: Axes, points: NDArray[Any], labels: NDArray[Any]) -> None:
    axes.scatter(points[:, 0], points[:, 1], s=8, c=[DIGITS[label] for label in labels], alpha=0.75, linewidths=0)
    for label in np.unique(labels):
        x, y = np.median(points[labels == label], axis=0)
        text = axes.text(x, y, str(label), color=DIGITS[label], fontsize=12, fontweight="bold", clip_on=True)
        text.set(ha="center", va="center", path_effects=[withStroke(linewidth=3, foreground="white")])


def _units(axes: Axes, box: Box) -> None:
    (left, bottom), (right, top) = box
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_xlabel("latent unit 1")
    axes.set_ylabel("latent unit 2")


def decoded(images: NDArray[Any], ticks: NDArray[np.float64], title: str = "") -> Figure:
    """Images (side, side, H, W) decoded from a latent plane, each at its place.

    Image [i, j] is centred on (ticks[j, 0], ticks[i, 1]); `ticks` (side, 2), equidistant.
    """
    side, _, height, width = images.shape
    sheet = images[::-1].transpose(0, 2, 1, 3).reshape(side * height, side * width)  # unit 2 grows upwards
    (left, bottom), (right, top) = box = edges(ticks)
    figure = _figure(7, 7)
    axes = figure.subplots()
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, extent=(left, right, bottom, top), aspect="auto")
    axes.set_box_aspect(height / width)
    _units(axes, box)
    axes.set_title(title, fontsize=10)
    return figure


def edges(ticks: NDArray[np.float64]) -> Box:
    """The box of the cells that are centred on equidistant `ticks` (side, 2); 1 wide where all ticks are the same."""
    half = (ticks[1] - ticks[0]) / 2
    half[half == 0] = 0.5
    return np.stack([ticks[0] - half, ticks[-1] + half])
