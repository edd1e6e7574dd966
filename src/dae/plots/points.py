"""Figures of denoisers of points in the plane (lecture 001)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from dae.plots import BLUE, GREEN, GREY, INK, ORANGE, RED

Points = NDArray[np.floating[Any]]  # (N, 2)


def arrow_fields(points: Points, x_tilde: Points, restored: Mapping[str, Points], title: str = "") -> Figure:
    """Arrows from each x_tilde (M, 2) to where a denoiser puts it, over the data `points`; one panel per denoiser."""
    figure = Figure(figsize=(4.6 * len(restored), 6.0), layout="constrained")
    panels = figure.subplots(1, len(restored), sharex=True, sharey=True, squeeze=False)[0]
    for panel, (name, places) in zip(panels, restored.items(), strict=True):
        _data(panel, points)
        steps = places - x_tilde
        options = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.004, "headwidth": 3.5, "headlength": 4}
        panel.quiver(*x_tilde.T, *steps.T, color=BLUE, **options)
        panel.set_title(name, fontsize=11)
    arrow = {"marker": "$\\longrightarrow$", "markersize": 22, "linestyle": ""}
    panels[0].plot([], [], color=BLUE, label="from $\\tilde{x}$ to where it is put", **arrow)
    figure.suptitle(title, fontsize=12)
    _legend(figure, panels[0])
    return figure


def posterior_samples(
    points: Points, x_tilde: Points, kept: Points, mean: Points, restored: Points, *, reach: float, title: str = ""
) -> Figure:
    """Draws `kept` (K, 2) of X given x_tilde, their mean and the restoration of x_tilde, each (2,).

    On the left are all the data `points`, on the right what lies within `reach` of x_tilde along both axes.
    """
    figure = Figure(figsize=(9.2, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for panel, size in ((left, 5), (right, 9)):
        _data(panel, points)
        options = {"linestyle": "", "zorder": 4}
        panel.plot(*kept.T, ".", color=RED, markersize=size, markeredgewidth=0, label="kept $X$", **options)
        panel.plot(*x_tilde, "o", color=BLUE, markersize=size, label="given $\\tilde{x}$", **options)
        panel.plot(*mean, "D", color=GREEN, markersize=0.8 * size, label="mean of the kept", **options)
        cross = {"markersize": 1.3 * size, "markeredgewidth": 0.3 * size}
        panel.plot(*restored, "x", color=ORANGE, label="denoiser $\\phi(\\tilde{x})$", **cross, **options)
    side = 1.05 * max(np.abs(points).max(), np.abs(x_tilde).max() + reach)
    left.set(xlim=(-side, side), ylim=(-side, side))
    corner = x_tilde - reach
    left.add_patch(Rectangle((corner[0], corner[1]), 2 * reach, 2 * reach, fill=False, edgecolor=INK, linewidth=0.8))
    right.set(xlim=(corner[0], corner[0] + 2 * reach), ylim=(corner[1], corner[1] + 2 * reach))
    right.set_title("the square, enlarged", fontsize=11)
    figure.suptitle(title, fontsize=12)
    _legend(figure, right)
    return figure


def _data(axes: Axes, points: Points) -> None:
    axes.plot(*points.T, ".", color=GREY, markersize=4, markeredgewidth=0, label="data", zorder=3)
    axes.set_aspect("equal")
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), fontsize=10, frameon=False, markerscale=1.2
    )
