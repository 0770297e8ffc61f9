"""Colours and helpers shared by every figure.

Figures are Matplotlib `Figure` objects made without pyplot: they need no display and keep no global state.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

# four hues that remain distinct with any kind of colour vision (Okabe & Ito 2008)
BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
# colour and line style of up to four curves in one plot; each differs from the others in both
CURVES = ((ORANGE, "-"), (BLUE, "--"), (GREEN, "-."), (PINK, ":"))
# for signed values: blue below 0, orange above; the ends of Matplotlib's PuOr are both nearly black
DIVERGING = LinearSegmentedColormap.from_list("diverging", [BLUE, "white", ORANGE])


def finish(axis: Axes, **properties: Any) -> None:
    """Set an axis's labels, title and other properties, and add a grid and a legend."""
    axis.set(**properties)
    axis.grid(alpha=0.3)
    axis.legend()


def draw_band(axis: Axes, x: Sequence[float], curves: Any, curve: tuple[str, str], **properties: Any) -> None:
    """Draw the median of several curves in a band from the lowest to the highest.

    Args:
        axis: where to draw.
        x: places of the points.
        curves: values ``(curves, points)``, such as one curve for each seed.
        curve: colour and line style, one of `CURVES`.
        properties: of the median's line, as for `Axes.plot`.
    """
    colour, style = curve
    low, middle, high = np.quantile(np.asarray(curves, dtype=np.float64), (0, 0.5, 1), axis=0)
    axis.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axis.plot(x, middle, style, color=colour, **properties)
