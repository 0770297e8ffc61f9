"""Colours and helpers shared by every figure.

Figures are Matplotlib `Figure` objects made without pyplot: they need no display and keep no global state.
"""

from typing import Any

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
